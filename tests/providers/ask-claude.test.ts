import { describe, expect, test } from "bun:test";
import { ValidateError } from "../../src/errors/app-error.ts";
import type { ParameterRules } from "../../src/gateway/target.ts";
import type { Json } from "../../src/providers/json.ts";
import { sentTo } from "./body.ts";

const question = { role: "user", content: "hi" };
const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }];
const ask = (model: string, chat: Json, rules?: ParameterRules) =>
  sentTo("anthropic", model, {
    operation: "chat",
    request: { model: "x", messages: [question], max_tokens: 32_000, ...chat },
    ...(rules && { rules }),
  });

const sampling = { temperature: 0.3, top_p: 0.9 };

describe("Claude is sent only the sampling parameters that it takes", () => {
  test.each([
    ["claude-3-haiku-20240307", sampling],
    ["claude-3-7-sonnet-20250219", sampling],
    ["claude-sonnet-4-20250514", sampling],
    ["claude-opus-4-1-20250805", { temperature: 0.3 }],
    ["claude-sonnet-4-5-20250929", { temperature: 0.3 }],
    ["claude-haiku-4-5", { temperature: 0.3 }],
    ["us.anthropic.claude-opus-4-6-v1", { temperature: 0.3 }],
    ["claude-opus-4-7", {}],
    ["claude-opus-4-8-20260528", {}],
    ["anthropic/claude-opus-4.7", {}],
    ["claude-opus-4-10", {}],
    ["claude-sonnet-5", {}],
    ["claude-opus-5-5", {}],
    ["claude-haiku-5-5", {}],
    ["claude-fable-5-1", {}],
    ["claude-mythos-preview", {}],
    ["minimax-m2", sampling],
  ])("%s", (model, expected) => {
    const { temperature, top_p } = ask(model, sampling);
    expect({
      ...(temperature !== undefined && { temperature }),
      ...(top_p !== undefined && { top_p }),
    }).toEqual(expected as object);
  });

  test("in its own dialect as well, where the app's parameters may have put them", () => {
    const request = { model: "x", max_tokens: 9, messages: [question], ...sampling, top_k: 5 };
    const send = (model: string) => sentTo("anthropic", model, { operation: "messages", request });
    expect(send("claude-opus-4-8")).toEqual({
      model: "claude-opus-4-8",
      max_tokens: 9,
      messages: [question],
    });
    expect(send("claude-haiku-4-5")).toMatchObject({ temperature: 0.3, top_k: 5 });
    expect(send("claude-sonnet-4-20250514")).toMatchObject({ ...sampling, top_k: 5 });
  });

  test("and with a temperature that its scale has", () => {
    expect(ask("claude-haiku-4-5", { temperature: 1.7 })).toMatchObject({ temperature: 1 });
  });

  test("unless the model's own rules say that it takes them", () => {
    expect(ask("claude-opus-4-8", sampling, { keep: ["temperature", "top_p"] })).toMatchObject(sampling);
    expect(ask("claude-opus-4-8", sampling, { keep: ["top_p"] })).not.toHaveProperty("temperature");
  });
});

const adaptive = { type: "adaptive", display: "summarized" };

