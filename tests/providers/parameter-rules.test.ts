import { expect, test } from "bun:test";
import { parametersFor } from "../../src/providers/parameter-rules.ts";

const sampling = { temperature: 0.6, top_p: 0.9, n: 2, presence_penalty: 1, frequency_penalty: 1 };
const all = { ...sampling, max_tokens: 5, stop: ["x"] };
const fixed = { max_tokens: 5, stop: ["x"] };
const reasoning = { n: 2, max_completion_tokens: 5, stop: ["x"] };

test.each([
  ["kimi-k2.5", fixed],
  ["kimi-k2.5-preview", fixed],
  ["kimi-k2.6", fixed],
  ["kimi-k2.7-code-highspeed", fixed],
  ["kimi-k2.10", fixed],
  ["kimi-k3", fixed],
  ["kimi-k3-turbo", fixed],
  ["kimi-k12", fixed],
  ["k3-256k", fixed],
  ["kimi-for-coding", fixed],
  ["moonshotai/Kimi-K2.5", fixed],
  ["kimi-k2-turbo-preview", all],
  ["kimi-k2-0905-preview", all],
  ["kimi-k2-thinking", all],
  ["kimi-k2.1", all],
  ["moonshot-v1-8k", all],
  ["o1", reasoning],
  ["o3-mini", reasoning],
  ["o4-mini-2025-04-16", reasoning],
  ["gpt-5", reasoning],
  ["gpt-5.2-pro", reasoning],
  ["openai/gpt-5-mini", reasoning],
  ["gpt-5-chat-latest", { ...sampling, max_completion_tokens: 5, stop: ["x"] }],
  ["gpt-4o", all],
  ["olmo-2", all],
  ["o1x", all],
  ["deepseek-chat", all],
])("%s is sent only what it accepts", (model, expected) => {
  expect(parametersFor(model, all)).toEqual(expected);
});

test("not even temperature 1 is sent where it is fixed, since without thinking the fixed value is another", () => {
  expect(parametersFor("kimi-k2.6", { temperature: 1, thinking: { type: "disabled" } })).toEqual({
    thinking: { type: "disabled" },
  });
});

test("the caller's own max_completion_tokens wins over a renamed max_tokens", () => {
  expect(parametersFor("gpt-5", { max_tokens: 5, max_completion_tokens: 9 })).toEqual({
    max_completion_tokens: 9,
  });
});

test("the given parameters stay as they are", () => {
  const given = { ...all };
  parametersFor("gpt-5", given);
  expect(given).toEqual(all);
});
