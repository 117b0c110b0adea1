import { describe, expect, test } from "bun:test";
import { ValidateError } from "../../src/errors/app-error.ts";
import type { ParameterRules } from "../../src/gateway/target.ts";
import { sentTo } from "./body.ts";

/** The messages that a provider of OpenAI's dialect is sent for these of Anthropic's. */
const said = (messages: object[], model = "kimi-k2.5", rules?: ParameterRules) =>
  sentTo("openai", model, {
    operation: "messages",
    request: { model: "x", max_tokens: 9, messages },
    ...(rules && { rules }),
  }).messages;

/** What the refusal of these messages names. */
const refused = (messages: object[]) => {
  try {
    said(messages);
  } catch (error) {
    if (error instanceof ValidateError) return Object.keys(error.problems);
    throw error;
  }
  return [];
};

const use = { type: "tool_use", id: "t1", name: "look", input: {} };
const call = { id: "t1", type: "function", function: { name: "look", arguments: "{}" } };
const pixel = { type: "base64", media_type: "image/png", data: "AAAA" };
const image = { type: "image", source: pixel };
const imagePart = { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } };

describe("thoughts of earlier turns", () => {
  const turn = (...blocks: object[]) => [{ role: "assistant", content: [...blocks, use] }];
  const own = { type: "thinking", thinking: "Let me look.", signature: "" };
  const signed = { type: "thinking", thinking: "I wonder.", signature: "EqQB" };
  const sealed = { type: "redacted_thinking", data: "EmwK" };
  const spoken = { role: "assistant", content: null, tool_calls: [call] };

  test.each([
    ["kimi-k2.5", [own], "Let me look."],
    ["kimi-k2-thinking", [own, own], "Let me look.Let me look."],
    ["deepseek-reasoner", [own], "Let me look."],
    ["deepseek-v4-pro", [signed, sealed], "I wonder."],
    ["glm-5.3", [signed], "I wonder."],
    // Both refuse a turn without any.
    ["kimi-k3", [], " "],
    ["deepseek-chat", [sealed], " "],
    ["moonshotai/Kimi-K2.6", [], " "],
    ["my-model", [own], "Let me look."],
  ])("go out as reasoning_content to %s", (model, blocks, reasoning_content) => {
    expect(said(turn(...blocks), model)).toEqual([{ ...spoken, reasoning_content }]);
  });

  test.each([
    ["gpt-5", [own]],
    ["gpt-4o", [signed]],
    ["o3", [own]],
    ["llama-3.3-70b", [own]],
    ["mistral-large", [own]],
    ["my-model", [signed]],
    ["glm-5.3", []],
    ["kimi-k2-0905-preview", []],
  ])("stay away from %s, which does not know them or need them", (model, blocks) => {
    expect(said(turn(...blocks), model)).toEqual([spoken]);
  });

  test("go as the model's own rules say", () => {
    expect(said(turn(own), "kimi-k2.5", { drop: ["reasoning_content"] })).toEqual([spoken]);
    expect(said(turn(signed), "gpt-5", { keep: ["reasoning_content"] })).toEqual([
      { ...spoken, reasoning_content: "I wonder." },
    ]);
  });
});

describe("what a tool has found", () => {
  test("goes out with its pictures in a message of the user's, after all results", () => {
    const content = [
      { type: "tool_result", tool_use_id: "t1", content: [{ type: "text", text: "Here:" }, image] },
      { type: "tool_result", tool_use_id: "t2", content: [image], is_error: true },
      { type: "tool_result", tool_use_id: "t3", content: "plain" },
      { type: "text", text: "What is it?" },
    ];
    expect(said([{ role: "user", content }])).toEqual([
      { role: "tool", tool_call_id: "t1", content: "Here:" },
      { role: "tool", tool_call_id: "t2", content: "Error: The result follows in the next message." },
      { role: "tool", tool_call_id: "t3", content: "plain" },
      {
        role: "user",
        content: [
          { type: "text", text: "Result of the tool call t1:" },
          imagePart,
          { type: "text", text: "Result of the tool call t2:" },
          imagePart,
          { type: "text", text: "What is it?" },
        ],
      },
    ]);
  });

  test("is a text where it is nothing else, or nothing at all", () => {
    const content = [
      {
        type: "tool_result",
        tool_use_id: "t1",
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
      },
      { type: "tool_result", tool_use_id: "t2" },
    ];
    expect(said([{ role: "user", content }])).toEqual([
      { role: "tool", tool_call_id: "t1", content: "ab" },
      { role: "tool", tool_call_id: "t2", content: "" },
    ]);
  });
});

