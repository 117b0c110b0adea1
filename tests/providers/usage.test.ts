import { expect, test } from "bun:test";
import { join } from "node:path";
import { dataOf } from "../../src/gateway/ask.ts";
import { EventScanner } from "../../src/gateway/sse.ts";
import { createChatReader } from "../../src/providers/chat-reader.ts";
import { createMessagesReader } from "../../src/providers/messages-reader.ts";
import { chatStreamToMessages, messagesStreamToChat } from "../../src/providers/translate/stream.ts";
import type { TokenUsage } from "../../src/providers/usage.ts";
import { eventsOf } from "../harness/events.ts";

const none = { cachedTokens: 0, cacheWriteTokens: 0, cacheWriteLongTokens: 0, reasoningTokens: 0 };

/**
 * Where each provider puts usage in a stream, as recorded streams of public repositories and the providers' references have it;
 * ids and texts are shortened. How much of it is right is to be seen with a key of each.
 */
const streams: [name: string, usage: TokenUsage][] = [
  [
    "openai",
    { ...none, promptTokens: 2006, cachedTokens: 1920, completionTokens: 300, reasoningTokens: 128 },
  ],
  ["moonshot", { ...none, promptTokens: 19, cachedTokens: 12, completionTokens: 13 }],
  ["moonshot-newer", { ...none, promptTokens: 640, cachedTokens: 512, completionTokens: 91 }],
  ["deepseek", { ...none, promptTokens: 170, cachedTokens: 128, completionTokens: 57, reasoningTokens: 40 }],
  [
    "deepseek-older",
    { ...none, promptTokens: 170, cachedTokens: 128, completionTokens: 57, reasoningTokens: 40 },
  ],
  ["qwen", { ...none, promptTokens: 3019, cachedTokens: 2048, completionTokens: 104 }],
  ["groq", { ...none, promptTokens: 23, completionTokens: 19 }],
  [
    "openrouter",
    { ...none, promptTokens: 194, cachedTokens: 100, cacheWriteTokens: 50, completionTokens: 2 },
  ],
  ["cumulative", { ...none, promptTokens: 9, completionTokens: 2 }],
  [
    "anthropic",
    {
      promptTokens: 472 + 2048 + 1800,
      cachedTokens: 1800,
      cacheWriteTokens: 2048,
      cacheWriteLongTokens: 1800,
      completionTokens: 89,
      reasoningTokens: 60,
    },
  ],
];

/** The events of a recorded stream, cut where no event ends. */
async function framesOf(name: string) {
  const bytes = await Bun.file(join(import.meta.dir, "streams", `${name}.sse`)).bytes();
  const scanner = new EventScanner();
  const middle = Math.floor(bytes.length / 2);
  const frames = [
    ...eventsOf(scanner, bytes.subarray(0, middle)),
    ...eventsOf(scanner, bytes.subarray(middle)),
  ];
  return frames.filter(({ data }) => data !== undefined);
}

test.each(streams)("the usage of %s is read where it stands", async (name, expected) => {
  const reader = name === "anthropic" ? createMessagesReader() : createChatReader();
  for (const frame of await framesOf(name)) reader.event(dataOf(frame), frame.name);
  expect(reader.state.usage).toEqual(expected);
  expect(reader.state).toMatchObject({ ended: true, error: undefined });
});

test.each(streams)("the usage of %s is told in the other dialect as well", async (name, expected) => {
  const frames = await framesOf(name);
  const other = name === "anthropic" ? createChatReader() : createMessagesReader();
  const translator =
    name === "anthropic"
      ? messagesStreamToChat({ includeUsage: true, now: new Date(0) })
      : chatStreamToMessages();
  const events = [
    ...frames.flatMap((frame) => translator.event(dataOf(frame), frame.name)),
    ...translator.end(),
  ];
  for (const { event, data } of events) other.event(data === "[DONE]" ? data : JSON.parse(data), event);
  const { promptTokens, cachedTokens, completionTokens } = expected;
  expect(other.state.usage).toMatchObject({ promptTokens, cachedTokens, completionTokens });
});
