import { expect, test } from "bun:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import Anthropic from "@anthropic-ai/sdk";
import { ChatOpenAI } from "@langchain/openai";
import { generateText, jsonSchema, streamText, tool } from "ai";
import OpenAI from "openai";
import { startGateway } from "../harness/gateway.ts";
import { type Play, text } from "../harness/provider.ts";

const question = { role: "user" as const, content: "What is the weather in Paris?" };
const parameters = {
  type: "object" as const,
  properties: { city: { type: "string" as const } },
  required: ["city"],
};

/** Calls the tool `weather` with the arguments cut in two, in either dialect; with its result it says what that was. */
const toolUser: Play = async (it) => {
  const { body, dialect } = it.call;
  const answered = JSON.stringify(body.messages).includes("sunny");
  if (answered) {
    if (!it.stream) return it.whole();
    it.begin();
    await it.piece(text);
    return it.finish();
  }
  const halves = ['{"city":', '"Paris"}'];
  const write = (data: object, event?: string) =>
    it.response.write(`${event ? `event: ${event}\n` : ""}data: ${JSON.stringify(data)}\n\n`);
  const model = body.model;
  if (dialect === "openai") {
    const call = {
      id: "call_1",
      type: "function",
      function: { name: "weather", arguments: halves.join("") },
    };
    const usage = { prompt_tokens: 20, completion_tokens: 9, total_tokens: 29 };
    if (!it.stream) {
      const message = { role: "assistant", content: null, tool_calls: [call] };
      const choices = [{ index: 0, message, finish_reason: "tool_calls" }];
      const answer = { id: "c1", object: "chat.completion", created: 1, model, choices, usage };
      return it.response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
    }
    it.begin();
    const chunk = (delta: object, finish_reason: string | null = null) =>
      write({
        id: "c1",
        object: "chat.completion.chunk",
        created: 1,
        model,
        choices: [{ index: 0, delta, finish_reason }],
      });
    chunk({ tool_calls: [{ index: 0, ...call, function: { name: "weather", arguments: "" } }] });
    for (const half of halves) chunk({ tool_calls: [{ index: 0, function: { arguments: half } }] });
    chunk({}, "tool_calls");
    write({ id: "c1", object: "chat.completion.chunk", created: 1, model, choices: [], usage });
    return it.response.end("data: [DONE]\n\n");
  }
  const block = { type: "tool_use", id: "toolu_1", name: "weather" };
  const usage = { input_tokens: 20, output_tokens: 9 };
  if (!it.stream) {
    const content = [{ ...block, input: { city: "Paris" } }];
    const answer = {
      id: "m1",
      type: "message",
      role: "assistant",
      model,
      content,
      stop_reason: "tool_use",
      usage,
    };
    return it.response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
  }
  it.response.writeHead(200, { "content-type": "text/event-stream" });
  const message = {
    id: "m1",
    type: "message",
    role: "assistant",
    model,
    content: [],
    stop_reason: null,
    usage,
  };
  write({ type: "message_start", message }, "message_start");
  write(
    { type: "content_block_start", index: 0, content_block: { ...block, input: {} } },
    "content_block_start",
  );
  for (const partial_json of halves) {
    write(
      { type: "content_block_delta", index: 0, delta: { type: "input_json_delta", partial_json } },
      "content_block_delta",
    );
  }
  write({ type: "content_block_stop", index: 0 }, "content_block_stop");
  write(
    { type: "message_delta", delta: { stop_reason: "tool_use", stop_sequence: null }, usage },
    "message_delta",
  );
  write({ type: "message_stop" }, "message_stop");
  return it.response.end();
};