describe("documents", () => {
  const user = (block: object) => [{ role: "user", content: [{ type: "text", text: "Read." }, block] }];
  const parts = (block: object) => (said(user(block)) as { content: unknown }[])[0]?.content;

  test("are texts where they are texts", () => {
    const source = { type: "text", media_type: "text/plain", data: "Once upon a time" };
    expect(parts({ type: "document", source, title: "A <tale>", context: "Draft" })).toBe(
      'Read.\n<document title="A &lt;tale>" context="Draft">\nOnce upon a time\n</document>\n',
    );
    expect(parts({ type: "document", source })).toBe("Read.\n<document>\nOnce upon a time\n</document>\n");
    const found = {
      type: "search_result",
      source: "https://a.example",
      title: "A",
      content: [{ type: "text", text: "b" }],
    };
    expect(parts(found)).toBe('Read.\n<document title="A" source="https://a.example">\nb\n</document>\n');
  });

  test("are files where they are PDF", () => {
    const source = { type: "base64", media_type: "application/pdf", data: "JVBE" };
    const file = { filename: "report.pdf", file_data: "data:application/pdf;base64,JVBE" };
    expect(parts({ type: "document", source, title: "report.pdf" })).toEqual([
      { type: "text", text: "Read." },
      { type: "file", file },
    ]);
    expect(parts({ type: "document", source })).toMatchObject([{}, { file: { filename: "document.pdf" } }]);
  });

  test("are what they are made of", () => {
    const source = { type: "content", content: [{ type: "text", text: "See" }, image] };
    expect(parts({ type: "document", source })).toEqual([
      { type: "text", text: "Read." },
      { type: "text", text: "\n<document>\n" },
      { type: "text", text: "See" },
      imagePart,
      { type: "text", text: "\n</document>\n" },
    ]);
  });

  test("of a result of a tool are told there, or after it", () => {
    const text = { type: "document", source: { type: "text", media_type: "text/plain", data: "x" } };
    const pdf = { type: "document", source: { type: "base64", media_type: "application/pdf", data: "JVBE" } };
    const result = { type: "tool_result", tool_use_id: "t1", content: [text, pdf] };
    expect(said([{ role: "user", content: [result] }])).toMatchObject([
      { role: "tool", content: "\n<document>\nx\n</document>\n" },
      { role: "user", content: [{ text: "Result of the tool call t1:" }, { type: "file" }] },
    ]);
  });

  test("and whatever else cannot be said are refused, with the place that they have", () => {
    const document = (source: object) => ({ type: "document", source });
    expect(refused(user(document({ type: "url", url: "https://a.example/b.pdf" })))).toEqual([
      "messages.0.content.1.source",
    ]);
    expect(refused(user(document({ type: "file", file_id: "f" })))).toEqual(["messages.0.content.1.source"]);
    expect(refused(user({ type: "image", source: { type: "file", file_id: "f" } }))).toEqual([
      "messages.0.content.1.source",
    ]);
    expect(
      refused([
        { role: "user", content: "hi" },
        { role: "assistant", content: [{ type: "container_upload" }] },
      ]),
    ).toEqual(["messages.1.content.0"]);
    const nested = {
      type: "tool_result",
      tool_use_id: "t1",
      content: [document({ type: "file", file_id: "f" })],
    };
    expect(refused([{ role: "user", content: [nested] }])).toEqual(["messages.0.content.0.content.0.source"]);
  });
});

test("a system's turn within a conversation stays one of the system's", () => {
  const turns = [
    { role: "user", content: "hi" },
    { role: "system", content: [{ type: "text", text: "Be brief." }] },
  ];
  expect(said(turns)).toEqual([
    { role: "user", content: "hi" },
    { role: "system", content: "Be brief." },
  ]);
});
