import { expect, test } from "bun:test";
import { createTransport, defaultTimeouts } from "../../src/providers/transport.ts";
import { behaviours, startUpstream } from "../harness/upstream.ts";
import { rejection } from "./fixture.ts";

/** A transport whose handshakes and time are seen and set by the test. */
const watched = (options: { proxied?: boolean } = {}) => {
  const targets: { hostname: string; port: number }[] = [];
  const time = { now: 0 };
  const transport = createTransport({
    ...options,
    timeouts: defaultTimeouts,
    connect: async (target) => {
      targets.push(target);
    },
    now: () => time.now,
  });
  const get = async (url: string) => {
    using call = transport.open(new AbortController().signal);
    return await (await call.fetch(url)).text();
  };
  return { get, targets, time };
};

test("a handshake is tried once, and again when the last answer is 30 seconds old", async () => {
  await using upstream = await startUpstream();
  const { get, targets, time } = watched();
  const url = `${upstream.baseUrl}/models`;
  const handshakesAfter = async (now: number) => {
    time.now = now;
    await get(url);
    return targets.length;
  };
  expect(await handshakesAfter(0)).toBe(1);
  expect(await handshakesAfter(29_999)).toBe(1);
  expect(await handshakesAfter(59_998)).toBe(1);
  expect(await handshakesAfter(89_998)).toBe(2);
  expect(targets[0]).toEqual({ hostname: "127.0.0.1", port: Number(new URL(url).port) });
});

test("a handshake is tried again after a connection broke", async () => {
  await using upstream = await startUpstream();
  const { get, targets } = watched();
  const url = `${upstream.baseUrl}/models`;
  await get(url);
  upstream.scriptModels(behaviours.reset());
  await rejection(get(url));
  await rejection(get(url));
  expect(targets.length).toBe(2);
});

test("no handshake is tried where a proxy does the connecting", async () => {
  await using upstream = await startUpstream();
  const { get, targets } = watched({ proxied: true });
  await get(`${upstream.baseUrl}/models`);
  expect(targets).toEqual([]);
});

test.each([
  ["https://provider.invalid/v1", { hostname: "provider.invalid", port: 443 }],
  ["http://provider.invalid/v1", { hostname: "provider.invalid", port: 80 }],
  ["http://[::1]:8080/v1", { hostname: "::1", port: 8080 }],
])("the handshake for %s goes to the right place", async (url, target) => {
  const transport = createTransport({
    timeouts: defaultTimeouts,
    connect: async (seen) => {
      throw seen;
    },
  });
  using call = transport.open(new AbortController().signal);
  expect(await rejection(call.fetch(url))).toEqual(target);
});

test("a real handshake leaves no request and no connection behind", async () => {
  await using upstream = await startUpstream();
  const transport = createTransport({ timeouts: defaultTimeouts });
  const url = `${upstream.baseUrl}/models`;
  using call = transport.open(new AbortController().signal);
  await (await call.fetch(url)).text();
  expect(upstream.connections).toBe(2);
  expect(upstream.requests.length).toBe(1);
});

test("disposing a call closes an answer that nobody has read", async () => {
  await using upstream = await startUpstream();
  upstream.scriptModels(behaviours.hangMidStream());
  const transport = createTransport({ timeouts: defaultTimeouts });
  const response = await (async () => {
    using call = transport.open(new AbortController().signal);
    return await call.fetch(`${upstream.baseUrl}/models`);
  })();
  await (await upstream.request(0)).aborted;
  // Held until here: a forgotten response would be closed by the garbage collector.
  expect(response.bodyUsed).toBe(false);
});

test("a body breaks with the caller's reason where the caller leaves", async () => {
  await using upstream = await startUpstream();
  upstream.scriptModels(behaviours.hangAfterHeaders());
  const caller = new AbortController();
  const left = new Error("the caller has left");
  using call = createTransport({ timeouts: defaultTimeouts }).open(caller.signal);
  const body = (await call.fetch(`${upstream.baseUrl}/models`)).text();
  caller.abort(left);
  expect(await rejection(body)).toBe(left);
});

test("a caller who leaves before or during a real handshake ends it, and nothing is asked", async () => {
  await using upstream = await startUpstream();
  const left = new Error("the caller has left");
  const transport = createTransport({ timeouts: defaultTimeouts });
  using gone = transport.open(AbortSignal.abort(left));
  expect(await rejection(gone.fetch(`${upstream.baseUrl}/models`))).toBe(left);
  const caller = new AbortController();
  using leaving = transport.open(caller.signal);
  const call = rejection(leaving.fetch(`${upstream.baseUrl}/models`));
  caller.abort(left);
  expect(await call).toBe(left);
  expect(upstream.requests).toEqual([]);
});
