import { expect, test } from "bun:test";
import { type CompletionGatewayOptions, createCompletionGateway } from "../../src/gateway/completion.ts";
import { t } from "../../src/i18n/messages.ts";
import { createLog } from "../../src/log.ts";
import { createEchoProvider } from "../../src/providers/echo.ts";
import { behaviours, startUpstream, texts } from "../harness/upstream.ts";
import { collect, failure, patient, providerAt, rejection } from "../providers/fixture.ts";

const hello = { messages: [{ role: "user" as const, content: "hello" }], parameters: {} };

/** A gateway over the upstream, with its log and its clock in the test's hands. */
const gatewayAt = (upstream: { baseUrl: string }, options: Partial<CompletionGatewayOptions> = {}) => {
  const lines: { level: string; message: string; model?: string }[] = [];
  const time = { now: 0 };
  const gateway = createCompletionGateway({
    provider: providerAt(upstream),
    echo: createEchoProvider(),
    models: ["gone", "also-gone", "kimi-k2.5"],
    log: createLog({ level: "info", format: "json", write: (line) => lines.push(JSON.parse(line)) }),
    clock: () => time.now,
    ...options,
  });
  return { gateway, lines, time };
};

const upstreamWithout = async (...models: string[]) => {
  const upstream = await startUpstream({ models: ["kimi-k2.5", "kimi-k3"] });
  for (const model of models) upstream.script(model, behaviours.noModel());
  return upstream;
};

const minutes = (count: number) => count * 60_000;

test("the first model of the list answers", async () => {
  await using upstream = await startUpstream();
  const { gateway, lines } = gatewayAt(upstream);
  expect(await gateway.complete(hello, patient())).toMatchObject({ model: "gone", content: texts.en });
  expect(upstream.asked).toEqual(["gone"]);
  expect(lines).toEqual([]);
});

test("the next model answers where one does not exist, whole and streamed", async () => {
  await using upstream = await upstreamWithout("gone", "also-gone");
  expect((await gatewayAt(upstream).gateway.complete(hello, patient())).content).toBe(texts.en);
  await using answer = await gatewayAt(upstream).gateway.stream(hello, patient());
  expect(answer.model).toBe("kimi-k2.5");
  expect((await collect(answer.events)).content).toBe(texts.en);
  expect(upstream.asked).toEqual(["gone", "also-gone", "kimi-k2.5", "gone", "also-gone", "kimi-k2.5"]);
});

test("a model that does not exist is passed over for ten minutes and warned of once", async () => {
  await using upstream = await upstreamWithout("gone");
  const { gateway, lines, time } = gatewayAt(upstream);
  const askedAt = async (now: number) => {
    time.now = now;
    const before = upstream.asked.length;
    await gateway.complete(hello, patient());
    return upstream.asked.slice(before);
  };
  expect(await askedAt(0)).toEqual(["gone", "also-gone"]);
  expect(await askedAt(1)).toEqual(["also-gone"]);
  expect(await askedAt(minutes(10) - 1)).toEqual(["also-gone"]);
  expect(lines).toMatchObject([{ level: "warn", model: "gone" }]);
  expect(await askedAt(minutes(10))).toEqual(["gone", "also-gone"]);
  expect(lines.length).toBe(2);
});

test("questions asked at the same time warn once as well", async () => {
  await using upstream = await upstreamWithout("gone");
  const { gateway, lines } = gatewayAt(upstream);
  await Promise.all(Array.from({ length: 5 }, () => gateway.complete(hello, patient())));
  expect(lines.length).toBe(1);
});

test("the error names what was asked and what the key may use where no model exists", async () => {
  await using upstream = await upstreamWithout("gone", "also-gone");
  const { gateway } = gatewayAt(upstream, { models: ["gone", "also-gone"] });
  for (const call of [gateway.complete(hello, patient()), gateway.stream(hello, patient())]) {
    const { reason, key, params } = await failure(call);
    expect(reason).toBe("model_not_found");
    expect(t("en", key, params)).toBe(
      "The provider has none of these models: gone, also-gone; this key may use: kimi-k2.5, kimi-k3",
    );
  }
});

test("models known to be missing are not asked again, and the error stays the same", async () => {
  await using upstream = await upstreamWithout("gone");
  const { gateway } = gatewayAt(upstream, { models: ["gone"] });
  const first = await failure(gateway.complete(hello, patient()));
  const second = await failure(gateway.complete(hello, patient()));
  expect(second.params).toEqual(first.params);
  expect(upstream.asked).toEqual(["gone"]);
});

test("at most twenty available models are named", async () => {
  const models = Array.from({ length: 30 }, (_, index) => `m${index}`);
  await using upstream = await startUpstream({ models });
  upstream.script("gone", behaviours.noModel());
  const { params } = await failure(
    gatewayAt(upstream, { models: ["gone"] }).gateway.complete(hello, patient()),
  );
  expect(params.available).toBe(models.slice(0, 20).join(", "));
});

test.each([
  ["fails", behaviours.status(500)],
  ["hangs", behaviours.hang()],
  ["is empty", behaviours.status(200, { body: { data: [] } })],
])("a dash stands for the available models where their list %s", async (_, play) => {
  await using upstream = await upstreamWithout("gone");
  upstream.scriptModels(play);
  const { gateway } = gatewayAt(upstream, { models: ["gone"], listMs: 50 });
  expect((await failure(gateway.complete(hello, patient()))).params).toEqual({
    asked: "gone",
    available: "-",
  });
});

