import { expect, test } from "bun:test";
import { canonicalKey, createMemoryCache } from "../../src/gateway/cache.ts";

const answer = (size: number) => ({
  contentType: "application/json",
  body: new Uint8Array(size),
  model: "m",
  provider: "p",
  finishReason: "stop",
});
const parts = (request: unknown, appId = "a") => ({
  appId,
  operation: "chat" as const,
  targets: ["m"],
  request,
});

test("two spellings of a request have one key; another app, target or value has another", () => {
  const key = canonicalKey(parts({ a: 1, b: { c: [1, 2], d: null } }));
  expect(canonicalKey(parts(JSON.parse('{ "b": {"d":null,"c":[1, 2]}, "a":1.0 }')))).toBe(key);
  expect(canonicalKey(parts({ a: 1, b: { c: [2, 1], d: null } }))).not.toBe(key);
  expect(canonicalKey(parts({ a: 1, b: { c: [1, 2], d: null } }, "b"))).not.toBe(key);
  expect(canonicalKey({ ...parts({ a: 1, b: { c: [1, 2], d: null } }), targets: ["n"] })).not.toBe(key);
});

test("an answer is kept for its time and no longer", async () => {
  const time = { now: 0 };
  const cache = createMemoryCache({ now: () => time.now });
  cache.set("k", answer(10), 1000);
  time.now = 999;
  expect(await cache.get("k")).toEqual(answer(10));
  time.now = 1000;
  expect(await cache.get("k")).toBeUndefined();
});

test("memory is bounded: what was not used for longest goes first, and what is too large is not kept", async () => {
  const cache = createMemoryCache({ bytesMax: 3 * 1500, now: () => 0 });
  for (const key of ["a", "b", "c"]) cache.set(key, answer(1000), 1000);
  await cache.get("a");
  cache.set("d", answer(1000), 1000);
  const kept = await Promise.all(
    ["a", "b", "c", "d"].map(async (key) => (await cache.get(key)) !== undefined),
  );
  expect(kept).toEqual([true, false, true, true]);
  cache.set("large", answer(2 * 1024 * 1024), 1000);
  expect(await cache.get("large")).toBeUndefined();
  // The same key anew takes no more room.
  for (let i = 0; i < 10; i++) cache.set("d", answer(1000), 1000);
  expect(await cache.get("a")).toBeDefined();
});
