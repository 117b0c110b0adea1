import { type Static, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import {
  createBudget,
  deleteBudget,
  explainBudget,
  getBudget,
  listBudgets,
  updateBudget,
} from "../handlers/budget.ts";
import type { BudgetService } from "../services/budget.ts";
import { cursor, decimal, digits, envelopeDoc, oneOf, strict, text, time, uuid } from "./contract.ts";
import { checkQuery } from "./query.ts";
import { principalOf, scoped } from "./scope.ts";

const optional = Type.Optional;
const orNull = <T extends Parameters<typeof Type.Union>[0][number]>(
  schema: T,
  options: { description?: string } = {},
) => Type.Union([schema, Type.Null()], options);
const exact = (description?: string) =>
  Type.String({ format: "decimal", ...(description !== undefined && { description }) });
const currency = (description: string) => Type.String({ pattern: "^[A-Z]{3}$", description });
const label = text({ minLength: 1, maxLength: 255 });

const fixed = {
  scope: oneOf(["key", "app", "account", "user"], {
    description: "whose spending counts; user: the users of an app, as its callers name them",
  }),
  subject_id: uuid({ description: "the key's, the app's (also for its users) or the account's id" }),
  end_user: orNull(label, {
    description: "with the scope user: that one of the app's users; null: each of them has the budget",
  }),
  period: oneOf(["day", "week", "month", "forever"], {
    description: "how long it lasts before it begins anew; weeks begin on Monday",
  }),
  time_zone: text({
    minLength: 1,
    maxLength: 64,
    description: "where its days begin: an IANA name such as Asia/Shanghai",
  }),
  currency: currency("ISO 4217; costs in another are converted by the exchange rates"),
};
const changeable = {
  name: text({ minLength: 1, maxLength: 255 }),
  amount: decimal({ description: "how much may be spent in a period" }),
  hard: Type.Boolean({ description: "calls are refused where it is used up; false: they only count" }),
  warn_at: Type.Array(Type.Number({ minimum: 0.001, maximum: 1 }), {
    maxItems: 10,
    description: "shares of the amount, with at most three decimals; shown in order, each once",
  }),
  status: oneOf(["", "disabled"], { description: "empty: in use" }),
};

const State = Type.Object(
  {
    starts_at: time(),
    ends_at: orNull(time(), { description: "null for a period without an end" }),
    users: orNull(Type.Integer(), {
      description: "where each user has the budget: how many the amounts are sums of, limit and left too",
    }),
    used: exact("what is booked"),
    held: exact("what living processes may still spend, or have spent and not booked yet"),
    unknown: exact("the same of processes that have fallen silent, until their journal is brought in"),
    limit: exact(),
    left: exact("limit less used, held and unknown; never below 0"),
    exceeded_calls: Type.Integer({ description: "calls that cost more than was kept back for them" }),
    exceeded: exact("what those calls cost, together"),
    warnings: Type.Array(Type.Number(), {
      description: "shares of warn_at that are used; where each user has the budget, by one of them at least",
    }),
  },
  { description: "of the present period" },
);
const Budget = Type.Object({
  id: uuid(),
  ...fixed,
  ...changeable,
  created_at: time(),
  updated_at: time(),
  state: State,
});

const state: Static<typeof State> = {
  starts_at: "2026-10-31T16:00:00.000Z",
  ends_at: "2026-11-30T16:00:00.000Z",
  users: null,
  used: "812.4093",
  held: "10.5",
  unknown: "0",
  limit: "1000",
  left: "177.0907",
  exceeded_calls: 0,
  exceeded: "0",
  warnings: [0.8],
};
const example: Static<typeof Budget> = {
  id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e88",
  scope: "app",
  subject_id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f",
  end_user: null,
  period: "month",
  time_zone: "Asia/Shanghai",
  currency: "CNY",
  name: "November",
  amount: "1000",
  hard: true,
  warn_at: [0.8],
  status: "",
  created_at: "2026-11-24T08:00:00.000Z",
  updated_at: "2026-11-24T08:00:00.000Z",
  state,
};

const Explanation = Type.Object({
  state: State,
  leases: Type.Array(
    Type.Object({
      holder_id: uuid(),
      end_user: Type.String(),
      name: orNull(Type.String(), { description: "null where nothing more is known of it" }),
      amount: exact(),
      expires_at: orNull(time()),
      unknown: Type.Boolean({ description: "it has fallen silent" }),
    }),
    { description: "what processes hold: at most 1000, the most first" },
  ),
  ledger: Type.Object({
    items: Type.Array(
      Type.Object({
        id: uuid(),
        end_user: Type.String(),
        kind: oneOf(["call", "reprice", "write_off"]),
        request_id: orNull(uuid()),
        currency: Type.String(),
        cost: exact("in that currency"),
        rate: exact("what one unit of it was worth in the budget's"),
        amount: exact("in the budget's currency"),
        bound_exceeded: Type.Boolean({ description: "it cost more than was reserved for it" }),
        created_at: time(),
      }),
    ),
    next_cursor: orNull(uuid()),
  }),
  sums: Type.Object({
    ledger: exact("what the whole ledger of the period adds up to"),
    spent: exact("what the period says was spent"),
    equal: Type.Boolean(),
  }),
});
const explanation: Static<typeof Explanation> = {
  state,
  leases: [
    {
      holder_id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9eaa",
      end_user: "",
      name: "host-1",
      amount: "10.5",
      expires_at: "2026-11-24T08:00:10.000Z",
      unknown: false,
    },
  ],
  ledger: {
    items: [
      {
        id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9ebb",
        end_user: "",
        kind: "call",
        request_id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e66",
        currency: "CNY",
        cost: "0.001376",
        rate: "1",
        amount: "0.001376",
        bound_exceeded: false,
        created_at: "2026-11-24T08:00:00.000Z",
      },
    ],
    next_cursor: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9ebb",
  },
  sums: { ledger: "812.4093", spent: "812.4093", equal: true },
};

const params = Type.Object({ id: uuid({ description: "the budget's id", examples: [example.id] }) });
const errors = ["VALIDATE_ERROR", "NOT_FOUND", "UNAUTHORIZED", "FORBIDDEN", "FAIL"] as const;
const ofUser = optional(
  text({ minLength: 1, maxLength: 255, description: "one user, where each has the budget" }),
);

const CreateBudgetContract = {
  body: strict(
    {
      name: changeable.name,
      scope: fixed.scope,
      subject_id: fixed.subject_id,
      end_user: optional(fixed.end_user),
      period: fixed.period,
      time_zone: optional(fixed.time_zone),
      currency: fixed.currency,
      amount: changeable.amount,
      hard: optional(changeable.hard),
      warn_at: optional(changeable.warn_at),
      status: optional(changeable.status),
    },
    {
      examples: [
        {
          name: "November",
          scope: "app",
          subject_id: example.subject_id,
          period: "month",
          time_zone: "Asia/Shanghai",
          currency: "CNY",
          amount: "1000",
        },
      ],
    },
  ),
  detail: envelopeDoc({
    operationId: "createBudget",
    tag: "budget",
    summary: "Bound how much may be spent",
    description:
      "Without more: hard, in UTC, with a warning at 0.8 of the amount. A call counts towards every budget that it falls under.",
    data: Budget,
    example: { message: "预算 November 已经成功创建", data: example },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { time_zone: ["不是有效的 IANA 时区名,例如 Asia/Shanghai"] },
  }),
};

const ListBudgetsContract = {
  query: strict({
    scope: optional(fixed.scope),
    subject_id: optional(fixed.subject_id),
    limit: optional(digits({ minimum: 1, maximum: 100, description: "20 without it" })),
    cursor: optional(cursor({ description: "next_cursor of the page before" })),
  }),
  detail: envelopeDoc({
    operationId: "listBudgets",
    tag: "budget",
    summary: "List budgets and how they stand, newest first",
    description:
      "Owners and admins see all; others those of apps that they may see, with their keys and users, and of their own account. Where each user has a budget, amounts are sums over the users who have spent of it.",
    data: Type.Object({ items: Type.Array(Budget), next_cursor: orNull(uuid()) }),
    example: { message: "", data: { items: [example], next_cursor: null } },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { limit: ["不能大于 100"] },
  }),
};

const GetBudgetContract = {
  params,
  query: strict({ end_user: ofUser }),
  detail: envelopeDoc({
    operationId: "getBudget",
    tag: "budget",
    summary: "Get a budget and how it stands",
    data: Budget,
    example: { message: "", data: example },
    errors,
    invalid: { end_user: ["不是这个用户的预算"] },
  }),
};

const UpdateBudgetContract = {
  params,
  body: strict(
    {
      name: optional(changeable.name),
      amount: optional(changeable.amount),
      hard: optional(changeable.hard),
      warn_at: optional(changeable.warn_at),
      status: optional(changeable.status),
    },
    { examples: [{ amount: "2000" }] },
  ),
  detail: envelopeDoc({
    operationId: "updateBudget",
    tag: "budget",
    summary: "Change a budget",
    description:
      "Changes the fields in the body and no others; what was spent stays. Another subject, period, time zone or currency is another budget.",
    data: Budget,
    example: { message: "预算 November 已经成功修改", data: example },
    errors,
    invalid: { amount: ["必须是非负小数,小数点前后各不超过 12 位"] },
  }),
};

const DeleteBudgetContract = {
  params,
  body: strict({}),
  detail: envelopeDoc({
    operationId: "deleteBudget",
    tag: "budget",
    summary: "Delete a budget",
    description: "It bounds nothing from then on; what was spent of it stays on record.",
    data: Type.Object({}),
    example: { message: "预算已经成功删除", data: {} },
    errors,
    invalid: { id: ["不是有效的 UUID"] },
  }),
};

const ExplainBudgetContract = {
  params,
  query: strict({
    end_user: ofUser,
    starts_at: optional(time({ description: "a moment of the period that is explained; now without it" })),
    limit: optional(digits({ minimum: 1, maximum: 100, description: "20 without it" })),
    cursor: optional(cursor({ description: "next_cursor of the page before" })),
  }),
  detail: envelopeDoc({
    operationId: "explainBudget",
    tag: "budget",
    summary: "Get what a budget's state comes from",
    description:
      "Which processes hold how much, everything that was booked in the period, newest first, and whether it adds up to what the period says; all as it stood at one moment.",
    data: Explanation,
    example: { message: "", data: explanation },
    errors,
    invalid: { starts_at: ["不是有效的 RFC 3339 时间"] },
  }),
};

/** `/budget`: how much may be spent, and what was. */
export const budgetRoutes = (needs: { budgets: BudgetService }) =>
  new Elysia({ prefix: "/budget", normalize: false })
    .use(scoped)
    .get(
      "/",
      ({ query, request, scope }) => {
        checkQuery(request);
        return listBudgets(needs, { query, principal: principalOf(scope) });
      },
      ListBudgetsContract,
    )
    .post(
      "/",
      ({ body, scope }) => createBudget(needs, { body, principal: principalOf(scope), locale: scope.locale }),
      CreateBudgetContract,
    )
    .get(
      "/:id",
      ({ params: { id }, query, request, scope }) => {
        checkQuery(request);
        return getBudget(needs, { id, query, principal: principalOf(scope) });
      },
      GetBudgetContract,
    )
    .post(
      "/:id",
      ({ params: { id }, body, scope }) =>
        updateBudget(needs, { id, body, principal: principalOf(scope), locale: scope.locale }),
      UpdateBudgetContract,
    )
    .post(
      "/:id/delete",
      ({ params: { id }, scope }) =>
        deleteBudget(needs, { id, principal: principalOf(scope), locale: scope.locale }),
      DeleteBudgetContract,
    )
    .get(
      "/:id/explain",
      ({ params: { id }, query, request, scope }) => {
        checkQuery(request);
        return explainBudget(needs, { id, query, principal: principalOf(scope) });
      },
      ExplainBudgetContract,
    );
