import { expect, test } from "bun:test";
import { behaviours, startUpstream, texts } from "../harness/upstream.ts";
import { collect, patient, providerAt, question, reasonOf, rejection } from "./fixture.ts";

const limit = 50;

test.each([
  ["whole, before its headers", behaviours.hang(), false, { firstByteMs: limit }, "timeout_first_byte"],
  ["streamed, before its headers", behaviours.hang(), true, { firstByteMs: limit }, "timeout_first_byte"],
  [
    "streamed, before its body",
    behaviours.hangAfterHeaders(),
    true,
    { firstByteMs: limit },
    "timeout_first_byte",
  ],
  ["whole, before its body", behaviours.hangAfterHeaders(), false, { idleMs: limit }, "timeout_idle"],
  ["streamed, in the middle", behaviours.hangMidStream(), true, { idleMs: limit }, "timeout_idle"],
  ["whole, over the total", behaviours.hang(), false, { totalMs: limit }, "timeout_total"],
  ["streamed, over the total", behaviours.hangMidStream(), true, { totalMs: limit }, "timeout_total"],
] as const)("a silent answer %s, ends with its own reason, once, and closes upstream", async (...row) => {
  const [, play, streamed, timeouts, reason] = row;
  await using upstream = await startUpstream();
  upstream.script("*", play);
  const provider = providerAt(upstream, { timeouts, maxRetries: 2 });
  const call = streamed
    ? collect(provider.stream(question("hi"), patient()))
    : provider.complete(question("hi"), patient());
  expect(await reasonOf(call)).toBe(reason);
  await (await upstream.request(0)).aborted;
  expect(upstream.requests.length).toBe(1);
});

test("the total spans all attempts", async () => {
  await using upstream = await startUpstream();
  upstream.script("*", behaviours.status(500, { headers: { "retry-after-ms": "5" } }));
  const provider = providerAt(upstream, { timeouts: { totalMs: 200 }, maxRetries: 10_000 });
  expect(await reasonOf(provider.complete(question("hi"), patient()))).toBe("timeout_total");
  expect(upstream.requests.length).toBeGreaterThan(1);
});

test("keep-alive comments are signs of life, longer than the idle limit", async () => {
  await using upstream = await startUpstream();
  upstream.script("*", behaviours.drip({ times: 14, everyMs: 50 }));
  const provider = providerAt(upstream, { timeouts: { idleMs: 500, firstByteMs: 500 } });
  expect((await collect(provider.stream(question("你好"), patient()))).content).toBe(texts.zh);
});

test("a reader slower than the idle limit is no fault of the provider", async () => {
  await using upstream = await startUpstream();
  const event = (content: string, finish_reason: string | null = null) =>
    `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason }] })}\n\n`;
  let goOn = () => {};
  upstream.script("*", ({ response }) => {
    response.writeHead(200, { "content-type": "text/event-stream" }).write(event("a"));
    goOn = () => response.end(event("b", "stop"));
  });
  const provider = providerAt(upstream, { timeouts: { idleMs: limit } });
  const pieces: string[] = [];
  for await (const piece of provider.stream(question("hi"), patient())) {
    if (piece.type === "delta") pieces.push(piece.content);
    if (pieces.length > 1) continue;
    // The reader is busy for longer than the limit, and only then does the provider go on.
    await Bun.sleep(limit * 2);
    goOn();
  }
  expect(pieces).toEqual(["a", "b"]);
});

test("a stream that hangs after its finish reason is not taken for complete: its usage is still to come", async () => {
  await using upstream = await startUpstream();
  upstream.script("*", ({ response }) => {
    const last = { choices: [{ index: 0, delta: { content: "a" }, finish_reason: "stop" }] };
    response
      .writeHead(200, { "content-type": "text/event-stream" })
      .write(`data: ${JSON.stringify(last)}\n\n`);
  });
  const provider = providerAt(upstream, { timeouts: { idleMs: limit } });
  expect(await reasonOf(collect(provider.stream(question("hi"), patient())))).toBe("timeout_idle");
});

test("an answer without an end is given up at 64 MiB", async () => {
  await using upstream = await startUpstream();
  const comment = `: ${"x".repeat(1024 * 1024)}\n\n`;
  upstream.script("*", behaviours.events(...Array<string>(65).fill(comment)));
  expect(await reasonOf(collect(providerAt(upstream).stream(question("hi"), patient())))).toBe("malformed");
});

