import { createChatReader } from "./chat-reader.ts";
import type { Access, Dialect, Endpoint, Operation } from "./dialect.ts";
import { refusalError } from "./refusal.ts";

const paths: Readonly<Record<Operation | "models", string>> = {
  chat: "/chat/completions",
  messages: "/chat/completions",
  // The dialect has no such route; who counts is ours to say.
  count_tokens: "/chat/completions",
  embeddings: "/embeddings",
  models: "/models",
};

/** OpenAI's own dialect, which most providers speak. */
export const openaiDialect: Dialect = {
  name: "openai",
  conversation: "chat",
  endpoint: (operation, { baseUrl, apiKey, headers }: Access): Endpoint => ({
    url: baseUrl + paths[operation],
    headers: {
      ...headers,
      accept: "application/json, text/event-stream",
      "user-agent": "llmops",
      ...(operation !== "models" && { "content-type": "application/json" }),
      ...(apiKey && { authorization: `Bearer ${apiKey}` }),
    },
  }),
  reader: (_, options) => createChatReader(options),
  error: refusalError,
};
