import { describe, expect, test } from "bun:test";
import { startTestApp, type TestApp, toRequest } from "../harness/app.ts";
import { type Behaviour, behaviours, startUpstream, texts, type Upstream } from "../harness/upstream.ts";

const canary = "sk-canary-0123456789";

const startWith = (upstream: Upstream, environment: Record<string, string> = {}) =>
  startTestApp({
    environment: {
      OPEN_API_KEY: canary,
      OPEN_API_BASE: upstream.baseUrl,
      OPEN_API_MODEL: "kimi-k2-turbo-preview,kimi-k2.5",
      ...environment,
    },
  });

const ask = (app: TestApp, body: object, headers: Record<string, string> = {}) =>
  app.call("POST", "/app/completion", { body, headers });

const stream = (app: TestApp, body: object, headers: Record<string, string> = {}) =>
  app.fetch(toRequest("POST", "/app/completion", { body: { ...body, stream: true }, headers }));

const event = (name: string, data: object) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

const usage = { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18, cached_tokens: 4 };
const end = { model: "kimi-k2-turbo-preview", finish_reason: "stop", usage };

/** A promise and what fulfils it. */
const gate = () => Promise.withResolvers<void>();

const systemPrompt =
  "你是 Kimi，由 Moonshot AI 提供的人工智能助手，你更擅长中文和英文的对话。你会为用户提供安全，有帮助，准确的回答。" +
  "同时，你会拒绝一切涉及恐怖主义，种族歧视，黄色暴力等问题的回答。Moonshot AI 为专有名词，不可翻译成其他语言。";

describe("a whole answer", () => {
  test("answers Chinese and English questions from the provider, with usage and model", async () => {
    await using upstream = await startUpstream();
    await using app = await startWith(upstream);
    const { status, code, message, data } = await ask(app, { query: "你好" });
    expect({ status, code, message, data }).toEqual({
      status: 200,
      code: "SUCCESS",
      message: "",
      data: { content: texts.zh, ...end },
    });
    const english = await ask(app, { query: "Hello", stream: false });
    expect(english.data).toEqual({ content: texts.en, ...end });
  });

  test("asks the provider with the key, the system prompt, temperature 0.6 and the question to the letter", async () => {
    await using upstream = await startUpstream();
    await using app = await startWith(upstream);
    const query = `  "quoted" \\ {name}\n🙂${"中".repeat(1900)} `;
    expect((await ask(app, { query })).code).toBe("SUCCESS");
    const { path, headers, body } = await upstream.request(0);
    expect(path).toBe("/v1/chat/completions");
    expect(headers.authorization).toBe(`Bearer ${canary}`);
    expect(body).toEqual({
      model: "kimi-k2-turbo-preview",
      messages: [
        { role: "system", content: systemPrompt },
        { role: "user", content: query },
      ],
      temperature: 0.6,
      stream: false,
    });
  });

  test("takes a question of 2000 characters, counted in code points", async () => {
    await using upstream = await startUpstream();
    await using app = await startWith(upstream);
    for (const character of ["a", "中", "🙂"]) {
      expect((await ask(app, { query: character.repeat(2000) })).code).toBe("SUCCESS");
    }
    expect(upstream.requests).toHaveLength(3);
  });

  test("asks the model that is named, and refuses one that is not in the list without asking anybody", async () => {
    await using upstream = await startUpstream();
    await using app = await startWith(upstream);
    const named = await ask(app, { query: "hi", model: "kimi-k2.5" });
    expect(named.data).toMatchObject({ model: "kimi-k2.5" });
    const { code, data } = await ask(app, { query: "hi", model: "gpt-canary" });
    expect({ code, data }).toEqual({
      code: "VALIDATE_ERROR",
      data: { model: ["只能是以下之一:kimi-k2-turbo-preview, kimi-k2.5, echo"] },
    });
    expect(upstream.asked).toEqual(["kimi-k2.5"]);
  });

  test("moves on to the next model where the first does not exist, and remembers that", async () => {
    await using upstream = await startUpstream();
    upstream.script("kimi-k2-turbo-preview", behaviours.noModel());
    await using app = await startWith(upstream);
    expect((await ask(app, { query: "hi" })).data).toMatchObject({ model: "kimi-k2.5", content: texts.en });
    expect((await ask(app, { query: "hi" })).code).toBe("SUCCESS");
    expect(upstream.asked).toEqual(["kimi-k2-turbo-preview", "kimi-k2.5", "kimi-k2.5"]);
    expect(app.logged()).toContain('"level":"warn","message":"model does not exist and is passed over"');
  });

  test("ends the provider's call when the caller leaves", async () => {
    await using upstream = await startUpstream();
    upstream.script("*", behaviours.hang());
    await using app = await startWith(upstream);
    const caller = new AbortController();
    const request = toRequest("POST", "/app/completion", { body: { query: "hi" } });
    const answer = app.fetch(new Request(request, { signal: caller.signal }));
    const seen = await upstream.request(0);
    caller.abort();
    await seen.aborted;
    await answer;
  });
});

