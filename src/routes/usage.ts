import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { exportUsage, listUsage } from "../handlers/usage.ts";
import type { UsageService } from "../services/usage.ts";
import { downloadDoc, envelopeDoc, oneOf, strict, text, time, uuid } from "./contract.ts";
import { checkQuery } from "./query.ts";
import { principalOf, scoped } from "./scope.ts";

const optional = Type.Optional;
const label = optional(text({ minLength: 1, maxLength: 255 }));

const group = "(app|key|model|provider|user|account)";
const filters = {
  by: optional(oneOf(["hour", "day", "month"], { description: "day without it; all in UTC" })),
  group: optional(
    Type.String({
      pattern: `^${group}(,${group}){0,2}$`,
      description: "up to three of app, key, model, provider, user, account, separated by commas",
    }),
  ),
  app_id: optional(uuid()),
  key_id: optional(uuid()),
  model: label,
  provider: label,
  user: label,
  account_id: optional(uuid()),
  from: optional(time({ description: "30 days ago without it" })),
  to: optional(time({ description: "now without it" })),
};

const count = Type.Integer();
const ms = Type.Union([Type.Number(), Type.Null()]);
const quantiles = (description: string) => Type.Object({ p50: ms, p95: ms, p99: ms }, { description });
const Usage = Type.Object({
  period: time(),
  app_id: optional(uuid()),
  key_id: optional(uuid()),
  model: optional(Type.String()),
  provider: optional(Type.String()),
  user: optional(Type.String()),
  account_id: optional(Type.Union([uuid(), Type.Null()])),
  calls: count,
  errors: count,
  error_rate: Type.Number({ description: "share of the calls that failed, 0 to 1" }),
  cache_hits: count,
  estimated_calls: Type.Integer({ description: "calls whose tokens nobody counted" }),
  unpriced_calls: Type.Integer({ description: "calls that no price is known for; they are in no cost" }),
  prompt_tokens: count,
  cached_tokens: count,
  cache_write_tokens: count,
  completion_tokens: count,
  reasoning_tokens: count,
  costs: Type.Array(
    Type.Object({ currency: Type.String(), cost: Type.String({ description: "exact decimal" }) }),
  ),
  ttft_ms: quantiles("time to the first piece of an answer, within 2 %"),
  duration_ms: quantiles("time of the whole call, within 2 %"),
});

const example = {
  period: "2026-11-24T00:00:00.000Z",
  model: "kimi-k2.5",
  calls: 1204,
  errors: 3,
  error_rate: 0.0025,
  cache_hits: 0,
  estimated_calls: 2,
  unpriced_calls: 0,
  prompt_tokens: 110_768,
  cached_tokens: 20_480,
  cache_write_tokens: 0,
  completion_tokens: 57_792,
  reasoning_tokens: 0,
  costs: [{ currency: "CNY", cost: "1.656704" }],
  ttft_ms: { p50: 301.5, p95: 880.2, p99: 1402.7 },
  duration_ms: { p50: 1790.1, p95: 5210.4, p99: 8011.9 },
};

const ListUsageContract = {
  query: strict(filters),
  detail: envelopeDoc({
    operationId: "listUsage",
    tag: "usage",
    summary: "Add up calls, tokens, cost and times",
    description:
      "By hour (at most 31 days), day (400) or month (5 years), oldest first. Users cannot be told apart by key, model or " +
      "provider as well. More than 10,000 rows are refused.",
    data: Type.Object({ items: Type.Array(Usage) }),
    example: { message: "", data: { items: [example] } },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { group: ["行数超过 10000,请缩小时间范围或减少分组"] },
  }),
};

const ExportUsageContract = {
  query: strict({ ...filters, format: optional(oneOf(["csv", "jsonl"], { description: "csv without it" })) }),
  detail: downloadDoc({
    operationId: "exportUsage",
    tag: "usage",
    summary: "Download the same",
    description: "All of it, however many rows that are. As CSV a row for each currency.",
  }),
};

/** `/usage`: how much there was of everything. */
export const usageRoutes = (needs: { usage: UsageService }) =>
  new Elysia({ prefix: "/usage", normalize: false })
    .use(scoped)
    .get(
      "/",
      ({ query, request, scope }) => {
        checkQuery(request);
        return listUsage(needs, { principal: principalOf(scope), query });
      },
      ListUsageContract,
    )
    .get(
      "/export",
      ({ query: { format = "csv", ...query }, request, scope }) => {
        checkQuery(request);
        scope.untimed();
        return exportUsage(needs, { principal: principalOf(scope), query, format });
      },
      ExportUsageContract,
    );
