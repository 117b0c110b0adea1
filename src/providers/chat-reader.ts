import { createTextBudget } from "./answer-text.ts";
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

/**
 * The usage of a whole answer or of a chunk, with its first choice: at the top (OpenAI, and most), in the choice (Moonshot), or
 * beside what is Groq's own.
 */
export const usageOf = (body: Json, choice: Json): TokenUsage | undefined =>
  chatUsage(body.usage) ?? chatUsage(choice.usage) ?? chatUsage(objectOr(body.x_groq).usage);

/** A tool's call as it is put together. */
interface ToolCall {
  id: string | undefined;
  name: string | undefined;
  arguments: string;
}

/** One of the answer's choices as it is put together. */
interface Choice {
  index: number;
  texts: Map<string, string>;
  tools: Map<number, ToolCall>;
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

/** Watches a chat completion of OpenAI's dialect, or embeddings. */
export function createChatReader({ contentMax }: { contentMax?: number | undefined } = {}): AnswerReader {
  const state: AnswerState = {
    model: undefined,
    finishReason: undefined,
    usage: undefined,
    outputBytes: 0,
    error: undefined,
    ended: false,
  };
  const budget = createTextBudget(contentMax);
  const choices = new Map<number, Choice>();

  const choiceOf = (index: number): Choice => {
    const known = choices.get(index);
    if (known) return known;
    const choice: Choice = { index, texts: new Map(), tools: new Map(), finishReason: undefined };
    if (budget.hold(shapes.choice)) choices.set(index, choice);
    return choice;
  };
  const toolOf = ({ tools }: Choice, index: number): ToolCall => {
    const known = tools.get(index);
    if (known) return known;
    const tool: ToolCall = { id: undefined, name: undefined, arguments: "" };
    if (budget.hold(shapes.tool)) tools.set(index, tool);
    return tool;
  };
  /** What replaces `before`, as far as there is room for it. */
  const replacing = (before: string | undefined, value: unknown): string | undefined => {
    const text = textOr(value);
    return text !== undefined && text !== before && budget.hold(text) ? text : before;
  };

  const readTools = (choice: Choice, calls: unknown) => {
    for (const [place, call] of listOr(calls).entries()) {
      if (!isObject(call)) continue;
      const index = isCount(call.index) ? call.index : place;
      const known = toolOf(choice, index);
      const { name, arguments: text } = objectOr(call.function);
      known.id = replacing(known.id, call.id);
      known.name = replacing(known.name, name);
      if (typeof text === "string") known.arguments += budget.take(text);
    }
  };

  const readChoice = (item: Json, place: number) => {
    const choice = choiceOf(isCount(item.index) ? item.index : place);
    const message = objectOr(item.delta ?? item.message);
    for (const field of texts) {
      const text = message[field];
      if (typeof text !== "string" || text === "") continue;
      choice.texts.set(field, (choice.texts.get(field) ?? "") + budget.take(text));
    }
    if (message.tool_calls) readTools(choice, message.tool_calls);
    if (message.function_call) readTools(choice, [{ index: 0, function: message.function_call }]);
    const reason = textOr(item.finish_reason);
    if (reason === undefined) return;
    choice.finishReason = replacing(choice.finishReason, reason);
    if (choice.index === 0 || state.finishReason === undefined) state.finishReason = reason;
    state.ended = true;
  };

  /** Returns whether there is usage. */
  const read = (body: unknown): boolean => {
    if (!isObject(body)) return false;
    if (body.error) {
      state.error = describeError(body.error);
      return false;
    }
    state.model ??= textOr(body.model);
    const list = listOr(body.choices);
    let usage = usageOf(body, {});
    for (const [place, item] of list.entries()) {
      if (!isObject(item)) continue;
      readChoice(item, place);
      usage ??= usageOf({}, item);
    }
    if (usage) state.usage = usage;
    state.outputBytes = budget.bytes;
    return usage !== undefined;
  };

  const messageOf = ({ texts: written, tools }: Choice) => {
    const message: Record<string, unknown> = { role: "assistant", content: null };
    for (const [field, text] of written) message[field] = text;
    if (tools.size > 0) {
      message.tool_calls = [...tools.values()].map(({ id, name, arguments: text }) => ({
        id,
        type: "function",
        function: { name, arguments: text },
      }));
    }
    return message;
  };

  return {
    state,
    whole(body) {
      read(body);
      state.ended = state.error === undefined;
    },
    event(data) {
      if (data === "[DONE]") {
        state.ended = true;
        return false;
      }
      const usage = read(data);
      return usage && isObject(data) && listOr(data.choices).length === 0;
    },
    content: () => ({
      text: JSON.stringify({
        choices: [...choices.values()].map((choice) => ({
          index: choice.index,
          message: messageOf(choice),
          finish_reason: choice.finishReason ?? null,
        })),
      }),
      truncated: budget.truncated,
    }),
  };
}
