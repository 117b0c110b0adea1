import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { exportRequests, getRequest, listRequests } from "../handlers/request.ts";
import type { RequestService } from "../services/request.ts";
import {
  cursor,
  decimal,
  digits,
  downloadDoc,
  envelopeDoc,
  oneOf,
  strict,
  text,
  time,
  uuid,
} from "./contract.ts";
import { checkQuery } from "./query.ts";
import { principalOf, scoped } from "./scope.ts";

const optional = Type.Optional;
const orNull = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Union([schema, Type.Null()]);
const label = (description: string) => optional(text({ minLength: 1, maxLength: 255, description }));
const milliseconds = (description: string) =>
  optional(digits({ minimum: 0, maximum: 86_400_000, description }));

const statuses = ["ok", "error", "cancelled", "interrupted"] as const;
const filters = {
  app_id: optional(uuid()),
  key_id: optional(uuid()),
  model: label("as it was asked for, or as it answered"),
  provider: label("a provider's name"),
  status: optional(oneOf(statuses)),
  api: optional(oneOf(["chat", "messages", "count_tokens", "embeddings", "completion"])),
  user: label("the caller's own name of its user"),
  session: label("from `x-llmops-session` or `metadata.session_id`"),
  from: optional(time()),
  to: optional(time()),
  cost_min: optional(decimal({ description: "at least this much, in any currency unless one is named" })),
  currency: optional(Type.String({ pattern: "^[A-Z]{3}$" })),
  duration_ms_min: milliseconds("took at least so long"),
  ttft_ms_min: milliseconds("began to answer after so long, or later"),
  text: optional(
    text({ minLength: 2, maxLength: 200, description: "part of question or answer, within at most 7 days" }),
  ),
};

const count = Type.Integer();
const metered = {
  prompt_tokens: count,
  cached_tokens: count,
  cache_write_tokens: count,
  completion_tokens: count,
  reasoning_tokens: count,
  usage_source: oneOf(["provider", "estimate", "none"], { description: "who counted" }),
  cost: orNull(Type.String({ description: "exact decimal; null where there is no price" })),
  currency: orNull(Type.String()),
};
const listed = {
  id: uuid(),
  created_at: time(),
  app_id: uuid({ description: "the nil UUID for `POST /app/completion`" }),
  app_version: count,
  key_id: orNull(uuid()),
  account_id: orNull(uuid()),
  end_user: orNull(Type.String()),
  session: orNull(Type.String()),
  api: Type.String(),
  model: Type.String(),
  model_used: orNull(Type.String()),
  provider: orNull(Type.String()),
  status: oneOf(statuses),
  status_code: count,
  error_code: orNull(Type.String()),
  finish_reason: orNull(Type.String()),
  stream: Type.Boolean(),
  cache_hit: Type.Boolean(),
  ttft_ms: orNull(count),
  duration_ms: count,
  ...metered,
  ip_prefix: Type.String(),
};
const example = {
  id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e66",
  created_at: "2026-11-24T08:00:00.000Z",
  app_id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f",
  app_version: 3,
  key_id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e22",
  account_id: "3f0e6f2a-6a51-4c55-8f0c-2d1a9b7c4e11",
  end_user: "user-17",
  session: null,
  api: "chat",
  model: "app",
  model_used: "kimi-k2.5",
  provider: "default",
  status: "ok",
  status_code: 200,
  error_code: null,
  finish_reason: "stop",
  stream: true,
  cache_hit: false,
  ttft_ms: 310,
  duration_ms: 1840,
  prompt_tokens: 92,
  cached_tokens: 0,
  cache_write_tokens: 0,
  completion_tokens: 48,
  reasoning_tokens: 0,
  usage_source: "provider",
  cost: "0.001376",
  currency: "CNY",
  ip_prefix: "192.0.2.0/24",
} as const;