describe("a streamed answer", () => {
  test("answers with deltas and then done, exactly", async () => {
    await using upstream = await startUpstream();
    await using app = await startWith(upstream);
    for (const [query, text] of [
      ["你好", texts.zh],
      ["Hello", texts.en],
    ] as const) {
      const response = await stream(app, { query });
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
      expect(response.headers.get("cache-control")).toBe("no-store");
      expect(response.headers.get("x-accel-buffering")).toBe("no");
      expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
      const pieces = text.match(/.{1,3}/gsu) ?? [];
      expect(await response.text()).toBe(
        pieces.map((content) => event("delta", { content })).join("") + event("done", end),
      );
    }
  });

  test("asks the provider for a stream with usage", async () => {
    await using upstream = await startUpstream();
    await using app = await startWith(upstream);
    await (await stream(app, { query: "hi" })).text();
    const { body } = await upstream.request(0);
    expect(body).toMatchObject({ stream: true, stream_options: { include_usage: true }, temperature: 0.6 });
  });

  test("answers each piece when it comes, not at the end", async () => {
    await using upstream = await startUpstream();
    const { promise: opened, resolve: open } = gate();
    const piece = (content: string) => ({ choices: [{ index: 0, delta: { content } }] });
    upstream.script("*", async ({ response }) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(`data: ${JSON.stringify(piece("first"))}\n\n`);
      await opened;
      const last = { choices: [{ index: 0, delta: {}, finish_reason: "length" }] };
      response.end(
        `data: ${JSON.stringify(piece("second"))}\n\ndata: ${JSON.stringify(last)}\n\ndata: [DONE]\n\n`,
      );
    });
    await using app = await startWith(upstream);
    const reader = (await stream(app, { query: "hi" })).body
      ?.pipeThrough(new TextDecoderStream())
      .getReader();
    expect(await reader?.read()).toMatchObject({ value: event("delta", { content: "first" }) });
    open();
    expect(await reader?.read()).toMatchObject({ value: event("delta", { content: "second" }) });
    expect(await reader?.read()).toMatchObject({
      value: event("done", { model: "kimi-k2-turbo-preview", finish_reason: "length", usage: null }),
    });
    expect((await reader?.read())?.done).toBe(true);
  });

  test("ends with an error event where the provider breaks off after the first piece", async () => {
    await using upstream = await startUpstream();
    upstream.script("*", behaviours.endEarly());
    await using app = await startWith(upstream);
    const text = await (await stream(app, { query: "hi" }, { "accept-language": "en" })).text();
    expect(text).toBe(
      event("delta", { content: "Hel" }) +
        event("delta", { content: "lo," }) +
        event("error", {
          code: "UPSTREAM_ERROR",
          message: "The provider broke off in the middle of its answer",
          data: { reason: "cut", retryable: true },
        }),
    );
  });

  test("ends with an error event where the provider falls silent for too long", async () => {
    await using upstream = await startUpstream();
    upstream.script("*", behaviours.hangMidStream());
    await using app = await startWith(upstream, { LLMOPS_UPSTREAM_IDLE_TIMEOUT: "0.1" });
    const text = await (await stream(app, { query: "hi" })).text();
    expect(text).toEndWith(
      event("error", {
        code: "UPSTREAM_ERROR",
        message: "模型服务在回答中途停顿过久",
        data: { reason: "timeout_idle", retryable: true },
      }),
    );
    await (await upstream.request(0)).aborted;
  });

  test("answers with the plain envelope where it fails before the first piece", async () => {
    await using upstream = await startUpstream();
    upstream.script("*", behaviours.status(401));
    await using app = await startWith(upstream);
    const response = await stream(app, { query: "hi" });
    expect(response.headers.get("content-type")).toStartWith("application/json");
    expect(response.headers.get("x-llmops-code")).toBe("UPSTREAM_ERROR");
    expect(await response.json()).toMatchObject({ data: { reason: "unauthorized" } });
  });

  test("ends the provider's call when the caller stops reading", async () => {
    await using upstream = await startUpstream();
    upstream.script("*", behaviours.hangMidStream());
    await using app = await startWith(upstream);
    const reader = (await stream(app, { query: "hi" })).body?.getReader();
    await reader?.read();
    await reader?.cancel();
    await (await upstream.request(0)).aborted;
  });
});

