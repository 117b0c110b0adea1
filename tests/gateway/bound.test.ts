import { expect, test } from "bun:test";
import { billOf } from "../../src/gateway/bill.ts";
import type { Body } from "../../src/gateway/body.ts";
import { tokenBound, withOutputMax } from "../../src/gateway/bound.ts";
import type { Target } from "../../src/gateway/target.ts";
import { dearestAt } from "../../src/metering/cost.ts";
import { toUnits } from "../../src/metering/money.ts";

const target = (fields: Partial<Target> = {}) => ({ prices: [], rules: {}, ...fields }) as unknown as Target;
const messages = [{ role: "user", content: "你好" }];
const body = (parsed: object, operation: Body["operation"] = "chat"): Body => ({
  operation,
  text: JSON.stringify(parsed),
  parsed: { ...parsed },
  stream: false,
  includeUsage: false,
});

test("a question has no more tokens than bytes, and its answers no more than somebody has said", () => {
  const asked = body({ messages, max_tokens: 7, n: 3 });
  const bytes = Buffer.byteLength(asked.text);
  expect(bytes).toBeGreaterThan(asked.text.length);
  expect(tokenBound(asked, target())).toEqual({
    input: bytes,
    output: 7,
    outputMin: 16,
    answers: 3,
    said: true,
  });
  expect(tokenBound(body({ messages, n: "3" }), target()).answers).toBe(3);
});

test("where nobody has said how long an answer may be, the model does, or it is 4096", () => {
  for (const nothing of [{}, { max_tokens: null }, { max_tokens: "9" }, { max_tokens: -1 }, { n: 1.5 }]) {
    const asked = body({ messages, ...nothing });
    expect(tokenBound(asked, target())).toMatchObject({ output: 4096, answers: 1, said: false });
    expect(tokenBound(asked, target({ outputTokensMax: 99 }))).toMatchObject({ output: 99, said: false });
  }
});

test("of two limits on the answer the higher one counts, since the provider may go by either", () => {
  const asked = body({ messages, max_completion_tokens: 1, max_tokens: 100 });
  expect(tokenBound(asked, target()).output).toBe(100);
  const { parsed, text } = withOutputMax(asked, 50, target());
  expect(parsed).toEqual({ messages, max_completion_tokens: 50, max_tokens: 50 });
  expect(JSON.parse(text)).toEqual(parsed);
});

test("a limit is set where the caller put it, or as `max_tokens`", () => {
  expect(withOutputMax(body({ messages }), 5, target()).parsed).toEqual({ messages, max_tokens: 5 });
  const newer = body({ messages, max_completion_tokens: 9 });
  expect(withOutputMax(newer, 5, target()).parsed).toEqual({ messages, max_completion_tokens: 5 });
});

test("a limit that the model's rules drop says nothing, and none is set in vain", () => {
  const asked = body({ messages, max_tokens: 7 });
  const one = target({ rules: { drop: ["max_tokens"] } });
  expect(tokenBound(asked, one)).toMatchObject({ output: 4096, outputMin: 16, said: false });
  expect(withOutputMax(asked, 5, one).parsed).toEqual({ ...asked.parsed, max_completion_tokens: 5 });
  const both = target({ rules: { drop: ["max_tokens", "max_completion_tokens"] }, outputTokensMax: 99 });
  expect(tokenBound(asked, both)).toMatchObject({ output: 99, outputMin: 99, said: false });
  expect(withOutputMax(asked, 5, both)).toEqual(asked);
});

test("each picture and file adds what its model declares, or 16,384, wherever it stands; words about them add nothing", () => {
  const image = { type: "image_url", image_url: { url: "https://example.com/x.png" } };
  const result = { type: "tool_result", content: [{ type: "image", source: {} }, { type: "document" }] };
  const asked = body({ messages: [{ role: "user", content: [image, { type: "text", text: "x" }, result] }] });
  const bytes = Buffer.byteLength(asked.text);
  expect(tokenBound(asked, target({ imageTokensMax: 1000 })).input).toBe(bytes + 3000);
  expect(tokenBound(asked, target()).input).toBe(bytes + 3 * 16_384);
  for (const type of ["audio_url", "image_file", "input_audio", "video_url"]) {
    const other = body({ messages: [{ role: "user", content: [{ type }] }] });
    const spelt = {
      ...other,
      text: other.text.replace(`"${type[0]}`, `"\\u00${type.charCodeAt(0).toString(16)}`),
    };
    for (const each of [other, spelt]) {
      expect(tokenBound(each, target()).input).toBe(Buffer.byteLength(each.text) + 16_384);
    }
  }
  const words = body({ messages: [{ role: "user", content: 'about "image" and "file"' }] });
  expect(tokenBound(words, target()).input).toBe(Buffer.byteLength(words.text));
});

test("a call of which nothing more is heard is billed at what was kept back, whatever its tokens may have been", () => {
  const price = { validFrom: new Date(0), abovePromptTokens: 0, currency: "USD", source: "" };
  const plain = { cached: undefined, cacheWrite: undefined, cacheWriteLong: undefined, reasoning: undefined };
  const at = new Date();
  for (const dearer of [{}, { cacheWrite: "4" }, { cacheWriteLong: "6" }, { reasoning: "8" }]) {
    const prices = [{ ...price, prompt: "3", completion: "5", ...plain, ...dearer }];
    const worst = { promptTokens: 1_000_000, completionTokens: 1_000_000 };
    const ending = { began: true, complete: false, state: undefined, worst };
    const [kept] = dearestAt(prices, at, worst.promptTokens);
    expect(toUnits(billOf(target({ prices }), ending, 1, at).cost ?? "")).toBe(
      ((kept?.prompt ?? 0n) + (kept?.completion ?? 0n)) * 1_000_000n,
    );
  }
});

test("embeddings have no answer, and a count of tokens costs nothing", () => {
  const text = body({ input: "x" }, "embeddings");
  expect(tokenBound(text, target())).toMatchObject({
    input: Buffer.byteLength(text.text),
    output: 0,
    answers: 0,
  });
  expect(tokenBound(body({ messages }, "count_tokens"), target())).toMatchObject({ input: 0, output: 0 });
});
