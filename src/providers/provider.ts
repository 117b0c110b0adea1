/** One turn of a conversation. */
export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

/** What a model is asked. Parameters carry the field's wire names (`temperature`, `max_tokens`, …). */
export interface ChatRequest {
  model: string;
  messages: readonly ChatMessage[];
  parameters: Readonly<Record<string, unknown>>;
}

/** Tokens as the provider counts them; `cachedTokens` is the part of `promptTokens` read from its cache. */
export interface Usage {
  promptTokens: number;
  completionTokens: number;
  totalTokens: number;
  cachedTokens: number;
}

/** A whole answer. `usage` is `null` where the provider reported none. */
export interface ChatAnswer {
  model: string;
  content: string;
  finishReason: string;
  usage: Usage | null;
}

/** A piece of a streamed answer, or its end, which comes exactly once and last. */
export type ChatEvent = { type: "delta"; content: string } | ({ type: "done" } & Omit<ChatAnswer, "content">);

/** Ends a call: the caller has left, or the service is stopping. */
export interface CallOptions {
  signal: AbortSignal;
}

/**
 * One upstream dialect. Every method throws {@link UpstreamError} and nothing else, except where `signal` was
 * aborted: then the signal's reason.
 */
export interface Provider {
  /** Short name for logs and answers, such as `moonshot` or `echo`. */
  readonly name: string;
  /** The whole answer at once. */
  complete(request: ChatRequest, options: CallOptions): Promise<ChatAnswer>;
  /** The answer piece by piece; leaving the loop ends the upstream call. An answer that stops early throws. */
  stream(request: ChatRequest, options: CallOptions): AsyncIterable<ChatEvent>;
  /** The models this key may use. */
  listModels(options: CallOptions): Promise<string[]>;
}