test("connecting that takes too long is repeated and then has its own reason", async () => {
  await using upstream = await startUpstream();
  let handshakes = 0;
  const provider = providerAt(upstream, {
    timeouts: { connectMs: 20 },
    maxRetries: 1,
    connect: (_, signal) => {
      handshakes++;
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    },
  });
  expect(await reasonOf(provider.complete(question("hi"), patient()))).toBe("timeout_connect");
  expect(handshakes).toBe(2);
  expect(upstream.requests).toEqual([]);
});

const left = new Error("the caller has left");

test("a caller who has left already asks nobody", async () => {
  await using upstream = await startUpstream();
  const provider = providerAt(upstream);
  const options = { signal: AbortSignal.abort(left) };
  expect(await rejection(provider.complete(question("hi"), options))).toBe(left);
  expect(await rejection(collect(provider.stream(question("hi"), options)))).toBe(left);
  expect(await rejection(provider.listModels(options))).toBe(left);
  expect(upstream.requests).toEqual([]);
});

test.each([
  ["whole, before the headers", behaviours.hang(), false],
  ["whole, before the body", behaviours.hangAfterHeaders(), false],
  ["streamed, before the headers", behaviours.hang(), true],
  ["streamed, before the body", behaviours.hangAfterHeaders(), true],
  ["streamed, in the middle", behaviours.hangMidStream(), true],
] as const)("a caller who leaves closes the upstream connection: %s", async (_, play, streamed) => {
  await using upstream = await startUpstream();
  upstream.script("*", play);
  const caller = new AbortController();
  const provider = providerAt(upstream, { maxRetries: 2 });
  const call = rejection(
    streamed ? collect(provider.stream(question("hi"), caller)) : provider.complete(question("hi"), caller),
  );
  const { aborted } = await upstream.request(0);
  caller.abort(left);
  expect(await call).toBe(left);
  await aborted;
  expect(upstream.requests.length).toBe(1);
});

test("a caller who leaves during the model list closes the upstream connection", async () => {
  await using upstream = await startUpstream();
  upstream.scriptModels(behaviours.hang());
  const caller = new AbortController();
  const call = rejection(providerAt(upstream).listModels(caller));
  const { aborted } = await upstream.request(0);
  caller.abort(left);
  expect(await call).toBe(left);
  await aborted;
});

test("a caller who leaves during the handshake ends it", async () => {
  const caller = new AbortController();
  const provider = providerAt(
    { baseUrl: "http://127.0.0.1:9/v1" },
    {
      connect: (_, signal) => {
        const refused = new Promise<void>((_, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason));
        });
        caller.abort(left);
        return refused;
      },
    },
  );
  expect(await rejection(provider.complete(question("hi"), caller))).toBe(left);
});

test("a caller who leaves between two attempts does not wait for the second", async () => {
  await using upstream = await startUpstream();
  upstream.script("*", behaviours.status(429, { headers: { "retry-after": "4" } }));
  const caller = new AbortController();
  const call = rejection(providerAt(upstream, { maxRetries: 2 }).complete(question("hi"), caller));
  await upstream.request(0);
  caller.abort(left);
  expect(await call).toBe(left);
});

test("leaving the loop closes the upstream connection", async () => {
  await using upstream = await startUpstream();
  upstream.script("*", behaviours.hangMidStream());
  for await (const event of providerAt(upstream).stream(question("hi"), patient())) {
    expect(event.type).toBe("delta");
    break;
  }
  await (await upstream.request(0)).aborted;
});

test("no timer outlives its call: a process ends as soon as its calls have", async () => {
  await using upstream = await startUpstream();
  upstream.script("cut", behaviours.cut());
  upstream.script("hang", behaviours.hang());
  upstream.script("mid", behaviours.hangMidStream());
  const script = `
    import { providerAt, question, patient, collect, failure } from ${JSON.stringify(`${import.meta.dir}/fixture.ts`)};
    const provider = providerAt({ baseUrl: ${JSON.stringify(upstream.baseUrl)} });
    const ask = (model) => question("hi", { model });
    await provider.complete(ask("ok"), patient());
    await collect(provider.stream(ask("ok"), patient()));
    await failure(provider.complete(ask("cut"), patient()));
    for await (const event of provider.stream(ask("mid"), patient())) break;
    await provider.complete(ask("hang"), { signal: AbortSignal.timeout(20) }).catch(() => {});
    console.log("done");
  `;
  const child = Bun.spawn([process.execPath, "--no-env-file", "-e", script], { stderr: "inherit" });
  expect(await child.stdout.text()).toBe("done\n");
  expect(await child.exited).toBe(0);
});