for (const model of ["app", "gpt", "claude"]) {
  test(`openai (npm) talks to ${model}: whole, streamed, with usage and with tools`, async () => {
    await using it = await startGateway();
    const client = new OpenAI({ baseURL: `${it.url()}/v1`, apiKey: it.key });
    const whole = await client.chat.completions.create({ model, messages: [question] });
    expect(whole.choices[0]?.message.content).toBe(text);
    expect(whole.usage).toMatchObject({ prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 });

    let streamed = "";
    const usages: unknown[] = [];
    const options = { stream: true as const, stream_options: { include_usage: true } };
    for await (const chunk of await client.chat.completions.create({
      model,
      messages: [question],
      ...options,
    })) {
      streamed += chunk.choices[0]?.delta.content ?? "";
      if (chunk.usage) usages.push(chunk.usage);
    }
    expect(streamed).toBe(text);
    expect(usages).toMatchObject([{ prompt_tokens: 11, completion_tokens: 7 }]);

    // Who does not ask for usage gets no chunk of it, though the provider was asked.
    const plain: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of await client.chat.completions.create({
      model,
      messages: [question],
      stream: true,
    })) {
      plain.push(chunk);
    }
    expect(plain.filter(({ choices }) => choices.length === 0)).toEqual([]);

    it.provider.script(toolUser);
    const tools = [{ type: "function" as const, function: { name: "weather", parameters } }];
    const called = await client.chat.completions.create({ model, messages: [question], tools });
    expect(called.choices[0]).toMatchObject({
      finish_reason: "tool_calls",
      message: {
        tool_calls: [{ type: "function", function: { name: "weather", arguments: expect.any(String) } }],
      },
    });
    const run = client.chat.completions.runTools({
      model,
      messages: [question],
      stream: true,
      tools: [
        {
          type: "function",
          function: { name: "weather", parameters, parse: JSON.parse, function: () => "sunny" },
        },
      ],
    } as never);
    expect(await (run as { finalContent: () => Promise<string> }).finalContent()).toBe(text);
  });

  test(`ai with @ai-sdk/openai-compatible talks to ${model}: whole, streamed and with tools`, async () => {
    await using it = await startGateway();
    const provider = createOpenAICompatible({
      name: "llmops",
      baseURL: `${it.url()}/v1`,
      apiKey: it.key,
      includeUsage: true,
    });
    const prompt = question.content;
    const whole = await generateText({ model: provider(model), prompt });
    expect(whole.text).toBe(text);
    expect(whole.usage).toMatchObject({ inputTokens: 11, outputTokens: 7 });
    const streamed = streamText({ model: provider(model), prompt });
    let seen = "";
    for await (const piece of streamed.textStream) seen += piece;
    expect(seen).toBe(text);
    expect(await streamed.usage).toMatchObject({ inputTokens: 11, outputTokens: 7 });
    it.provider.script(toolUser);
    const weather = tool({
      inputSchema: jsonSchema<{ city: string }>(parameters),
      execute: async () => "sunny",
    });
    const called = await generateText({
      model: provider(model),
      prompt,
      tools: { weather },
      stopWhen: ({ steps }) => steps.length === 2,
    });
    expect(called.text).toBe(text);
    expect(called.steps[0]?.toolCalls[0]).toMatchObject({ toolName: "weather", input: { city: "Paris" } });
  });

  test(`@langchain/openai talks to ${model}: whole, streamed and with tools`, async () => {
    await using it = await startGateway();
    const chat = new ChatOpenAI({ model, apiKey: it.key, configuration: { baseURL: `${it.url()}/v1` } });
    expect((await chat.invoke(question.content)).content).toBe(text);
    let seen = "";
    for await (const chunk of await chat.stream(question.content)) seen += chunk.content;
    expect(seen).toBe(text);
    it.provider.script(toolUser);
    const bound = chat.bindTools([{ type: "function", function: { name: "weather", parameters } }]);
    expect((await bound.invoke(question.content)).tool_calls).toMatchObject([
      { name: "weather", args: { city: "Paris" } },
    ]);
  });

  test(`@anthropic-ai/sdk talks to ${model}: whole, streamed, with tools, and counts tokens`, async () => {
    await using it = await startGateway();
    const client = new Anthropic({ baseURL: it.url(), apiKey: it.key });
    const request = { model, max_tokens: 100, messages: [question] };
    const whole = await client.messages.create(request);
    expect(whole.content).toMatchObject([{ type: "text", text }]);
    expect(whole.usage).toMatchObject({ input_tokens: 7, cache_read_input_tokens: 4, output_tokens: 7 });
    const final = await client.messages.stream(request).finalMessage();
    expect(final.content).toMatchObject([{ type: "text", text }]);
    expect(final.stop_reason).toBe("end_turn");
    expect(final.usage.output_tokens).toBe(7);
    it.provider.script(toolUser);
    const tools = [{ name: "weather", input_schema: parameters }];
    const called = await client.messages.stream({ ...request, tools }).finalMessage();
    expect(called).toMatchObject({
      stop_reason: "tool_use",
      content: [{ type: "tool_use", name: "weather", input: { city: "Paris" } }],
    });
    const { input_tokens } = await client.messages.countTokens({ model, messages: [question] });
    expect(input_tokens).toBeGreaterThan(0);
  });
}

