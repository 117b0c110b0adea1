import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { Drain } from "../drain.ts";
import { callModel } from "../handlers/call.ts";
import type { CallService, IncomingCall } from "../services/call.ts";
import { readText } from "./body.ts";
import { keyOf, type Scope, scoped } from "./scope.ts";

const json = (schema: unknown, example: unknown) => ({
  "application/json": { schema: schema as never, example },
});
const open = (description: string, example?: unknown) =>
  Type.Object(
    {},
    { additionalProperties: true, description, ...(example !== undefined && { examples: [example] }) },
  );

const message = { role: "user", content: "你好,请介绍一下你自己" };
const answer = { role: "assistant", content: "你好!我是 Kimi。" };
const usage = { prompt_tokens: 9, completion_tokens: 7, total_tokens: 16 };

/** What one of these routes is, for the documentation: bodies are the dialect's own and are not checked here. */
interface Doc {
  operationId: string;
  summary: string;
  description: string;
  body: unknown;
  answer: unknown;
  error: unknown;
  streams?: true;
}

const openAiError = {
  error: {
    message: "model is required",
    type: "invalid_request_error",
    param: "model",
    code: "invalid_request",
  },
};
const anthropicError = {
  type: "error",
  error: { type: "invalid_request_error", message: "model is required" },
};

const contract = (doc: Doc) => ({
  detail: {
    operationId: doc.operationId,
    summary: doc.summary,
    description: doc.description,
    tags: ["v1"],
    security: [{ key: [] }],
    requestBody: { required: true, content: json(open("as the dialect has it", doc.body), doc.body) },
    responses: {
      200: {
        description: "the model's answer, in the dialect of the route",
        content: {
          ...json(open("as the dialect has it"), doc.answer),
          ...(doc.streams && {
            "text/event-stream": {
              schema: { type: "string" as const },
              example: "data: {…}\n\ndata: [DONE]\n\n",
            },
          }),
        },
      },
      ...Object.fromEntries(
        [
          [400, "the request makes no sense, here or to the provider"],
          [401, "no key, or not a good one"],
          [404, "no such model, or not this key's to call"],
          [413, "the body is too large"],
          [429, "a limit or a budget does not let it in, or the provider is rate limiting"],
          [502, "the provider failed"],
          [
            503,
            "the provider is left alone for a moment, limits cannot be checked, or the service is stopping",
          ],
          [504, "the provider took too long"],
        ].map(([status, description]) => [
          status,
          { description, content: json(open("the dialect's error"), doc.error) },
        ]),
      ),
    },
  },
});

const ChatContract = contract({
  operationId: "createChatCompletion",
  summary: "Chat, in OpenAI's dialect",
  description:
    "`model` is `app` (or the app's id): then the app's own prompt, models and parameters apply; or a registered model that " +
    "the app allows: then nothing is added. What is not known here travels untouched, both ways.",
  body: { model: "app", messages: [message] },
  answer: {
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1764000000,
    model: "kimi-k2.5",
    choices: [{ index: 0, message: answer, finish_reason: "stop" }],
    usage,
  },
  error: openAiError,
  streams: true,
});

const EmbeddingsContract = contract({
  operationId: "createEmbedding",
  summary: "Embeddings, in OpenAI's dialect",
  description: "`model` is `app`, or a registered model that the app allows.",
  body: { model: "app", input: "你好" },
  answer: {
    object: "list",
    model: "text-embedding-3-small",
    data: [{ object: "embedding", index: 0, embedding: [0.1] }],
    usage: { prompt_tokens: 2, total_tokens: 2 },
  },
  error: openAiError,
});

const MessagesContract = contract({
  operationId: "createMessage",
  summary: "Chat, in Anthropic's dialect",
  description:
    "As chat completions; the key may also come as `x-api-key`, and errors have Anthropic's shape.",
  body: { model: "app", max_tokens: 1024, messages: [message] },
  answer: {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: "kimi-k2.5",
    content: [{ type: "text", text: answer.content }],
    stop_reason: "end_turn",
    stop_sequence: null,
    usage: { input_tokens: 9, output_tokens: 7 },
  },
  error: anthropicError,
  streams: true,
});

const CountTokensContract = contract({
  operationId: "countMessageTokens",
  summary: "Count the tokens of a message, in Anthropic's dialect",
  description: "The provider's count, where it has one; else an estimate.",
  body: { model: "app", messages: [message] },
  answer: { input_tokens: 9 },
  error: anthropicError,
});

export interface CallRoutesOptions {
  calls: CallService;
  drain: Drain;
  /** Largest body, in bytes. */
  bodyBytesMax: number;
  /** An error within a stream, in the dialect of the route; logs it where it is not the caller's. */
  renderEvent: (error: unknown, scope: Scope) => string;
}

/** The routes of the calls, and what each wants of a model. */
const operations: ReadonlyMap<string, IncomingCall["operation"]> = new Map([
  ["/v1/chat/completions", "chat"],
  ["/v1/embeddings", "embeddings"],
  ["/v1/messages", "messages"],
  ["/v1/messages/count_tokens", "count_tokens"],
]);

/** What a request that was let in wants of a model; `undefined` for all but the calls. */
export const operationOf = ({ method }: Request, path: string): IncomingCall["operation"] | undefined =>
  method === "POST" ? operations.get(path) : undefined;

/** Makes one call. The answer has all its headers. @throws at once, or later. */
export type CallHandler = (
  operation: IncomingCall["operation"],
  request: Request,
  scope: Scope,
) => Promise<Response>;

/** What makes the calls, for the routes and for whoever goes past them. */
export const createCallHandler =
  (options: CallRoutesOptions): CallHandler =>
  (operation, request, scope) => {
    const { bodyBytesMax, renderEvent } = options;
    scope.untimed();
    return callModel(
      options,
      {
        id: scope.requestId,
        key: keyOf(scope),
        operation,
        text: readText(request, bodyBytesMax),
        ip: scope.ip,
        session: request.headers.get("x-llmops-session") ?? undefined,
        scope,
        renderError: (error) => renderEvent(error, scope),
      },
      request.signal,
    );
  };

/** What app keys open on `/v1`, in the dialects of OpenAI and Anthropic. */
export const callRoutes = (options: CallRoutesOptions) => {
  const call = createCallHandler(options);
  return new Elysia({ prefix: "/v1", normalize: false })
    .use(scoped)
    .post("/chat/completions", ({ request, scope }) => call("chat", request, scope), ChatContract)
    .post("/embeddings", ({ request, scope }) => call("embeddings", request, scope), EmbeddingsContract)
    .post("/messages", ({ request, scope }) => call("messages", request, scope), MessagesContract)
    .post(
      "/messages/count_tokens",
      ({ request, scope }) => call("count_tokens", request, scope),
      CountTokensContract,
    );
};