describe("Claude is asked to think in the way that it knows", () => {
  test.each([
    ["claude-sonnet-4-5", "high", { type: "enabled", budget_tokens: 16_384 }, undefined],
    ["claude-sonnet-4-5", "xhigh", { type: "enabled", budget_tokens: 31_999 }, undefined],
    ["claude-3-7-sonnet-latest", "low", { type: "enabled", budget_tokens: 1024 }, undefined],
    ["claude-opus-4-6", "medium", adaptive, { effort: "medium" }],
    ["claude-opus-4-6", "xhigh", adaptive, { effort: "high" }],
    ["claude-opus-4-7", "xhigh", adaptive, { effort: "xhigh" }],
    ["claude-opus-4-8", "minimal", adaptive, { effort: "low" }],
    ["claude-sonnet-5-5", "high", adaptive, { effort: "high" }],
    ["claude-opus-5", "none", undefined, undefined],
    ["claude-sonnet-4-5", "none", undefined, undefined],
    ["claude-opus-5", undefined, undefined, undefined],
  ])("%s at the effort %s", (model, reasoning_effort, thinking, output_config) => {
    const sent = ask(model as string, { reasoning_effort });
    expect([sent.thinking, sent.output_config]).toEqual([thinking, output_config]);
  });

  test("beside the form of its answer", () => {
    const response_format = { type: "json_schema", json_schema: { name: "a", schema: { type: "object" } } };
    expect(ask("claude-opus-4-8", { reasoning_effort: "low", response_format }).output_config).toEqual({
      effort: "low",
      format: { type: "json_schema", schema: { type: "object" } },
    });
  });

  test("without a temperature, and as the model's own rules say", () => {
    const sent = ask("claude-opus-4-6", { ...sampling, reasoning_effort: "high" });
    expect(sent).toMatchObject({ thinking: adaptive });
    expect([sent.temperature, sent.top_p]).toEqual([undefined, undefined]);
    expect(ask("my-claude", { reasoning_effort: "high" }, { thinking: "adaptive" })).toMatchObject({
      thinking: adaptive,
      output_config: { effort: "high" },
    });
    expect(ask("claude-opus-4-8", { reasoning_effort: "low" }, { thinking: "budget" }).thinking).toEqual({
      type: "enabled",
      budget_tokens: 1024,
    });
  });

  test.each([
    ["claude-sonnet-4-5", "required", { type: "any" }, undefined],
    [
      "claude-opus-4-7",
      { type: "function", function: { name: "weather" } },
      { type: "tool", name: "weather" },
      { effort: "high" },
    ],
  ])("but not where %s has to call a tool", (model, tool_choice, expected, output_config) => {
    const sent = ask(model as string, { reasoning_effort: "high", tools, tool_choice, temperature: 0.3 });
    expect(sent.tool_choice).toEqual(expected);
    expect([sent.thinking, sent.output_config]).toEqual([undefined, output_config]);
    // Without thinking the temperature is back, where the model has one.
    expect(sent.temperature).toBe(model === "claude-sonnet-4-5" ? 0.3 : undefined);
  });

  test("tools that are told of and not allowed stay out, and what is no function is refused", () => {
    const all = ["weather", "time"].map((name) => ({ type: "function", function: { name } }));
    const allow = (mode: string) => ({
      tools: all,
      tool_choice: { type: "allowed_tools", allowed_tools: { mode, tools: [all[1]] } },
    });
    for (const [mode, type] of [
      ["auto", "auto"],
      ["required", "any"],
    ] as const) {
      const sent = ask("claude-sonnet-4-5", allow(mode));
      expect(sent).toMatchObject({ tools: [{ name: "time" }], tool_choice: { type } });
    }
    const custom = [{ type: "custom", custom: { name: "sql" } }];
    expect(() => ask("claude-sonnet-4-5", { tools: custom })).toThrow(ValidateError);
  });

  const loop = [
    question,
    {
      role: "assistant",
      content: null,
      tool_calls: [{ id: "a", function: { name: "weather", arguments: "{}" } }],
    },
    { role: "tool", tool_call_id: "a", content: "sunny" },
  ];

  test("nor where its turn is under way without thoughts, for models that want them there", () => {
    expect(
      ask("claude-sonnet-4-5", { reasoning_effort: "high", tools, messages: loop }).thinking,
    ).toBeUndefined();
    expect(ask("claude-opus-4-8", { reasoning_effort: "high", tools, messages: loop }).thinking).toEqual(
      adaptive,
    );
    const over = [...loop, { role: "assistant", content: "Sunny." }, question];
    expect(
      ask("claude-sonnet-4-5", { reasoning_effort: "low", tools, messages: over }).thinking,
    ).toMatchObject({
      type: "enabled",
    });
  });
});
