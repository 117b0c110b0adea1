import { TextBudget } from "./answer-text.ts";
import { describeError } from "./chat-reader.ts";
import { countOr, isCount, isObject, type Json, listOr, objectOr, textOr } from "./json.ts";
import type { AnswerReader, AnswerState, TokenUsage } from "./usage.ts";

/**
 * Usage as Anthropic reports it. There, what was read from the cache or written to it is no part of `input_tokens`; here
 * it is part of the prompt, as everywhere else. `before` is what an earlier event of the same answer said: later ones
 * leave out what has not changed. What is written for an hour stands in `cache_creation` (platform.claude.com, "Prompt
 * caching").
 */
export function messagesUsage(value: unknown, before?: TokenUsage): TokenUsage | undefined {
  if (!isObject(value)) return before;
  const { input_tokens: input, output_tokens: output } = value;
  if (!isCount(input) && !isCount(output)) return before;
  const cachedTokens = isCount(value.cache_read_input_tokens)
    ? value.cache_read_input_tokens
    : (before?.cachedTokens ?? 0);
  const cacheWriteTokens = isCount(value.cache_creation_input_tokens)
    ? value.cache_creation_input_tokens
    : (before?.cacheWriteTokens ?? 0);
  const long = objectOr(value.cache_creation).ephemeral_1h_input_tokens;
  const fresh = before ? before.promptTokens - before.cachedTokens - before.cacheWriteTokens : 0;
  return {
    promptTokens: (isCount(input) ? input : fresh) + cachedTokens + cacheWriteTokens,
    cachedTokens,
    cacheWriteTokens,
    cacheWriteLongTokens: Math.min(
      isCount(long) ? long : (before?.cacheWriteLongTokens ?? 0),
      cacheWriteTokens,
    ),
    completionTokens: isCount(output) ? output : (before?.completionTokens ?? 0),
    reasoningTokens: countOr(objectOr(value.output_tokens_details).thinking_tokens),
  };
}

/** A block of the answer as it is put together: its fields, with the texts that grow. */
type Block = Record<string, unknown>;

/** The fields of a block that are the model's own writing, by the kind of delta that makes them grow. */
const growing: Readonly<Record<string, { from: string; to: string }>> = {
  text_delta: { from: "text", to: "text" },
  thinking_delta: { from: "thinking", to: "thinking" },
  signature_delta: { from: "signature", to: "signature" },
  input_json_delta: { from: "partial_json", to: "partial_json" },
};

/** A class, since one is made for every call: its methods are made once. */
class MessagesReader implements AnswerReader {
  readonly state: AnswerState = {
    model: undefined,
    finishReason: undefined,
    usage: undefined,
    outputBytes: 0,
    error: undefined,
    ended: false,
  };
  readonly #budget: TextBudget;
  readonly #blocks = new Map<number, Block>();

  constructor(contentMax: number | undefined) {
    this.#budget = new TextBudget(contentMax);
  }

  #readMessage(message: Json): void {
    const { state } = this;
    state.model ??= textOr(message.model);
    state.usage = messagesUsage(message.usage, state.usage);
    state.finishReason = textOr(message.stop_reason) ?? state.finishReason;
    for (const [index, block] of listOr(message.content).entries())
      if (isObject(block)) this.#readBlock(index, block);
  }

  #readBlock(index: number, block: Json): void {
    const budget = this.#budget;
    const { text, thinking, ...rest } = block;
    const written: Block = {
      ...(typeof text === "string" && { text: budget.take(text) }),
      ...(typeof thinking === "string" && { thinking: budget.take(thinking) }),
    };
    if (isObject(block.input) && Object.keys(block.input).length > 0)
      budget.count(JSON.stringify(block.input));
    // What is no text of the model's can be as large: what was found on the web, sealed thoughts, a file.
    if (budget.hold(`${JSON.stringify(rest)},`)) this.#blocks.set(index, { ...block, ...written });
    else if (text || thinking) this.#blocks.set(index, { type: block.type, ...written });
  }

  #readDelta(index: number, delta: Json): void {
    const { from, to } = growing[String(delta.type)] ?? {};
    if (!from || !to || typeof delta[from] !== "string") return;
    const kept = this.#budget.take(delta[from]);
    const block = this.#blocks.get(index);
    if (block) block[to] = String(block[to] ?? "") + kept;
  }

  #readEvent(kind: string, data: Json): void {
    const { state } = this;
    switch (kind) {
      case "message_start":
        this.#readMessage(objectOr(data.message));
        break;
      case "content_block_start":
        this.#readBlock(countOr(data.index), objectOr(data.content_block));
        break;
      case "content_block_delta":
        this.#readDelta(countOr(data.index), objectOr(data.delta));
        break;
      case "message_delta":
        state.finishReason = textOr(objectOr(data.delta).stop_reason) ?? state.finishReason;
        state.usage = messagesUsage(data.usage, state.usage);
        if (state.finishReason !== undefined) state.ended = true;
        break;
      case "message_stop":
        state.ended = true;
        break;
      case "error":
        state.error = describeError(data.error);
        break;
    }
  }

  whole(body: unknown): void {
    if (!isObject(body)) return;
    const { state } = this;
    if (body.type === "error" || body.error) state.error = describeError(body.error);
    else this.#readMessage(body);
    state.outputBytes = this.#budget.bytes;
    state.ended = state.error === undefined;
  }

  event(data: unknown, name?: string): boolean {
    if (!isObject(data)) return false;
    this.#readEvent(String(data.type ?? name), data);
    this.state.outputBytes = this.#budget.bytes;
    return false;
  }

  content(): { text: string; truncated: boolean } {
    const text = JSON.stringify({
      role: "assistant",
      content: [...this.#blocks.values()].map(finished),
      stop_reason: this.state.finishReason ?? null,
    });
    return { text, truncated: this.#budget.truncated };
  }
}

/** A block as it stands in a whole answer. */
function finished({ partial_json: json, ...block }: Block): Block {
  // A tool that takes no arguments has an empty text for them, and its input from the start.
  if (typeof json !== "string" || json === "") return block;
  try {
    return { ...block, input: JSON.parse(json) };
  } catch {
    return { ...block, partial_json: json };
  }
}

/** Watches an answer of Anthropic's dialect. */
export const createMessagesReader = ({
  contentMax,
}: {
  contentMax?: number | undefined;
} = {}): AnswerReader => new MessagesReader(contentMax);