test("a named model is asked alone, even where it was missing a moment ago", async () => {
  await using upstream = await upstreamWithout("gone");
  const { gateway, lines } = gatewayAt(upstream);
  await gateway.complete(hello, patient());
  const { params } = await failure(gateway.complete({ ...hello, model: "gone" }, patient()));
  expect(params).toEqual({ asked: "gone", available: "kimi-k2.5, kimi-k3" });
  expect((await gateway.complete({ ...hello, model: "kimi-k2.5" }, patient())).model).toBe("kimi-k2.5");
  expect(upstream.asked).toEqual(["gone", "also-gone", "gone", "kimi-k2.5"]);
  expect(lines.length).toBe(1);
});

test("a named model that does not exist is not held against the list", async () => {
  await using upstream = await upstreamWithout("gone");
  const { gateway, lines } = gatewayAt(upstream);
  await failure(gateway.complete({ ...hello, model: "gone" }, patient()));
  expect(lines).toEqual([]);
  await gateway.complete(hello, patient());
  expect(upstream.asked).toEqual(["gone", "gone", "also-gone"]);
});

test("any other error is not answered by another model", async () => {
  await using upstream = await startUpstream();
  upstream.script("gone", behaviours.status(401));
  const { gateway } = gatewayAt(upstream);
  expect((await failure(gateway.complete(hello, patient()))).reason).toBe("unauthorized");
  expect((await failure(gateway.stream(hello, patient()))).reason).toBe("unauthorized");
  expect(upstream.asked).toEqual(["gone", "gone"]);
});

test("echo answers where it is named, and where it is the list, without asking anybody", async () => {
  await using upstream = await startUpstream();
  const named = await gatewayAt(upstream).gateway.complete({ ...hello, model: "echo" }, patient());
  const listed = await gatewayAt(upstream, { models: ["echo"] }).gateway.complete(hello, patient());
  expect(named).toEqual(listed);
  expect(named.content).toStartWith("[echo]");
  expect(upstream.requests).toEqual([]);
});

test("an error before the first piece is thrown at once, a later one from the events", async () => {
  await using upstream = await startUpstream();
  let cut = () => {};
  upstream.script("gone", behaviours.events({ error: { message: "overloaded" } }), (exchange) => {
    behaviours.hangMidStream()(exchange);
    cut = () => exchange.response.destroy();
  });
  const { gateway } = gatewayAt(upstream);
  expect((await failure(gateway.stream(hello, patient()))).reason).toBe("failed");
  await using answer = await gateway.stream(hello, patient());
  cut();
  expect((await failure(collect(answer.events))).reason).toBe("cut");
});

type Answer = Awaited<ReturnType<ReturnType<typeof gatewayAt>["gateway"]["stream"]>>;

test.each([
  ["cancel, though nobody has read", (answer: Answer) => answer.cancel()],
  ["return, though nobody has read", (answer: Answer) => answer.events.return?.()],
  ["disposal", (answer: Answer) => answer[Symbol.asyncDispose]()],
  [
    "leaving the loop",
    async (answer: Answer) => {
      for await (const _ of answer.events) break;
    },
  ],
] as const)("%s ends the upstream call and the events", async (_, leave) => {
  await using upstream = await startUpstream();
  upstream.script("gone", behaviours.hangMidStream());
  const answer = await gatewayAt(upstream).gateway.stream(hello, patient());
  await leave(answer);
  await (await upstream.request(0)).aborted;
  expect(await answer.events.next()).toEqual({ done: true, value: undefined });
  await answer.cancel();
});

test("cancelling while the next piece is awaited ends the upstream call and the wait", async () => {
  await using upstream = await startUpstream();
  upstream.script("gone", behaviours.hangMidStream());
  const answer = await gatewayAt(upstream).gateway.stream(hello, patient());
  // The two pieces that were sent; a third never comes.
  for (let piece = 0; piece < 2; piece++) await answer.events.next();
  const waiting = rejection(answer.events.next());
  await answer.cancel();
  await (await upstream.request(0)).aborted;
  expect(await waiting).toMatchObject({ name: "AbortError" });
});

const left = new Error("the caller has left");

test("a caller who leaves before the first piece ends the upstream call", async () => {
  await using upstream = await startUpstream();
  upstream.script("gone", behaviours.hang());
  const caller = new AbortController();
  const calls = Promise.all([
    rejection(gatewayAt(upstream).gateway.stream(hello, caller)),
    rejection(gatewayAt(upstream).gateway.complete(hello, caller)),
  ]);
  const seen = [await upstream.request(0), await upstream.request(1)];
  caller.abort(left);
  expect(await calls).toEqual([left, left]);
  for (const { aborted } of seen) await aborted;
});

test("a caller who leaves in the middle ends the upstream call, read or not", async () => {
  await using upstream = await startUpstream();
  upstream.script("gone", behaviours.hangMidStream());
  const caller = new AbortController();
  const answer = await gatewayAt(upstream).gateway.stream(hello, caller);
  caller.abort(left);
  await (await upstream.request(0)).aborted;
  expect(await rejection(collect(answer.events))).toBe(left);
});

test("a caller who leaves while the available models are looked up gets no model error", async () => {
  await using upstream = await upstreamWithout("gone");
  upstream.scriptModels(behaviours.hang());
  const caller = new AbortController();
  const call = rejection(gatewayAt(upstream, { models: ["gone"] }).gateway.complete(hello, caller));
  const { aborted } = await upstream.request(1);
  caller.abort(left);
  expect(await call).toBe(left);
  await aborted;
});
