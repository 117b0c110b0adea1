import { isObject, type Json, listOr } from "./json.ts";
import type { UpstreamAnswer } from "./transport.ts";

/** The only model of the echo provider, by which a caller asks for it. */
export const echoModel = "echo";

/** Tokens per piece of a streamed echo. */
const tokensPerPiece = 4;

/**
 * The echo's tokens: a run of up to four ASCII letters or digits, a run of white space, or any other single code
 * point. Together they are the text again, and none splits a surrogate pair.
 */
const tokensOf = (text: string): string[] => text.match(/[A-Za-z\d]{1,4}|\s+|./gsu) ?? [];

const announce = (text: string) =>
  /\p{Script=Han}/u.test(text)
    ? `[echo] 这是离线回显,没有调用任何模型。你说:${text}`
    : `[echo] This is an offline echo; no model was called. You said: ${text}`;

/** The text of a message, whether it is one or a list of parts. */
const textOf = (content: unknown): string =>
  typeof content === "string"
    ? content
    : listOr(content)
        .map((part) => (isObject(part) && typeof part.text === "string" ? part.text : ""))
        .join("");

/** The caller's limit on the answer in tokens, under either of its two names; none where it is not a positive integer. */
const limitOf = ({ max_completion_tokens, max_tokens }: Json) => {
  const limit = max_completion_tokens ?? max_tokens;
  return Number.isSafeInteger(limit) && Number(limit) > 0 ? Number(limit) : Number.POSITIVE_INFINITY;
};

/** The whole echo, cut to pieces. */
const echoOf = (request: Json) => {
  const messages = listOr(request.messages).filter(isObject);
  const said = textOf(messages.findLast(({ role }) => role === "user")?.content ?? "");
  const all = tokensOf(announce(said));
  const tokens = all.slice(0, limitOf(request));
  const pieces = Array.from({ length: Math.ceil(tokens.length / tokensPerPiece) }, (_, index) =>
    tokens.slice(index * tokensPerPiece, (index + 1) * tokensPerPiece).join(""),
  );
  const promptTokens = messages.reduce((sum, { content }) => sum + tokensOf(textOf(content)).length, 0);
  const usage = {
    prompt_tokens: promptTokens,
    completion_tokens: tokens.length,
    total_tokens: promptTokens + tokens.length,
  };
  return { pieces, usage, finishReason: tokens.length < all.length ? "length" : "stop" };
};

const encoder = new TextEncoder();

/**
 * The echo's answer to a chat completion, in OpenAI's dialect, offline and always the same: it says that it is an echo (in
 * Chinese where the question holds a Chinese character, else in English), then repeats the last user message. The prompt's
 * tokens are those of all messages' contents, with nothing added per message; `max_tokens` cuts the answer.
 */
export function askEcho(request: Json, now: Date): UpstreamAnswer {
  const { pieces, usage, finishReason } = echoOf(request);
  const head = { id: "echo", created: Math.floor(now.getTime() / 1000), model: echoModel };
  const answer = (type: string, texts: readonly string[]): UpstreamAnswer => {
    const waiting = texts.map((text) => encoder.encode(text));
    return {
      status: 200,
      contentType: type,
      headers: new Headers({ "content-type": type }),
      bytes: () => Buffer.concat(waiting.splice(0)),
      read: () => waiting.shift(),
    };
  };
  if (request.stream !== true) {
    const message = { role: "assistant", content: pieces.join("") };
    const choices = [{ index: 0, message, finish_reason: finishReason }];
    return answer("application/json", [
      JSON.stringify({ ...head, object: "chat.completion", choices, usage }),
    ]);
  }
  const chunk = (rest: object) =>
    `data: ${JSON.stringify({ ...head, object: "chat.completion.chunk", ...rest })}\n\n`;
  const choice = (delta: object, reason: string | null) => [{ index: 0, delta, finish_reason: reason }];
  return answer("text/event-stream", [
    ...pieces.map((content) => chunk({ choices: choice({ content }, null) })),
    chunk({ choices: choice({}, finishReason) }),
    chunk({ choices: [], usage }),
    "data: [DONE]\n\n",
  ]);
}