test("openai (npm) gets embeddings, and a clear error from a model that makes none", async () => {
  await using it = await startGateway();
  const client = new OpenAI({ baseURL: `${it.url()}/v1`, apiKey: it.key, maxRetries: 0 });
  const { data, usage } = await client.embeddings.create({
    model: "gpt",
    input: "hi",
    encoding_format: "float",
  });
  expect(data[0]?.embedding).toEqual([0.1, -0.2]);
  expect(usage.prompt_tokens).toBe(3);
  const failure = await client.embeddings
    .create({ model: "claude", input: "hi" })
    .catch((error: unknown) => error);
  expect(failure).toMatchObject({ status: 400 });
  const [made, refused] = await it.records(2);
  expect(made).toMatchObject({
    api: "embeddings",
    prompt_tokens: 3,
    completion_tokens: 0,
    usage_source: "provider",
  });
  expect(refused).toMatchObject({ status: "error", status_code: 400, usage_source: "none" });
});

test("a body travels to the letter but for the model's name, and so does the answer", async () => {
  await using it = await startGateway();
  const answer =
    '{ "id":"x", "choices":[], "odd" : 12345678901234567890, "usage":{"prompt_tokens":1,"completion_tokens":2} }';
  let seen = "";
  it.provider.script(({ call, response }) => {
    seen = JSON.stringify(call.body);
    response.writeHead(200, { "content-type": "application/json" }).end(answer);
  });
  const headers = { authorization: `Bearer ${it.key}`, "content-type": "application/json" };
  const sent =
    '{"messages":[{"role":"user","content":"hi"}], "model":"gpt","unknown":{"deep":[1,null]},"seed":7, "n":2}';
  const response = await fetch(`${it.url()}/v1/chat/completions`, { method: "POST", headers, body: sent });
  expect(await response.text()).toBe(answer);
  expect(seen).toBe(JSON.stringify(JSON.parse(sent.replace('"gpt"', '"model-1"'))));
});

test("the app's own prompt, parameters and locks apply to its own name, and to no other", async () => {
  const config = {
    system_prompt: "Be brief.",
    parameters: { temperature: 0.2, max_tokens: 50 },
    locked: ["temperature"],
  };
  await using it = await startGateway({ config });
  await it.post("/v1/chat/completions", { model: "app", messages: [question], max_tokens: 9 });
  await it.post("/v1/messages", { model: it.appId, max_tokens: 9, messages: [question], system: "Mine." });
  await it.post("/v1/chat/completions", { model: "gpt", messages: [question], temperature: 1 });
  expect(it.provider.calls.map(({ body }) => body)).toMatchObject([
    { temperature: 0.2, max_tokens: 9, messages: [{ role: "system", content: "Be brief." }, question] },
    { temperature: 0.2, max_tokens: 9, messages: [{ role: "system", content: "Be brief.Mine." }, question] },
    { temperature: 1, messages: [question] },
  ]);
  const locked = await it.post("/v1/chat/completions", {
    model: "app",
    messages: [question],
    temperature: 1,
  });
  expect(locked.status).toBe(400);
  expect(await locked.json()).toMatchObject({ error: { param: "temperature" } });
  const foreign = await it.post("/v1/chat/completions", { model: "echo", messages: [question] });
  expect([foreign.status, await foreign.json()]).toMatchObject([404, { error: { code: "model_not_found" } }]);
});

test("a lock holds under every name that a parameter has", async () => {
  const config = { parameters: { max_tokens: 50, stop: "END" }, locked: ["max_tokens", "stop"] };
  await using it = await startGateway({ config });
  const asked = async (path: string, more: object) => {
    const answer = await it.post(path, { model: "app", messages: [question], ...more });
    return [answer.status, ((await answer.json()) as { error: { param?: string } }).error];
  };
  expect(await asked("/v1/chat/completions", { max_completion_tokens: 9000 })).toMatchObject([
    400,
    { param: "max_completion_tokens" },
  ]);
  expect(await asked("/v1/messages", { stop_sequences: ["x"] })).toMatchObject([
    400,
    { type: "invalid_request_error" },
  ]);
  expect(it.provider.calls).toEqual([]);
});

test("an app's `max_completion_tokens` limits answers in Anthropic's dialect as well", async () => {
  await using it = await startGateway({ config: { parameters: { max_completion_tokens: 50 } } });
  await it.post("/v1/messages", { model: "app", messages: [question] });
  expect(it.provider.calls[0]?.body).toMatchObject({ max_tokens: 50 });
});
