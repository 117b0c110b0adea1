import { describe, expect, test } from "bun:test";
import { contentMax } from "../../src/providers/answer-text.ts";
import { createChatReader } from "../../src/providers/chat-reader.ts";
import { createMessagesReader } from "../../src/providers/messages-reader.ts";

const large = "x".repeat(2 * contentMax);
/** What the shape of an answer may take beside what is counted. */
const slack = 1000;

describe("what is kept of an answer stays within its limit", () => {
  const whole = (...content: object[]) => {
    const reader = createMessagesReader();
    reader.whole({ type: "message", role: "assistant", content, stop_reason: "end_turn" });
    return reader.content();
  };

  test.each([
    [
      "a result of a search",
      { type: "web_search_tool_result", tool_use_id: "a", content: [{ encrypted_content: large }] },
    ],
    ["sealed thoughts", { type: "redacted_thinking", data: large }],
    ["a tool's input", { type: "tool_use", id: "a", name: "b", input: { text: large } }],
    ["citations of a text", { type: "text", text: "short", citations: [{ cited_text: large }] }],
    ["a type that nobody knows", { type: "of tomorrow", deep: { er: [large] } }],
  ])("with %s", (_, block) => {
    const { text, truncated } = whole({ type: "text", text: "before" }, block, {
      type: "text",
      text: "after",
    });
    expect(text.length).toBeLessThan(contentMax + slack);
    expect(truncated).toBe(true);
    // What is said beside it is kept.
    expect(JSON.parse(text).content[0]).toEqual({ type: "text", text: "before" });
  });

  test("with more blocks than it has room for, and events of them", () => {
    const reader = createMessagesReader();
    for (let index = 0; index < 40_000; index++)
      reader.event({
        type: "content_block_start",
        index,
        content_block: { type: "redacted_thinking", data: "abc" },
      });
    const { text, truncated } = reader.content();
    expect(text.length).toBeLessThan(contentMax + slack);
    expect(truncated).toBe(true);
  });

  test("with a tool's call of a long id or name", () => {
    for (const call of [
      { id: large, name: "a" },
      { id: "a", name: large },
    ]) {
      const reader = createChatReader();
      const { id, name } = call;
      const tool_calls = [
        { id: "first", function: { name: "b", arguments: "{}" } },
        { id, function: { name, arguments: "{}" } },
      ];
      reader.whole({ choices: [{ index: 0, message: { tool_calls }, finish_reason: "tool_calls" }] });
      const { text, truncated } = reader.content();
      expect(text.length).toBeLessThan(contentMax + slack);
      expect(truncated).toBe(true);
      expect(JSON.parse(text).choices[0].message.tool_calls[0].id).toBe("first");
    }
  });

  test("and is whole where there is room", () => {
    const blocks = [
      { type: "web_search_tool_result", tool_use_id: "a", content: [{ encrypted_content: "abc" }] },
      { type: "text", text: "short", citations: [{ cited_text: "abc" }] },
      { type: "tool_use", id: "a", name: "b", input: { c: 1 } },
    ];
    const { text, truncated } = whole(...blocks);
    expect(JSON.parse(text).content).toEqual(blocks);
    expect(truncated).toBe(false);
  });
});

test("an estimate counts what the model wrote, and nothing that was found for it", () => {
  const reader = createMessagesReader();
  const content = [
    { type: "text", text: "four" },
    { type: "tool_use", id: "a", name: "b", input: { c: 1 } },
    { type: "web_search_tool_result", tool_use_id: "a", content: [{ encrypted_content: large }] },
  ];
  reader.whole({ type: "message", content });
  expect(reader.state.outputBytes).toBe(4 + '{"c":1}'.length);
});
