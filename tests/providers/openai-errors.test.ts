import { expect, test } from "bun:test";
import { t } from "../../src/i18n/messages.ts";
import { type Behaviour, behaviours, startUpstream } from "../harness/upstream.ts";
import { apiKey, collect, failure, patient, providerAt, question, reasonOf } from "./fixture.ts";

const error = (message: string, rest: object = {}) => ({ body: { error: { message, ...rest } } });
const page = "<html><h1>kimi-k2.5</h1></html>";

const refusals: [string, Behaviour, string][] = [
  ["401", behaviours.status(401), "unauthorized"],
  ["403", behaviours.status(403), "unauthorized"],
  ["402, a used-up balance", behaviours.status(402), "rate_limited"],
  ["429", behaviours.status(429), "rate_limited"],
  ["400", behaviours.status(400), "bad_request"],
  ["413", behaviours.status(413), "bad_request"],
  ["422", behaviours.status(422), "bad_request"],
  ["408", behaviours.status(408), "failed"],
  ["500", behaviours.status(500), "failed"],
  ["503 with a page", behaviours.text(page, { status: 503 }), "failed"],
  ["404 in Moonshot's words", behaviours.noModel(), "model_not_found"],
  [
    "404 of Moonshot's type",
    behaviours.status(404, error("no", { type: "resource_not_found_error" })),
    "model_not_found",
  ],
  [
    "404 with OpenAI's code",
    behaviours.status(404, error("no", { code: "model_not_found" })),
    "model_not_found",
  ],
  [
    "403 with OpenAI's code",
    behaviours.status(403, error("no", { code: "model_not_found" })),
    "model_not_found",
  ],
  ["404 that names the model", behaviours.status(404, error('"kimi-k2.5" not found')), "model_not_found"],
  ["400 in DeepSeek's words", behaviours.status(400, error("Model Not Exist")), "model_not_found"],
  [
    "404 for an unknown path",
    behaviours.status(404, error("Invalid URL (POST /chat/completions)")),
    "not_found",
  ],
  ["404 with a page", behaviours.text(page, { status: 404 }), "not_found"],
  ["a page with 200", behaviours.text(page), "malformed"],
  ["a plain text with 200", behaviours.text("hello", { type: "text/plain" }), "malformed"],
  ["broken JSON", behaviours.text('{"choices":[', { type: "application/json" }), "malformed"],
  ["an empty body", behaviours.text("", { type: "application/json" }), "malformed"],
  ["a JSON list", behaviours.text("[]", { type: "application/json" }), "malformed"],
  ["JSON of another shape", behaviours.text('{"ok":true}', { type: "application/json" }), "malformed"],
  ["choices of another type", behaviours.text('{"choices":{}}', { type: "application/json" }), "malformed"],
  ["content of another type", behaviours.json({ content: { text: "x" } }), "malformed"],
  [
    "an error within a 200",
    behaviours.text('{"error":"overloaded"}', { type: "application/json" }),
    "failed",
  ],
  ["a connection closed without an answer", behaviours.reset(), "unreachable"],
  ["a connection closed in the middle", behaviours.cut(), "cut"],
];

test.each(refusals)("%s is told apart, whole and streamed", async (_, play, reason) => {
  await using upstream = await startUpstream();
  upstream.script("*", play);
  const provider = providerAt(upstream);
  expect([
    await reasonOf(provider.complete(question("hi"), patient())),
    await reasonOf(collect(provider.stream(question("hi"), patient()))),
  ]).toEqual([reason, reason] as never);
});

const delta = { choices: [{ index: 0, delta: { content: "a" } }] };

test.each([
  ["an error object", "failed", [delta, { error: { message: "overloaded" } }]],
  ["an error event", "failed", [delta, 'event: error\ndata: {"message":"overloaded"}\n\n']],
  ["broken JSON", "malformed", [delta, "data: {nope\n\n"]],
  ["a number", "malformed", [delta, "data: 7\n\n"]],
  ["null", "malformed", [delta, "data: null\n\n"]],
  ["choices of another type", "malformed", [delta, { choices: {} }]],
  ["an end without a finish reason", "cut", [delta]],
  ["[DONE] without a finish reason", "cut", [delta, "data: [DONE]\n\n"]],
  ["no event at all", "cut", []],
] satisfies [string, string, (object | string)[]][])("a stream with %s is %s", async (_, reason, events) => {
  await using upstream = await startUpstream();
  upstream.script("*", behaviours.events(...events));
  expect<string>(await reasonOf(collect(providerAt(upstream).stream(question("hi"), patient())))).toBe(
    reason,
  );
});

test.each([
  ["a page", behaviours.text(page), "malformed"],
  ["an object without a list", behaviours.text("{}", { type: "application/json" }), "malformed"],
  ["401", behaviours.status(401), "unauthorized"],
  ["404", behaviours.status(404), "not_found"],
] as const)("%s for the model list is told apart", async (_, play, reason) => {
  await using upstream = await startUpstream();
  upstream.scriptModels(play);
  expect(await reasonOf(providerAt(upstream).listModels(patient()))).toBe(reason);
});

