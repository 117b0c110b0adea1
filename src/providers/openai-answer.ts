import { UpstreamError } from "../errors/app-error.ts";
import type { ChatAnswer, Usage } from "./provider.ts";

/** A JSON object of which nothing is known yet. */
type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const objectOr = (value: unknown): Json => (isObject(value) ? value : {});

const malformed = (what: string) => new UpstreamError("malformed", { cause: new Error(what) });

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

/**
 * Usage as a provider reports it, or `null` where it is missing or makes no sense. Cached tokens are looked for
 * where OpenAI and Qwen (`prompt_tokens_details`), Moonshot (`cached_tokens`) and DeepSeek
 * (`prompt_cache_hit_tokens`) put them.
 */
export const toUsage = (value: unknown): Usage | null => {
  const usage = objectOr(value);
  const { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: total } = usage;
  if (!isCount(promptTokens) || !isCount(completionTokens)) return null;
  const cached = [
    objectOr(usage.prompt_tokens_details).cached_tokens,
    usage.cached_tokens,
    usage.prompt_cache_hit_tokens,
  ].find(isCount);
  return {
    promptTokens,
    completionTokens,
    totalTokens: isCount(total) ? total : promptTokens + completionTokens,
    cachedTokens: Math.min(cached ?? 0, promptTokens),
  };
};

/** Some providers answer 200 and say in the body, or in the middle of a stream, that they failed. */
const checked = (body: unknown): Json => {
  if (!isObject(body)) throw malformed("not a JSON object");
  if (body.error) throw new UpstreamError("failed", { cause: new Error(describe(body.error)) });
  return body;
};

/** The text of a provider's `error`, which is an object with a message or anything else; at most 500 characters. */
export const describe = (error: unknown): string => {
  const message =
    isObject(error) && typeof error.message === "string" ? error.message : JSON.stringify(error);
  return String(message).slice(0, 500);
};

/** The first of several choices: only one was asked for, and a stream may interleave them. */
const choiceOf = (body: Json): Json | undefined => {
  const choices = body.choices ?? [];
  if (!Array.isArray(choices)) throw malformed("choices is not a list");
  return choices.filter(isObject).find(({ index }) => index === 0 || index === undefined);
};

/** Answers that hold only reasoning or tool calls carry `null`. */
const textOf = (content: unknown): string => {
  if (content === null || content === undefined) return "";
  if (typeof content !== "string") throw malformed("content is not a text");
  return content;
};

const nonEmpty = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;

/** What one chunk of a stream adds; what it does not mention is `undefined`, or empty for `content`. */
export interface Piece {
  content: string;
  model: string | undefined;
  finishReason: string | undefined;
  /** Cumulative where several chunks carry it: the last one counts. */
  usage: Usage | null;
}

/**
 * Reads a chunk of a streamed answer. Usage stands at the top level (in a chunk with empty `choices` at OpenAI) or
 * in the choice (Moonshot). `reasoning_content` is no content and is left out.
 * @throws {UpstreamError} `failed` where the chunk carries an error, `malformed` where it is no chunk at all.
 */
export const toPiece = (chunk: unknown): Piece => {
  const body = checked(chunk);
  const choice = choiceOf(body) ?? {};
  return {
    content: textOf(objectOr(choice.delta).content),
    model: nonEmpty(body.model),
    finishReason: nonEmpty(choice.finish_reason),
    usage: toUsage(body.usage) ?? toUsage(choice.usage),
  };
};

/**
 * Reads a whole answer to a request for `model`. A missing finish reason counts as `stop`: the body is complete.
 * @throws {UpstreamError} `failed` where the body carries an error, `malformed` where it is no answer.
 */
export const toAnswer = (answer: unknown, model: string): ChatAnswer => {
  const body = checked(answer);
  const choice = choiceOf(body);
  if (!isObject(choice?.message)) throw malformed("no choice with a message");
  return {
    model: nonEmpty(body.model) ?? model,
    content: textOf(choice.message.content),
    finishReason: nonEmpty(choice.finish_reason) ?? "stop",
    usage: toUsage(body.usage) ?? toUsage(choice.usage),
  };
};

/**
 * Reads the model list; names that are not text are left out.
 * @throws {UpstreamError} as {@link toAnswer}.
 */
export const toModels = (list: unknown): string[] => {
  const { data } = checked(list);
  if (!Array.isArray(data)) throw malformed("no list of models");
  return data.map((model) => nonEmpty(objectOr(model).id)).filter((id) => id !== undefined);
};
