/**
 * Tokens of one answer as its provider counts them, in one shape for all dialects. `cachedTokens` and
 * `cacheWriteTokens` are parts of `promptTokens`, and `reasoningTokens` is part of `completionTokens`.
 */
export interface TokenUsage {
  promptTokens: number;
  cachedTokens: number;
  cacheWriteTokens: number;
  /** The part of `cacheWriteTokens` that the provider keeps for longer than usual, at another price. */
  cacheWriteLongTokens: number;
  completionTokens: number;
  reasoningTokens: number;
}

/** What is known of an answer at a moment. */
export interface AnswerState {
  /** The model's name as the provider spells it. */
  model: string | undefined;
  finishReason: string | undefined;
  /** The last usage that was reported; `undefined` where none was. */
  usage: TokenUsage | undefined;
  /** UTF-8 bytes of everything the model has written so far: text, reasoning, arguments of tools. For estimates. */
  outputBytes: number;
  /** An error that came inside the answer, in the provider's own words; at most 500 characters. */
  error: string | undefined;
  /** The answer has come to its proper end (`[DONE]` or a finish reason; `message_stop`). */
  ended: boolean;
}

/** Watches one answer go by, in the upstream's dialect. Odd content never throws; it is left out. */
export interface AnswerReader {
  /** A whole answer, parsed. */
  whole(body: unknown): void;
  /**
   * One server-sent event: its parsed data, and its name where it has one. `[DONE]` comes as the text itself. Returns
   * `true` where the event carries usage and nothing else, so that a caller who did not ask must not see it.
   */
  event(data: unknown, name?: string): boolean;
  readonly state: AnswerState;
  /**
   * The answer so far as a JSON text in the shape of a whole answer's message (OpenAI: `{"choices":[{"index":0,
   * "message":{…},"finish_reason":…}]}`, Anthropic: `{"role":"assistant","content":[…],"stop_reason":…}`); what goes beyond
   * `contentBytesMax` (1 MiB) is left out, and `truncated` is then true.
   */
  content(): { text: string; truncated: boolean };
}