describe("a provider's failure", () => {
  const failures: [
    what: string,
    play: Behaviour,
    expected: object,
    environment?: Record<string, string>,
    whole?: object,
  ][] = [
    [
      "a refused key",
      behaviours.status(401, { body: { error: { message: `bad key ${canary}` } } }),
      {
        message: "模型服务拒绝了密钥:请检查 OPEN_API_KEY 与 OPEN_API_BASE 是否匹配",
        data: { reason: "unauthorized", retryable: false },
      },
    ],
    [
      "too many calls",
      behaviours.status(429, { headers: { "retry-after": "30" } }),
      {
        message: "模型服务请求过于频繁或额度已用完,请稍后重试",
        data: { reason: "rate_limited", retryable: true, retry_after: 30 },
      },
    ],
    [
      "a refused request",
      behaviours.status(400),
      { message: "模型服务不接受这个请求", data: { reason: "bad_request", retryable: false } },
    ],
    [
      "a page instead of an answer",
      behaviours.text("<html>internal canary</html>"),
      { message: "模型服务返回了无法解析的内容", data: { reason: "malformed", retryable: false } },
    ],
    [
      "silence",
      behaviours.hang(),
      { message: "模型服务迟迟没有开始回答", data: { reason: "timeout_first_byte", retryable: true } },
      // An answer as a whole may take its time: only the limit on everything bounds it.
      { LLMOPS_UPSTREAM_FIRST_BYTE_TIMEOUT: "0.1", LLMOPS_UPSTREAM_TOTAL_TIMEOUT: "0.3" },
      { message: "模型服务的回答超过了总时限", data: { reason: "timeout_total", retryable: true } },
    ],
  ];

  for (const [what, play, expected, environment, expectedWhole = expected] of failures) {
    test(`answers ${what} with UPSTREAM_ERROR that says what to do and nothing internal, streamed or not`, async () => {
      await using upstream = await startUpstream();
      upstream.script("*", play);
      await using app = await startWith(upstream, environment);
      const whole = await app.fetch(toRequest("POST", "/app/completion", { body: { query: "hi" } }));
      const streamed = await stream(app, { query: "hi" });
      for (const response of [whole, streamed]) {
        expect(response.status).toBe(200);
        const text = await response.text();
        expect(JSON.parse(text)).toEqual({
          code: "UPSTREAM_ERROR",
          ...(response === whole ? expectedWhole : expected),
        });
        expect(text).not.toContain("canary");
      }
      expect(app.logged()).not.toContain(canary);
    });
  }

  test("answers that no model exists with those that do", async () => {
    await using upstream = await startUpstream({ models: ["moonshot-v1-8k", "kimi-k3"] });
    upstream.script("*", behaviours.noModel());
    await using app = await startWith(upstream);
    const { code, message } = await ask(app, { query: "hi" });
    expect({ code, message }).toEqual({
      code: "UPSTREAM_ERROR",
      message:
        "模型服务没有这些模型:kimi-k2-turbo-preview, kimi-k2.5;当前密钥可用的模型:moonshot-v1-8k, kimi-k3",
    });
  });

  test("answers that there is no provider at the configured address", async () => {
    const upstream = await startUpstream();
    await using app = await startWith(upstream);
    await upstream[Symbol.asyncDispose]();
    const { code, message } = await ask(app, { query: "hi" });
    expect({ code, message }).toEqual({
      code: "UPSTREAM_ERROR",
      message: "无法连接模型服务:请检查 OPEN_API_BASE 与网络",
    });
  });
});