test("a port where nobody listens is unreachable", async () => {
  const { baseUrl } = await (async () => {
    await using upstream = await startUpstream();
    return upstream;
  })();
  expect(await reasonOf(providerAt({ baseUrl }).complete(question("hi"), patient()))).toBe("unreachable");
});

test("a failing TLS handshake is unreachable", async () => {
  await using upstream = await startUpstream();
  const baseUrl = upstream.baseUrl.replace("http:", "https:");
  expect(await reasonOf(providerAt({ baseUrl }).complete(question("hi"), patient()))).toBe("unreachable");
});

test("a redirect is not followed: the conversation goes to the configured address only", async () => {
  await using elsewhere = await startUpstream();
  await using upstream = await startUpstream();
  const location = `${elsewhere.baseUrl}/chat/completions`;
  upstream.script("*", behaviours.status(307, { headers: { location } }));
  expect(await reasonOf(providerAt(upstream).complete(question("hi"), patient()))).toBe("not_found");
  expect(elsewhere.requests).toEqual([]);
});

test("the provider's own words are private, short and without the key", async () => {
  await using upstream = await startUpstream();
  upstream.script("*", behaviours.status(401, error(`Incorrect API key ${apiKey}: ${"x".repeat(9_999)}`)));
  const { cause, key, params, data } = await failure(
    providerAt(upstream).complete(question("hi"), patient()),
  );
  expect(t("en", key, params)).toBe(
    "The provider refused the key: check that OPEN_API_KEY belongs to OPEN_API_BASE",
  );
  expect(data).toEqual({ reason: "unauthorized", retryable: false });
  const words = (cause as Error).message;
  expect(words).toStartWith("401 Incorrect API key ***: xxx");
  expect(words.length).toBeLessThan(600);
});

test("a missing model is named in the message", async () => {
  await using upstream = await startUpstream();
  upstream.script("*", behaviours.noModel());
  const { key, params } = await failure(providerAt(upstream).complete(question("hi"), patient()));
  expect(t("zh", key, params)).toBe("模型服务没有这些模型:kimi-k2.5;当前密钥可用的模型:-");
});

test.each([
  ["30", 30],
  ["6.2", 7],
  ["999999999", 86_400],
  [new Date(Date.now() + 3_600_000).toUTCString(), expect.closeTo(3_600, -1)],
  ["soon", undefined],
])("Retry-After %s is handed on in seconds", async (header, seconds) => {
  await using upstream = await startUpstream();
  upstream.script("*", behaviours.status(429, { headers: { "retry-after": header } }));
  const { data } = await failure(providerAt(upstream).complete(question("hi"), patient()));
  expect(data).toEqual({ reason: "rate_limited", retryable: true, ...(seconds && { retry_after: seconds }) });
});

test("500 twice is repeated until it works", async () => {
  await using upstream = await startUpstream();
  const failing = behaviours.status(500, { headers: { "retry-after-ms": "1" } });
  upstream.script("*", failing, failing, behaviours.json({ content: "at last" }));
  expect((await providerAt(upstream, { maxRetries: 2 }).complete(question("hi"), patient())).content).toBe(
    "at last",
  );
  expect(upstream.requests.length).toBe(3);
});

test("500 three times is given up after two repetitions, streamed as well", async () => {
  await using upstream = await startUpstream();
  upstream.script("*", behaviours.status(500, { headers: { "retry-after-ms": "1" } }));
  const provider = providerAt(upstream, { maxRetries: 2 });
  expect(await reasonOf(collect(provider.stream(question("hi"), patient())))).toBe("failed");
  expect(upstream.requests.length).toBe(3);
});

test("a connection that breaks before the answer is repeated", async () => {
  await using upstream = await startUpstream();
  upstream.script("*", behaviours.reset(), behaviours.ok());
  await providerAt(upstream, { maxRetries: 1 }).complete(question("hi"), patient());
  expect(upstream.requests.length).toBe(2);
});

test("429 with a short Retry-After is repeated", async () => {
  await using upstream = await startUpstream();
  upstream.script("*", behaviours.status(429, { headers: { "retry-after": "0" } }), behaviours.ok());
  await providerAt(upstream, { maxRetries: 2 }).complete(question("hi"), patient());
  expect(upstream.requests.length).toBe(2);
});

test.each([
  ["429 with a long Retry-After", behaviours.status(429, { headers: { "retry-after": "6" } })],
  ["429 with a long retry-after-ms", behaviours.status(429, { headers: { "retry-after-ms": "6000" } })],
  ["503 with a long Retry-After", behaviours.status(503, { headers: { "retry-after": "6" } })],
  ["400", behaviours.status(400)],
  ["401", behaviours.status(401)],
  ["a cut answer", behaviours.cut()],
  ["a page", behaviours.text(page)],
])("%s is not repeated", async (_, play) => {
  await using upstream = await startUpstream();
  upstream.script("*", play);
  await failure(providerAt(upstream, { maxRetries: 2 }).complete(question("hi"), patient()));
  expect(upstream.requests.length).toBe(1);
});
