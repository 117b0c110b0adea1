import { type Static, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import {
  createRateLimit,
  deleteRateLimit,
  getRateLimit,
  listRateLimits,
  updateRateLimit,
} from "../handlers/rate-limit.ts";
import type { RateLimitService } from "../services/rate-limit.ts";
import { cursor, digits, envelopeDoc, oneOf, strict, text, time, uuid } from "./contract.ts";
import { checkQuery } from "./query.ts";
import { principalOf, scoped } from "./scope.ts";

const optional = Type.Optional;
const most = (description: string) =>
  Type.Union([Type.Integer({ minimum: 1, maximum: 1_000_000_000_000 }), Type.Null()], {
    description: `${description}; null: as the less specific limit says`,
  });

const amounts = {
  requests: most("calls in a minute"),
  tokens: most("tokens of prompts and answers in a minute"),
  concurrency: most("calls at once"),
};
const shown = {
  scope: oneOf(["key", "app", "account", "user", "model"], {
    description: "what is limited; user: the users of an app, as its callers name them",
  }),
  subject: text({
    maxLength: 255,
    description:
      "the id of a key, an app (also for its users) or an account, or a model's name; empty: all that have no limit of their own",
  }),
  end_user: text({ maxLength: 255, description: "one user of the app; empty: each of them" }),
  ...amounts,
};
const changeable = {
  requests: optional(amounts.requests),
  tokens: optional(amounts.tokens),
  concurrency: optional(amounts.concurrency),
};
const RateLimit = Type.Object({ id: uuid(), ...shown, created_at: time(), updated_at: time() });

const example: Static<typeof RateLimit> = {
  id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e77",
  scope: "app",
  subject: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f",
  end_user: "",
  requests: 600,
  tokens: 1_000_000,
  concurrency: null,
  created_at: "2026-11-24T08:00:00.000Z",
  updated_at: "2026-11-24T08:00:00.000Z",
};

const params = Type.Object({ id: uuid({ description: "the limit's id", examples: [example.id] }) });
const errors = ["VALIDATE_ERROR", "NOT_FOUND", "UNAUTHORIZED", "FORBIDDEN", "FAIL"] as const;

/** Where nobody has said anything; what holds is in `src/limits/rules.ts`. */
const builtIn =
  "Where no limit says otherwise, every key, app, account, user and model may have 600000 requests and 600000000 tokens in a minute, and 10000 calls at once.";

const CreateRateLimitContract = {
  body: strict(
    {
      scope: shown.scope,
      subject: optional(shown.subject),
      end_user: optional(shown.end_user),
      ...changeable,
    },
    { examples: [{ scope: "app", subject: example.subject, requests: 600, tokens: 1_000_000 }] },
  ),
  detail: envelopeDoc({
    operationId: "createRateLimit",
    tag: "rate-limit",
    summary: "Limit how much may be asked per minute, and at once",
    description: `A call must be within the limits of its key, app, account, user and model alike. ${builtIn}`,
    data: RateLimit,
    example: { message: "限流已经成功创建", data: example },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "CONFLICT", "FAIL"],
    invalid: { subject: ["应用不存在"] },
  }),
};

const ListRateLimitsContract = {
  query: strict({
    scope: optional(shown.scope),
    subject: optional(shown.subject),
    limit: optional(digits({ minimum: 1, maximum: 100, description: "20 without it" })),
    cursor: optional(cursor({ description: "next_cursor of the page before" })),
  }),
  detail: envelopeDoc({
    operationId: "listRateLimits",
    tag: "rate-limit",
    summary: "List limits, newest first",
    description: `Owners and admins see all; others those of models, of apps that they may see with their keys and users, and of their own account. ${builtIn}`,
    data: Type.Object({ items: Type.Array(RateLimit), next_cursor: Type.Union([uuid(), Type.Null()]) }),
    example: { message: "", data: { items: [example], next_cursor: null } },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { limit: ["不能大于 100"] },
  }),
};

const GetRateLimitContract = {
  params,
  detail: envelopeDoc({
    operationId: "getRateLimit",
    tag: "rate-limit",
    summary: "Get a limit",
    data: RateLimit,
    example: { message: "", data: example },
    errors,
    invalid: { id: ["不是有效的 UUID"] },
  }),
};

const UpdateRateLimitContract = {
  params,
  body: strict(changeable, { examples: [{ requests: 1200 }] }),
  detail: envelopeDoc({
    operationId: "updateRateLimit",
    tag: "rate-limit",
    summary: "Change a limit",
    description:
      "Changes the fields in the body and no others. Another scope, subject or user is another limit.",
    data: RateLimit,
    example: { message: "限流已经成功修改", data: example },
    errors,
    invalid: { requests: ["不能小于 1"] },
  }),
};

const DeleteRateLimitContract = {
  params,
  body: strict({}),
  detail: envelopeDoc({
    operationId: "deleteRateLimit",
    tag: "rate-limit",
    summary: "Delete a limit",
    description: "From then on the less specific one holds.",
    data: Type.Object({}),
    example: { message: "限流已经成功删除", data: {} },
    errors,
    invalid: { id: ["不是有效的 UUID"] },
  }),
};

/** `/rate-limit`: how much may be asked per minute, and at once. */
export const rateLimitRoutes = (needs: { rateLimits: RateLimitService }) =>
  new Elysia({ prefix: "/rate-limit", normalize: false })
    .use(scoped)
    .get(
      "/",
      ({ query, request, scope }) => {
        checkQuery(request);
        return listRateLimits(needs, { query, principal: principalOf(scope) });
      },
      ListRateLimitsContract,
    )
    .post(
      "/",
      ({ body, scope }) =>
        createRateLimit(needs, { body, principal: principalOf(scope), locale: scope.locale }),
      CreateRateLimitContract,
    )
    .get(
      "/:id",
      ({ params: { id }, scope }) => getRateLimit(needs, { id, principal: principalOf(scope) }),
      GetRateLimitContract,
    )
    .post(
      "/:id",
      ({ params: { id }, body, scope }) =>
        updateRateLimit(needs, { id, body, principal: principalOf(scope), locale: scope.locale }),
      UpdateRateLimitContract,
    )
    .post(
      "/:id/delete",
      ({ params: { id }, scope }) =>
        deleteRateLimit(needs, { id, principal: principalOf(scope), locale: scope.locale }),
      DeleteRateLimitContract,
    );
