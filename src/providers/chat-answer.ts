import { UpstreamError } from "../errors/app-error.ts";
import { describeError, usageOf } from "./chat-reader.ts";
import { isObject, type Json, listOr, objectOr, textOr } from "./json.ts";
import type { TokenUsage } from "./usage.ts";

/** A whole answer. `usage` is `null` where the provider reported none. */
export interface ChatAnswer {
  model: string;
  content: string;
  finishReason: string;
  usage: TokenUsage | null;
}

const malformed = (what: string) => new UpstreamError("malformed", { cause: new Error(what) });

/** Some providers answer 200 and say in the body, or in the middle of a stream, that they failed. */
const checked = (body: unknown): Json => {
  if (!isObject(body)) throw malformed("not a JSON object");
  if (body.error) throw new UpstreamError("failed", { cause: new Error(describeError(body.error)) });
  return body;
};

/** The first of several choices: only one was asked for, and a stream may interleave them. */
const choiceOf = (body: Json): Json | undefined => {
  const choices = body.choices ?? [];
  if (!Array.isArray(choices)) throw malformed("choices is not a list");
  return choices.filter(isObject).find(({ index }) => index === 0 || index === undefined);
};

/** Answers that hold only reasoning or tool calls carry `null`. */
const contentOf = (content: unknown): string => {
  if (content === null || content === undefined) return "";
  if (typeof content !== "string") throw malformed("content is not a text");
  return content;
};

/** What one chunk of a stream adds; what it does not mention is `undefined`, or empty for `content`. */
export interface Piece {
  content: string;
  model: string | undefined;
  finishReason: string | undefined;
  /** Cumulative where several chunks carry it: the last one counts. */
  usage: TokenUsage | null;
}

/**
 * Reads a chunk of a streamed answer. Usage stands where {@link usageOf} looks for it; in a chunk with empty
 * `choices` at OpenAI. `reasoning_content` is no content and is left out.
 * @throws {UpstreamError} `failed` where the chunk carries an error, `malformed` where it is no chunk at all.
 */
export const toPiece = (chunk: unknown): Piece => {
  const body = checked(chunk);
  const choice = choiceOf(body) ?? {};
  return {
    content: contentOf(objectOr(choice.delta).content),
    model: textOr(body.model),
    finishReason: textOr(choice.finish_reason),
    usage: usageOf(body, choice) ?? null,
  };
};

/**
 * Reads a whole answer. A missing finish reason counts as `stop`: the body is complete.
 * @throws {UpstreamError} `failed` where the body carries an error, `malformed` where it is no answer.
 */
export const toAnswer = (answer: unknown): ChatAnswer => {
  const body = checked(answer);
  const choice = choiceOf(body);
  if (!isObject(choice?.message)) throw malformed("no choice with a message");
  return {
    model: textOr(body.model) ?? "",
    content: contentOf(choice.message.content),
    finishReason: textOr(choice.finish_reason) ?? "stop",
    usage: usageOf(body, choice) ?? null,
  };
};

/**
 * Reads the model list; names that are not text are left out.
 * @throws {UpstreamError} as {@link toAnswer}.
 */
export const toModels = (list: unknown): string[] => {
  const { data } = checked(list);
  if (!Array.isArray(data)) throw malformed("no list of models");
  return listOr(data)
    .map((model) => textOr(objectOr(model).id))
    .filter((id) => id !== undefined);
};
