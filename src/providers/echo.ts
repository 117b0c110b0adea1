import type { CallOptions, ChatRequest, Provider, Usage } from "./provider.ts";

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

/** The caller's limit on the answer in tokens, under either of its two names; none where it is not a positive integer. */
const limitOf = ({ max_completion_tokens, max_tokens }: ChatRequest["parameters"]) => {
  const limit = max_completion_tokens ?? max_tokens;
  return Number.isSafeInteger(limit) && Number(limit) > 0 ? Number(limit) : Number.POSITIVE_INFINITY;
};

/** The whole echo, cut to pieces. */
const echoOf = ({ messages, parameters }: ChatRequest) => {
  const said = messages.findLast(({ role }) => role === "user")?.content ?? "";
  const all = tokensOf(announce(said));
  const tokens = all.slice(0, limitOf(parameters));
  const pieces = Array.from({ length: Math.ceil(tokens.length / tokensPerPiece) }, (_, index) =>
    tokens.slice(index * tokensPerPiece, (index + 1) * tokensPerPiece).join(""),
  );
  const promptTokens = messages.reduce((sum, { content }) => sum + tokensOf(content).length, 0);
  const usage: Usage = {
    promptTokens,
    completionTokens: tokens.length,
    totalTokens: promptTokens + tokens.length,
    cachedTokens: 0,
  };
  const finishReason = tokens.length < all.length ? "length" : "stop";
  return { pieces, end: { model: echoModel, finishReason, usage } };
};

/**
 * Creates a provider that answers offline and always the same: it says that it is an echo (in Chinese where the
 * question holds a Chinese character, else in English), then repeats the last user message. The prompt's tokens are
 * those of all messages' contents, with nothing added per message; `max_tokens` cuts the answer.
 */
export const createEchoProvider = (): Provider => ({
  name: "echo",
  complete: async (request: ChatRequest, { signal }: CallOptions) => {
    signal.throwIfAborted();
    const { pieces, end } = echoOf(request);
    return { ...end, content: pieces.join("") };
  },
  stream: async function* (request: ChatRequest, { signal }: CallOptions) {
    const { pieces, end } = echoOf(request);
    for (const content of pieces) {
      signal.throwIfAborted();
      yield { type: "delta", content };
    }
    signal.throwIfAborted();
    yield { type: "done", ...end };
  },
  listModels: async ({ signal }: CallOptions) => {
    signal.throwIfAborted();
    return [echoModel];
  },
});
