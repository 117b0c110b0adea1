import { TextBudget } from "./answer-text.ts";
import { countOr, isCount, isObject, type Json, listOr, objectOr, textOr } from "./json.ts";
import type { AnswerReader, AnswerState, TokenUsage } from "./usage.ts";

/**
 * Usage as a provider reports it, or `undefined` where it is missing or makes no sense. Cached tokens are looked for
 * where OpenAI and Qwen (`prompt_tokens_details`), Moonshot (`cached_tokens`) and DeepSeek (`prompt_cache_hit_tokens`)
 * put them. Embeddings have no completion.
 */
export function chatUsage(value: unknown): TokenUsage | undefined {
  if (!isObject(value)) return undefined;
  const { prompt_tokens: promptTokens, completion_tokens: completionTokens = 0 } = value;
  if (!isCount(promptTokens) || !isCount(completionTokens)) return undefined;
  const input = objectOr(value.prompt_tokens_details);
  const cached = [input.cached_tokens, value.cached_tokens, value.prompt_cache_hit_tokens].find(isCount) ?? 0;
  const cachedTokens = Math.min(cached, promptTokens);
  const written = countOr(input.cache_creation_tokens ?? input.cache_write_tokens);
  const reasoning = countOr(objectOr(value.completion_tokens_details).reasoning_tokens);
  return {
    promptTokens,
    cachedTokens,
    cacheWriteTokens: Math.min(written, promptTokens - cachedTokens),
    cacheWriteLongTokens: 0,
    completionTokens,
    reasoningTokens: Math.min(reasoning, completionTokens),
  };
}

/** The usage beside what is Groq's own. */
const groqUsage = (body: Json): TokenUsage | undefined => chatUsage(objectOr(body.x_groq).usage);

/**
 * The usage of a whole answer or of a chunk, with its first choice: at the top (OpenAI, and most), in the choice (Moonshot), or
 * beside what is Groq's own.
 */
export const usageOf = (body: Json, choice: Json): TokenUsage | undefined =>
  chatUsage(body.usage) ?? chatUsage(choice.usage) ?? groqUsage(body);

/** A tool's call as it is put together. */
interface ToolCall {
  id: string | undefined;
  name: string | undefined;
  arguments: string;
}

/** One of the answer's choices as it is put together. */
interface Choice {
  index: number;
  texts: Partial<Record<(typeof texts)[number], string>>;
  tools: Map<number, ToolCall> | undefined;
  finishReason: string | undefined;
}

/** What each takes of the room beside its texts, so that their number is bounded too. */
const shapes = {
  choice: '{"index":0,"message":{"role":"assistant","content":null},"finish_reason":null}',
  tool: '{"id":"","type":"function","function":{"name":"","arguments":""}}',
};

/** Texts of a message that are the model's own writing. */
const texts = ["content", "reasoning_content", "reasoning", "refusal"] as const;

/** The text of a provider's `error`, which is an object with a message or anything else; at most 500 characters. */
export const describeError = (error: unknown): string =>
  String(isObject(error) && typeof error.message === "string" ? error.message : JSON.stringify(error)).slice(
    0,
    500,
  );

/** A class, since one is made for every call: its methods are made once. */
class ChatReader implements AnswerReader {
  readonly state: AnswerState = {
    model: undefined,
    finishReason: undefined,
    usage: undefined,
    outputBytes: 0,
    error: undefined,
    ended: false,
  };
  readonly #budget: TextBudget;
  readonly #choices = new Map<number, Choice>();

  constructor(contentMax: number | undefined) {
    this.#budget = new TextBudget(contentMax);
  }

  #choiceOf(index: number): Choice {
    const known = this.#choices.get(index);
    if (known) return known;
    const choice: Choice = { index, texts: {}, tools: undefined, finishReason: undefined };
    if (this.#budget.hold(shapes.choice)) this.#choices.set(index, choice);
    return choice;
  }

