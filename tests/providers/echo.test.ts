import { expect, test } from "bun:test";
import { createEchoProvider } from "../../src/providers/echo.ts";
import { collect, patient, question, rejection } from "./fixture.ts";

const echo = createEchoProvider();
const ask = (content: string, parameters = {}) => echo.complete(question(content, parameters), patient());

test("the echo announces itself in English and repeats the question", async () => {
  expect((await ask("Who are you?")).content).toBe(
    "[echo] This is an offline echo; no model was called. You said: Who are you?",
  );
});

test("the echo announces itself in Chinese where the question holds a Chinese character", async () => {
  expect((await ask("你是谁? hi")).content).toBe("[echo] 这是离线回显,没有调用任何模型。你说:你是谁? hi");
});

test.each(["plain words", "你好,世界", "🙂👩‍👩‍👧 zwj", "𠮷野家", "", " \n\t ", "a\ud800b"])(
  "the pieces of %j are several, add up to the whole answer and count alike",
  async (content) => {
    const whole = await ask(content);
    const streamed = await collect(echo.stream(question(content), patient()));
    expect(streamed.content).toBe(whole.content);
    expect(streamed.deltas.length).toBeGreaterThan(3);
    expect(streamed.done).toEqual({ type: "done", model: "echo", finishReason: "stop", usage: whole.usage });
  },
);

test("no piece splits a surrogate pair", async () => {
  const { deltas } = await collect(echo.stream(question("🙂".repeat(99)), patient()));
  expect(deltas.every((delta) => delta.isWellFormed())).toBe(true);
});

test("tokens are runs of four letters or digits, runs of white space, and single other code points", async () => {
  const messages = [
    { role: "system" as const, content: "abcdefgh 12" }, // abcd efgh _ 12
    { role: "user" as const, content: "你好🙂  ok" }, // 你 好 🙂 __ ok
  ];
  const { usage } = await echo.complete({ model: "echo", messages, parameters: {} }, patient());
  // The four of "[echo] ", the nineteen of the announcement, the five of the question.
  expect(usage).toEqual({ promptTokens: 9, completionTokens: 28, totalTokens: 37, cachedTokens: 0 });
});

test("max_tokens cuts the answer and says so", async () => {
  const answer = await ask("hello", { max_tokens: 3 });
  expect(answer).toMatchObject({ content: "[echo]", finishReason: "length", usage: { completionTokens: 3 } });
});

test.each([
  {},
  { max_tokens: 0 },
  { max_tokens: -1 },
  { max_tokens: "3" },
  { max_tokens: 1.5 },
  { max_tokens: 999 },
])("%j cuts nothing", async (parameters) => {
  expect((await ask("hello", parameters)).finishReason).toBe("stop");
});

test("a caller who leaves in the middle gets no further piece", async () => {
  const caller = new AbortController();
  const events = echo.stream(question("hello"), { signal: caller.signal })[Symbol.asyncIterator]();
  await events.next();
  const reason = new Error("left");
  caller.abort(reason);
  expect(await rejection(events.next())).toBe(reason);
});

test("a caller who has left already gets nothing", async () => {
  const reason = new Error("left");
  const options = { signal: AbortSignal.abort(reason) };
  expect(await rejection(echo.complete(question("hello"), options))).toBe(reason);
  expect(await rejection(collect(echo.stream(question("hello"), options)))).toBe(reason);
});

test("the echo lists itself", async () => {
  expect(await echo.listModels(patient())).toEqual(["echo"]);
});
