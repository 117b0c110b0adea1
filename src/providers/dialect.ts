import type { UpstreamError } from "../errors/app-error.ts";
import type { AnswerReader } from "./usage.ts";

/** What a caller wants of a model, which is also the shape of its body and its answer. */
export type Operation = "chat" | "messages" | "count_tokens" | "embeddings";

/** Where and with what a provider is asked. */
export interface Endpoint {
  url: string;
  headers: Record<string, string>;
}

/** What a dialect needs to know of a provider. */
export interface Access {
  baseUrl: string;
  apiKey: string | undefined;
  /** The provider's own, beside those of the dialect; they never replace these. */
  headers: Readonly<Record<string, string>>;
}

/** How an upstream speaks: pure, without any input or output of its own. */
export interface Dialect {
  readonly name: "openai" | "anthropic";
  /** The shape in which a conversation travels. */
  readonly conversation: "chat" | "messages";
  endpoint(operation: Operation | "models", access: Access): Endpoint;
  /** Watches an answer; what it says is kept up to `contentMax` characters, 1 Mi without it. */
  reader(operation: Operation, options?: { contentMax?: number }): AnswerReader;
  /** What an answer with a status of 300 or more means; `body` is its text. */
  error(
    answer: { status: number; headers: Headers; body: string },
    known: { model: string; apiKey: string | undefined },
  ): UpstreamError;
}
