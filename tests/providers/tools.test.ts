import { describe, expect, test } from "bun:test";
import type { Json } from "../../src/providers/json.ts";
import { createMessagesReader } from "../../src/providers/messages-reader.ts";
import { chatAnswerToMessages, messagesAnswerToChat } from "../../src/providers/translate/answer.ts";
import { chatStreamToMessages, messagesStreamToChat } from "../../src/providers/translate/stream.ts";
import { sentTo } from "./body.ts";

const now = new Date(0);
const parsed = ({ data }: { data: string }) => JSON.parse(data) as Json;

describe("a tool's call without arguments", () => {
  const chunk = (delta: object, finish_reason: string | null = null) => ({
    id: "c1",
    model: "m",
    choices: [{ index: 0, delta, finish_reason }],
  });
  const call = (index: number, name: string, text?: string) =>
    chunk({
      tool_calls: [
        { index, id: `t${index}`, function: { name, ...(text !== undefined && { arguments: text }) } },
      ],
    });

  test.each([undefined, ""])("has an empty object for its input in Anthropic's stream (%p)", (nothing) => {
    const translator = chatStreamToMessages();
    const written = [
      ...translator.event(call(0, "now", nothing)),
      ...translator.event(call(1, "look", '{"a":1}')),
      ...translator.event(call(2, "now", nothing)),
      ...translator.event(chunk({}, "tool_calls")),
      ...translator.end(),
    ].map(parsed);
    const inputs = ["", "", ""];
    for (const { type, index, delta } of written as {
      type: string;
      index: number;
      delta: { partial_json: string };
    }[])
      if (type === "content_block_delta") inputs[index] += delta.partial_json;
    expect(inputs).toEqual(["{}", '{"a":1}', "{}"]);
    expect(written.filter(({ type }) => type === "content_block_stop").map(({ index }) => index)).toEqual([
      0, 1, 2,
    ]);
  });

  const opened = (index: number, input: object = {}) => ({
    type: "content_block_start",
    index,
    content_block: { type: "tool_use", id: `t${index}`, name: "now", input },
  });
  const grown = (index: number, partial_json: string) => ({
    type: "content_block_delta",
    index,
    delta: { type: "input_json_delta", partial_json },
  });
  const closed = (index: number) => ({ type: "content_block_stop", index });

  test("has an empty object for its arguments in OpenAI's stream", () => {
    const translator = messagesStreamToChat({ includeUsage: false, now });
    const events = [
      opened(0),
      grown(0, ""),
      closed(0),
      opened(1),
      grown(1, '{"a"'),
      grown(1, ":1}"),
      closed(1),
      // Some that speak the dialect give the whole input at once.
      opened(2, { b: 2 }),
      closed(2),
    ];
    const written = events.flatMap((event) => translator.event(event)).map(parsed);
    const texts = ["", "", ""];
    for (const { choices } of written) {
      const [{ delta }] = choices as [
        { delta: { tool_calls: { index: number; function: { arguments: string } }[] } },
      ];
      for (const { index, function: called } of delta.tool_calls) texts[index] += called.arguments;
    }
    expect(texts).toEqual(["{}", '{"a":1}', '{"b":2}']);
  });

  test("is kept with an empty object", () => {
    const reader = createMessagesReader();
    for (const event of [opened(0), grown(0, ""), closed(0)]) reader.event(event);
    expect(JSON.parse(reader.content().text).content).toEqual([
      { type: "tool_use", id: "t0", name: "now", input: {} },
    ]);
  });
});

describe("the id of a tool's call", () => {
  const kimis = "functions.get_weather:0";
  const pattern = /^[a-zA-Z0-9_-]+$/;
  const tool_calls = [{ id: kimis, type: "function", function: { name: "get_weather", arguments: "{}" } }];

  test("is one that Claude takes, and the same in the call and in its result", () => {
    const messages = [
      { role: "user", content: "hi" },
      { role: "assistant", content: null, tool_calls },
      { role: "tool", tool_call_id: kimis, content: "sunny" },
    ];
    const sent = sentTo("anthropic", "claude-opus-4-8", {
      operation: "chat",
      request: { model: "x", messages },
    });
    const [, { content: uses }, { content: results }] = sent.messages as { content: Json[] }[] as [
      unknown,
      { content: Json[] },
      { content: Json[] },
    ];
    expect(uses[0]?.id).toMatch(pattern);
    expect(results[0]?.tool_use_id).toBe(uses[0]?.id);
  });

  test("given to a caller of Anthropic's dialect is one that Claude takes, and comes back to its maker as it was", () => {
    const message = { role: "assistant", content: null, tool_calls };
    const whole = chatAnswerToMessages({ id: "c", choices: [{ message, finish_reason: "tool_calls" }] });
    const [use] = whole.content as [Json];
    expect(use.id).toMatch(pattern);
    const translator = chatStreamToMessages();
    const [, start] = translator
      .event({ id: "c", choices: [{ index: 0, delta: { tool_calls: [{ index: 0, ...tool_calls[0] }] } }] })
      .map(parsed);
    expect(start).toMatchObject({ content_block: { type: "tool_use", id: use.id } });
    const messages = [
      { role: "assistant", content: [use] },
      { role: "user", content: [{ type: "tool_result", tool_use_id: use.id, content: "sunny" }] },
    ];
    const sent = sentTo("openai", "kimi-k2.5", { operation: "messages", request: { model: "x", messages } });
    expect(sent.messages).toMatchObject([{ tool_calls: [{ id: kimis }] }, { tool_call_id: kimis }]);
  });

  test("that Claude takes stays as it is, both ways, and so does one that only looks like ours", () => {
    for (const id of ["toolu_01A", "call_1", "llmops_", "llmops_call_1", "llmops_Y2FsbF8x", "llmops_!"]) {
      const messages = [{ role: "assistant", content: [{ type: "tool_use", id, name: "a", input: {} }] }];
      const sent = sentTo("openai", "gpt-4o", { operation: "messages", request: { model: "x", messages } });
      expect(sent.messages).toMatchObject([{ tool_calls: [{ id: id === "llmops_" ? "" : id }] }]);
    }
    const answer = messagesAnswerToChat(
      { content: [{ type: "tool_use", id: "toolu_01A", name: "a", input: {} }] },
      now,
    );
    expect(answer).toMatchObject({ choices: [{ message: { tool_calls: [{ id: "toolu_01A" }] } }] });
  });
});

test("a call that was forced, which OpenAI ends with `stop`, ends with `tool_use` in Anthropic's dialect", () => {
  const tool_calls = [
    { index: 0, id: "call_1", type: "function", function: { name: "now", arguments: "{}" } },
  ];
  const finish_reason = "stop";
  const message = { role: "assistant", content: null, tool_calls };
  expect(chatAnswerToMessages({ id: "c", choices: [{ message, finish_reason }] }).stop_reason).toBe(
    "tool_use",
  );
  const translator = chatStreamToMessages();
  translator.event({ id: "c", choices: [{ index: 0, delta: { tool_calls }, finish_reason }] });
  expect(translator.end().map(parsed)).toContainEqual(
    expect.objectContaining({
      type: "message_delta",
      delta: { stop_reason: "tool_use", stop_sequence: null },
    }),
  );
});
