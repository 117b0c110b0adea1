import { expect, test } from "bun:test";
import { behaviours, startUpstream, texts, type UsagePlace } from "../harness/upstream.ts";
import { apiKey, collect, patient, providerAt, question, rejection } from "./fixture.ts";

const counted = { promptTokens: 11, completionTokens: 7, totalTokens: 18, cachedTokens: 4 };

const chunk = (choice: object, rest: object = {}) => ({ choices: [{ index: 0, ...choice }], ...rest });
const done = "data: [DONE]\n\n";

test.each([
  ["你好", texts.zh],
  ["Hello", texts.en],
])("%s is answered whole, with model, finish reason and usage", async (content, expected) => {
  await using upstream = await startUpstream();
  const answer = await providerAt(upstream).complete(question(content), patient());
  expect(answer).toEqual({ model: "kimi-k2.5", content: expected, finishReason: "stop", usage: counted });
});

test.each(["own-chunk", "choice", "top-level", "cumulative"] satisfies UsagePlace[])(
  "a stream is answered in pieces, and usage in place %s is read",
  async (usage) => {
    await using upstream = await startUpstream();
    upstream.script("*", behaviours.ok({ usage }));
    const { deltas, content, done } = await collect(providerAt(upstream).stream(question("你好"), patient()));
    expect(content).toBe(texts.zh);
    expect(deltas.length).toBeGreaterThan(3);
    expect(done).toEqual({ type: "done", model: "kimi-k2.5", finishReason: "stop", usage: counted });
  },
);

test("usage is null where a stream carries none", async () => {
  await using upstream = await startUpstream();
  upstream.script("*", behaviours.ok({ usage: "none" }));
  expect((await collect(providerAt(upstream).stream(question("hi"), patient()))).done.usage).toBeNull();
});

test.each([
  ["OpenAI", { prompt_tokens_details: { cached_tokens: 4 } }, 4],
  ["Moonshot", { cached_tokens: 4 }, 4],
  ["DeepSeek", { prompt_cache_hit_tokens: 4, prompt_cache_miss_tokens: 7 }, 4],
  ["nobody", {}, 0],
  ["a liar, whose cache holds more than the prompt", { cached_tokens: 99 }, 11],
])("cached tokens are read as %s spells them", async (_, spelling, cachedTokens) => {
  await using upstream = await startUpstream();
  const usage = { prompt_tokens: 11, completion_tokens: 7, ...spelling };
  upstream.script("*", behaviours.json({ content: "x" }, { usage }));
  const answer = await providerAt(upstream).complete(question("hi"), patient());
  expect(answer.usage).toEqual({ promptTokens: 11, completionTokens: 7, totalTokens: 18, cachedTokens });
});

test("usage that makes no sense is null", async () => {
  await using upstream = await startUpstream();
  upstream.script(
    "*",
    behaviours.json({ content: "x" }, { usage: { prompt_tokens: -1, completion_tokens: "7" } }),
  );
  expect((await providerAt(upstream).complete(question("hi"), patient())).usage).toBeNull();
});

test("reasoning is no content, in a stream and in a whole answer", async () => {
  await using upstream = await startUpstream();
  upstream.script(
    "*",
    behaviours.events(
      chunk({ delta: { reasoning_content: "hmm", content: null } }),
      chunk({ delta: { content: "yes" } }),
      chunk({ finish_reason: "stop" }),
    ),
    behaviours.json({ content: null, reasoning_content: "hmm" }),
  );
  const provider = providerAt(upstream);
  expect((await collect(provider.stream(question("hi"), patient()))).deltas).toEqual(["yes"]);
  expect((await provider.complete(question("hi"), patient())).content).toBe("");
});

test("only the first of several interleaved choices is read", async () => {
  await using upstream = await startUpstream();
  const two = (one: object, other: object) => ({
    choices: [
      { index: 1, ...other },
      { index: 0, ...one },
    ],
  });
  upstream.script(
    "*",
    behaviours.events(
      two({ delta: { content: "a" } }, { delta: { content: "X" } }),
      chunk({ index: 1, delta: { content: "Y" }, finish_reason: "length" }),
      two({ delta: { content: "b" }, finish_reason: "stop" }, {}),
      done,
    ),
  );
  const answer = await collect(providerAt(upstream).stream(question("hi"), patient()));
  expect([answer.content, answer.done.finishReason]).toEqual(["ab", "stop"]);
});

