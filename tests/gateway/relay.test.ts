import { expect, test } from "bun:test";
import type { StreamedAnswer } from "../../src/gateway/ask.ts";
import { relay } from "../../src/gateway/relay.ts";
import { EventScanner } from "../../src/gateway/sse.ts";
import { createChatReader } from "../../src/providers/chat-reader.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const said = (content: string) => `data: {"choices":[{"index":0,"delta":{"content":"${content}"}}]}\n\n`;
const stop = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n';
const done = "data: [DONE]\n\n";

/** A relay whose upstream has sent `first` and sends `rest` when it is read; the end is on record when `record` is called. */
function setUp(first: string, rest: readonly string[] = []) {
  const scanner = new EventScanner();
  scanner.push(encoder.encode(first));
  const pieces = rest.map((text) => encoder.encode(text));
  const recorded = Promise.withResolvers<void>();
  const ends: object[] = [];
  const sent: [text: string, last: boolean][] = [];
  const begun: StreamedAnswer = {
    kind: "stream",
    shape: "chat",
    reader: createChatReader(),
    scanner,
    answer: {
      status: 200,
      contentType: "",
      headers: new Headers(),
      bytes: () => new Uint8Array(),
      read: () => pieces.shift(),
    },
  };
  const stream = relay({
    begun,
    translator: undefined,
    includeUsage: true,
    signal: new AbortController().signal,
    renderError: (error) => `data: {"error":"${error instanceof Error ? error.message : error}"}\n\n`,
    ended(end) {
      ends.push(end);
      return recorded.promise;
    },
    sent: (piece, last) => void sent.push([decoder.decode(piece), last]),
    dispose: () => {},
  });
  const reader = stream.getReader();
  return {
    ends,
    sent,
    record: recorded.resolve,
    state: begun.reader.state,
    leave: () => reader.cancel(),
    async read(): Promise<string | undefined> {
      const { value } = await reader.read();
      return value && decoder.decode(value);
    },
  };
}

test("an answer that came in one piece is passed on at once, and its end when it is on record", async () => {
  const { read, ends, record, sent } = setUp(said("one") + said("two") + stop + done);
  expect(await read()).toBe(said("one") + said("two") + stop);
  const end = read();
  // Whoever reads on has the end asked for; it waits for the record.
  expect(await Promise.race([end, Promise.resolve("not yet")])).toBe("not yet");
  record();
  expect(await end).toBe(done);
  expect(await read()).toBeUndefined();
  expect(ends).toEqual([{ complete: true }]);
  expect(sent.at(-1)).toEqual([done, true]);
});

test("what follows the end is not passed on, and an end that is missing is put there", async () => {
  const after = setUp(said("one"), [stop + done + said("more")]);
  after.record();
  expect([await after.read(), await after.read(), await after.read(), await after.read()]).toEqual([
    said("one"),
    stop,
    done,
    undefined,
  ]);
  const without = setUp(said("one"), [stop]);
  without.record();
  expect([await without.read(), await without.read(), await without.read(), await without.read()]).toEqual([
    said("one"),
    stop,
    done,
    undefined,
  ]);
});

test("what is wrong in what had come already is told after what was right", async () => {
  const { read, ends, record } = setUp(`${said("one")}data: no JSON\n\n`);
  record();
  expect(await read()).toBe(said("one"));
  expect(await read()).toStartWith('data: {"error":');
  expect(await read()).toBeUndefined();
  expect(ends).toMatchObject([{ complete: false }]);
});

test("of much that has come the first goes out at once, before the rest is understood", async () => {
  const long = said("x".repeat(300));
  const { read, record } = setUp(long + said("two") + stop + done);
  record();
  expect(await read()).toBe(long);
  expect(await read()).toBe(said("two") + stop);
  expect(await read()).toBe(done);
});

test("what came together goes out together, some 64 KiB at a time", async () => {
  const events = Array.from({ length: 10 }, (_, index) => said(String(index).repeat(20_000)));
  const { read, record } = setUp(said("one"), [events.join("") + stop]);
  record();
  expect(await read()).toBe(said("one"));
  expect(await read()).toBe(events.slice(0, 4).join(""));
  expect(await read()).toBe(events.slice(4, 8).join(""));
  expect(await read()).toBe(events.slice(8).join("") + stop);
  expect(await read()).toBe(done);
});

test("what had come when the caller left is billed, though nobody has read it", async () => {
  const usage = '{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":40,"total_tokens":49}}';
  const { read, leave, ends, state } = setUp(`${said("x".repeat(300)) + stop}data: ${usage}\n\n${done}`);
  await read();
  expect(state.usage).toBeUndefined();
  await leave();
  expect(state.usage).toMatchObject({ promptTokens: 9, completionTokens: 40 });
  expect(ends).toEqual([{ complete: false, left: true }]);
});
