import type { Access, Dialect, Endpoint, Operation } from "./dialect.ts";
import { createMessagesReader } from "./messages-reader.ts";
import { refusalError } from "./refusal.ts";

const paths: Readonly<Record<Operation | "models", string>> = {
  chat: "/messages",
  messages: "/messages",
  count_tokens: "/messages/count_tokens",
  // The dialect has no embeddings; a call for them is refused before it gets here.
  embeddings: "/embeddings",
  models: "/models",
};

/** The version of the dialect that is spoken here (docs.anthropic.com, "Versions"). */
const version = "2023-06-01";

/** Anthropic's dialect. Its base URL may be written with or without `/v1` at its end, as its own clients do and others. */
export const anthropicDialect: Dialect = {
  name: "anthropic",
  conversation: "messages",
  endpoint: (operation, { baseUrl, apiKey, headers }: Access): Endpoint => ({
    url: `${baseUrl.replace(/\/v1$/, "")}/v1${paths[operation]}`,
    headers: {
      "anthropic-version": version,
      ...headers,
      accept: "application/json, text/event-stream",
      "user-agent": "llmops",
      ...(operation !== "models" && { "content-type": "application/json" }),
      ...(apiKey && { "x-api-key": apiKey }),
    },
  }),
  reader: (_, options) => createMessagesReader(options),
  error: refusalError,
};