describe("without a key", () => {
  test("answers with what to set, in both languages, and asks nobody", async () => {
    await using upstream = await startUpstream();
    await using app = await startTestApp({ environment: { OPEN_API_BASE: upstream.baseUrl } });
    const zh = await ask(app, { query: "hi", model: "kimi-k2.5" });
    expect(zh).toMatchObject({
      code: "UPSTREAM_ERROR",
      message: '尚未配置模型服务的密钥:请设置环境变量 OPEN_API_KEY 后重启,或使用 model "echo" 离线试用',
      data: { reason: "no_key", retryable: false },
    });
    const en = await ask(app, { query: "hi", model: "kimi-k2.5" }, { "accept-language": "en" });
    expect(en.message).toBe(
      'No provider key is set: set the environment variable OPEN_API_KEY and restart, or try model "echo" offline',
    );
    expect(upstream.requests).toHaveLength(0);
  });

  test("answers from the echo in development, which says that it is one, in both languages", async () => {
    await using app = await startTestApp();
    const zh = await ask(app, { query: "你好" });
    expect(zh).toMatchObject({
      code: "SUCCESS",
      data: {
        model: "echo",
        content: "[echo] 这是离线回显,没有调用任何模型。你说:你好",
        finish_reason: "stop",
      },
    });
    const en = await ask(app, { query: "Hello" });
    expect(en.data).toMatchObject({
      content: "[echo] This is an offline echo; no model was called. You said: Hello",
    });
    expect((await ask(app, { query: "Hello" })).data).toEqual(en.data);
  });

  test("streams the echo as the same text with the same usage", async () => {
    await using app = await startTestApp();
    const { data: whole } = await ask(app, { query: "你好 world 🙂" });
    const text = await (await stream(app, { query: "你好 world 🙂" })).text();
    const events = text
      .trimEnd()
      .split("\n\n")
      .map((each) => each.match(/^event: (\w+)\ndata: (.*)$/)?.slice(1) ?? []);
    const deltas = events.slice(0, -1).map(([name, data = "{}"]) => [name, JSON.parse(data).content]);
    expect(new Set(deltas.map(([name]) => name))).toEqual(new Set(["delta"]));
    const [last, data = "{}"] = events.at(-1) ?? [];
    expect(last).toBe("done");
    expect({ content: deltas.map(([, content]) => content).join(""), ...JSON.parse(data) }).toEqual(whole);
  });

  test("answers from the echo wherever it is named, with a key too", async () => {
    await using upstream = await startUpstream();
    await using app = await startWith(upstream);
    expect((await ask(app, { query: "hi", model: "echo" })).data).toMatchObject({ model: "echo" });
    expect(upstream.requests).toHaveLength(0);
  });

  test("does not answer from the echo by itself once a key is set", async () => {
    await using upstream = await startUpstream();
    await using app = await startWith(upstream);
    expect((await ask(app, { query: "hi" })).data).toMatchObject({ content: texts.en });
  });
});