  #toolOf(choice: Choice, index: number): ToolCall {
    choice.tools ??= new Map();
    const known = choice.tools.get(index);
    if (known) return known;
    const tool: ToolCall = { id: undefined, name: undefined, arguments: "" };
    if (this.#budget.hold(shapes.tool)) choice.tools.set(index, tool);
    return tool;
  }

  /** What replaces `before`, as far as there is room for it. */
  #replacing(before: string | undefined, value: unknown): string | undefined {
    const text = textOr(value);
    return text !== undefined && text !== before && this.#budget.hold(text) ? text : before;
  }

  #readTools(choice: Choice, calls: unknown): void {
    for (const [place, call] of listOr(calls).entries()) {
      if (!isObject(call)) continue;
      const index = isCount(call.index) ? call.index : place;
      const known = this.#toolOf(choice, index);
      const { name, arguments: text } = objectOr(call.function);
      known.id = this.#replacing(known.id, call.id);
      known.name = this.#replacing(known.name, name);
      if (typeof text === "string") known.arguments += this.#budget.take(text);
    }
  }

  #readChoice(item: Json, place: number): void {
    const { state } = this;
    const choice = this.#choiceOf(isCount(item.index) ? item.index : place);
    const message = objectOr(item.delta ?? item.message);
    for (const field of texts) {
      const text = message[field];
      if (typeof text !== "string" || text === "") continue;
      choice.texts[field] = (choice.texts[field] ?? "") + this.#budget.take(text);
    }
    if (message.tool_calls) this.#readTools(choice, message.tool_calls);
    if (message.function_call) this.#readTools(choice, [{ index: 0, function: message.function_call }]);
    const reason = textOr(item.finish_reason);
    if (reason === undefined) return;
    choice.finishReason = this.#replacing(choice.finishReason, reason);
    if (choice.index === 0 || state.finishReason === undefined) state.finishReason = reason;
    state.ended = true;
  }

  /** Returns whether there is usage. */
  #read(body: unknown): boolean {
    if (!isObject(body)) return false;
    const { state } = this;
    if (body.error) {
      state.error = describeError(body.error);
      return false;
    }
    state.model ??= textOr(body.model);
    const list = listOr(body.choices);
    let usage = chatUsage(body.usage) ?? groqUsage(body);
    for (let place = 0; place < list.length; place++) {
      const item = list[place];
      if (!isObject(item)) continue;
      this.#readChoice(item, place);
      usage ??= chatUsage(item.usage);
    }
    if (usage) state.usage = usage;
    state.outputBytes = this.#budget.bytes;
    return usage !== undefined;
  }

  whole(body: unknown): void {
    this.#read(body);
    this.state.ended = this.state.error === undefined;
  }

  event(data: unknown): boolean {
    if (data === "[DONE]") {
      this.state.ended = true;
      return false;
    }
    const usage = this.#read(data);
    return usage && isObject(data) && listOr(data.choices).length === 0;
  }

  content(): { text: string; truncated: boolean } {
    const choices: object[] = [];
    for (const choice of this.#choices.values()) {
      const { index, finishReason: finish_reason = null } = choice;
      choices.push({ index, message: messageOf(choice), finish_reason });
    }
    return { text: JSON.stringify({ choices }), truncated: this.#budget.truncated };
  }
}

/** What was written of a choice, as a message. */
function messageOf({ texts: written, tools }: Choice): object {
  const message = { role: "assistant", content: null, ...written };
  if (!tools?.size) return message;
  const calls = [...tools.values()].map(({ id, name, arguments: text }) => ({
    id,
    type: "function",
    function: { name, arguments: text },
  }));
  return { ...message, tool_calls: calls };
}

/** Watches a chat completion of OpenAI's dialect, or embeddings. */
export const createChatReader = ({ contentMax }: { contentMax?: number | undefined } = {}): AnswerReader =>
  new ChatReader(contentMax);