test("a provider that answers a stream whole is read as one piece", async () => {
  await using upstream = await startUpstream();
  upstream.script("*", behaviours.json({ content: "all at once" }));
  const { deltas, done } = await collect(providerAt(upstream).stream(question("hi"), patient()));
  expect(deltas).toEqual(["all at once"]);
  expect(done).toMatchObject({ finishReason: "stop", usage: counted });
});

test("a stream without a content type is read all the same", async () => {
  await using upstream = await startUpstream();
  upstream.script("*", ({ response }) => {
    response.writeHead(200);
    response.end(
      `data: ${JSON.stringify(chunk({ delta: { content: "ok" }, finish_reason: "stop" }))}\n\n${done}`,
    );
  });
  expect((await collect(providerAt(upstream).stream(question("hi"), patient()))).content).toBe("ok");
});

test("a stream asks for its usage, and parameters are sent as the model accepts them", async () => {
  await using upstream = await startUpstream();
  const provider = providerAt(upstream);
  const messages = [{ role: "user", content: "hi" }];
  await collect(provider.stream(question("hi", { model: "moonshot-v1-8k", temperature: 0.6 }), patient()));
  await provider.complete(
    question("hi", { temperature: 0.6, max_tokens: 5, stream: true, model: "kimi-k2.5" }),
    patient(),
  );
  expect(upstream.requests.map(({ body }) => body)).toEqual([
    {
      model: "moonshot-v1-8k",
      messages,
      temperature: 0.6,
      stream: true,
      stream_options: { include_usage: true },
    },
    { model: "kimi-k2.5", messages, max_tokens: 5, stream: false },
  ]);
});

test("nothing of the environment and nothing about this machine is sent", async () => {
  await using upstream = await startUpstream();
  const planted = {
    OPENAI_API_KEY: "sk-environment",
    OPENAI_ADMIN_KEY: "sk-admin",
    OPENAI_ORG_ID: "org-environment",
    OPENAI_PROJECT_ID: "proj-environment",
    OPENAI_BASE_URL: "http://127.0.0.1:9/v1",
    OPENAI_CUSTOM_HEADERS: "x-environment: 1\nauthorization: Bearer sk-environment",
  };
  Object.assign(process.env, planted);
  try {
    await providerAt(upstream).complete(question("hi"), patient());
  } finally {
    for (const name of Object.keys(planted)) delete process.env[name];
  }
  const { headers, method, path } = await upstream.request(0);
  expect(`${method} ${path}`).toBe("POST /v1/chat/completions");
  expect(headers.authorization).toBe(`Bearer ${apiKey}`);
  expect(headers["user-agent"]).toBe("llmops");
  // The last four are the runtime's own.
  expect(Object.keys(headers).toSorted()).toEqual(
    ["accept", "authorization", "content-type", "user-agent"]
      .concat(["accept-encoding", "connection", "content-length", "host"])
      .toSorted(),
  );
});

test.each([undefined, ""])(
  "every call says that a key is missing where it is %j, and asks nobody",
  async (key) => {
    await using upstream = await startUpstream();
    const provider = providerAt(upstream, { apiKey: key });
    process.env.OPENAI_API_KEY = "sk-environment";
    try {
      const errors = [
        await rejection(provider.complete(question("hi"), patient())),
        await rejection(collect(provider.stream(question("hi"), patient()))),
        await rejection(provider.listModels(patient())),
      ];
      expect(errors).toMatchObject(Array(3).fill({ reason: "no_key", retryable: false }));
    } finally {
      delete process.env.OPENAI_API_KEY;
    }
    expect(upstream.requests).toEqual([]);
  },
);

test("the models of the key are listed", async () => {
  await using upstream = await startUpstream({ models: ["kimi-k2.5", "kimi-k3"] });
  expect(await providerAt(upstream).listModels(patient())).toEqual(["kimi-k2.5", "kimi-k3"]);
});

test("twenty calls one after the other share one connection", async () => {
  await using upstream = await startUpstream();
  const provider = providerAt(upstream, { connect: async () => {} });
  for (let call = 0; call < 10; call++) {
    await provider.complete(question("hi"), patient());
    await collect(provider.stream(question("hi"), patient()));
  }
  expect(upstream.connections).toBe(1);
});