const Detail = Type.Object({
  ...listed,
  attempts: Type.Array(
    Type.Object({
      provider: Type.String(),
      model: Type.String({ description: "the provider's own name" }),
      started_ms: count,
      status: oneOf(statuses),
      status_code: orNull(count),
      error_code: orNull(Type.String()),
      finish_reason: orNull(Type.String()),
      ttft_ms: orNull(count),
      duration_ms: count,
      ...metered,
      cache_write_long_tokens: optional(count),
    }),
  ),
  charges: orNull(
    Type.Array(
      Type.Object({
        budget_id: uuid(),
        end_user: Type.String({ description: "empty where the budget is the same for all users" }),
        starts_at: time({ description: "the budget's period" }),
        currency: Type.String(),
        bound: orNull(Type.String({ description: "what was reserved; null where nothing was" })),
      }),
      { description: "the budgets that it counts towards; null without any" },
    ),
  ),
  refusal: orNull(
    Type.Object(
      {
        limit: oneOf(["requests", "tokens", "concurrency", "budget"]),
        scope: oneOf(["key", "app", "account", "user", "model"]),
        subject: Type.String({ description: "whose limit it is" }),
        bound: Type.String({ description: "the limit" }),
        used: Type.String(),
        held: Type.String({ description: "by calls under way" }),
        asked: Type.String({ description: "what the call might have needed" }),
        allowed: Type.String({ description: "what would have been let in" }),
        resets_at: orNull(time()),
      },
      { additionalProperties: true, description: "the limit that did not let it in, as things stood then" },
    ),
  ),
  question: Type.Unknown({
    description: "the body as it was asked; null where it is not kept, or no longer",
  }),
  answer: Type.Unknown({ description: "what the model said" }),
  truncated: Type.Boolean(),
});

const ListRequestsContract = {
  query: strict({
    ...filters,
    limit: optional(digits({ minimum: 1, maximum: 100, description: "20 without it" })),
    cursor: optional(cursor({ description: "next_cursor of the page before" })),
  }),
  detail: envelopeDoc({
    operationId: "listRequests",
    tag: "request",
    summary: "List calls, newest first",
    description:
      "A call is there about a fifth of a second after its end. What reads for longer than 5 s is refused.",
    data: Type.Object({
      items: Type.Array(Type.Object(listed)),
      next_cursor: Type.Union([uuid(), Type.Null()]),
    }),
    example: { message: "", data: { items: [example], next_cursor: null } },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { from: ["查询文本时最多只能跨 7 天"] },
  }),
};

const GetRequestContract = {
  params: Type.Object({
    id: uuid({ description: "the call's id, which is its x-request-id", examples: [example.id] }),
  }),
  detail: envelopeDoc({
    operationId: "getRequest",
    tag: "request",
    summary: "Get a call with its attempts and its content",
    data: Detail,
    example: {
      message: "",
      data: {
        ...example,
        attempts: [],
        charges: null,
        refusal: null,
        question: { model: "app" },
        answer: { choices: [] },
        truncated: false,
      },
    },
    errors: ["VALIDATE_ERROR", "NOT_FOUND", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { id: ["不是有效的 UUID"] },
  }),
};

const ExportRequestsContract = {
  query: strict({ ...filters, format: optional(oneOf(["csv", "jsonl"], { description: "csv without it" })) }),
  detail: downloadDoc({
    operationId: "exportRequests",
    tag: "request",
    summary: "Download calls",
    description: "All that match, newest first, without attempts and content.",
  }),
};

/** `/request`: what every call did. */
export const requestRoutes = (needs: { requests: RequestService }) =>
  new Elysia({ prefix: "/request", normalize: false })
    .use(scoped)
    .get(
      "/",
      ({ query, request, scope }) => {
        checkQuery(request);
        return listRequests(needs, { principal: principalOf(scope), query });
      },
      ListRequestsContract,
    )
    .get(
      "/export",
      ({ query: { format = "csv", ...query }, request, scope }) => {
        checkQuery(request);
        scope.untimed();
        return exportRequests(needs, { principal: principalOf(scope), query, format });
      },
      ExportRequestsContract,
    )
    .get(
      "/:id",
      ({ params: { id }, scope }) => getRequest(needs, { principal: principalOf(scope), id }),
      GetRequestContract,
    );
