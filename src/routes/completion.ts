import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { Drain } from "../drain.ts";
import type { Envelope } from "../errors/envelope.ts";
import { complete } from "../handlers/completion.ts";
import type { CompletionService } from "../services/completion.ts";
import { envelopeDoc, strict, text } from "./contract.ts";
import { principalOf, type Scope, scoped } from "./scope.ts";

const usage = {
  prompt_tokens: Type.Integer(),
  completion_tokens: Type.Integer(),
  total_tokens: Type.Integer(),
  cached_tokens: Type.Integer({ description: "part of prompt_tokens, read from the provider's cache" }),
};
const example = {
  content: "你好!我是 Kimi。",
  model: "kimi-k2.5",
  finish_reason: "stop",
  usage: { prompt_tokens: 92, completion_tokens: 8, total_tokens: 100, cached_tokens: 0 },
};
const { content, ...end } = example;

const CompletionContract = {
  body: strict(
    {
      query: text({ minLength: 1, maxLength: 2000, description: "the question" }),
      model: Type.Optional(
        text({
          minLength: 1,
          maxLength: 255,
          description: "one of OPEN_API_MODEL, or `echo`, which answers offline",
        }),
      ),
      stream: Type.Optional(Type.Boolean({ description: "answer as server-sent events", default: false })),
    },
    { examples: [{ query: "你好,请介绍一下你自己", model: "echo" }] },
  ),
  detail: envelopeDoc({
    operationId: "complete",
    tag: "completion",
    summary: "Ask the default model one question",
    description:
      "A system prompt and temperature 0.6 are added. With `stream: true` the answer comes as server-sent events: " +
      "`delta` with `{content}`, then `done` with model, finish reason and usage, or `error` with the envelope. " +
      "What fails before the first `delta` is answered with the plain envelope.",
    data: Type.Object({
      content: Type.String(),
      model: Type.String({ description: "the model that answered" }),
      finish_reason: Type.String(),
      usage: Type.Union([Type.Object(usage), Type.Null()], {
        description: "null where the provider reported none",
      }),
    }),
    example: { message: "", data: example },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "UPSTREAM_ERROR", "FAIL"],
    invalid: { query: ["必填"] },
    events: `event: delta\ndata: ${JSON.stringify({ content })}\n\nevent: done\ndata: ${JSON.stringify(end)}\n\n`,
  }),
};

export interface CompletionRoutesOptions {
  completions: CompletionService;
  drain: Drain;
  /** Renders an error for this request, and logs it where it is not the caller's. */
  renderError: (error: unknown, scope: Scope) => Envelope;
}

/** `/app/completion` */
export const completionRoutes = ({ completions, drain, renderError }: CompletionRoutesOptions) =>
  new Elysia({ normalize: false }).use(scoped).post(
    "/app/completion",
    ({ body: { stream = false, ...question }, request, scope }) => {
      scope.untimed();
      return complete(
        { completions, drain, renderError: (error) => renderError(error, scope) },
        {
          question,
          stream,
          signal: request.signal,
          id: scope.requestId,
          accountId: principalOf(scope).accountId,
          ip: scope.ip,
        },
      );
    },
    CompletionContract,
  );
