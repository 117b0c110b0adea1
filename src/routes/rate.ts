import { type Static, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { createRate, deleteRate, listRates } from "../handlers/rate.ts";
import type { RateService } from "../services/rate.ts";
import { cursor, decimal, digits, envelopeDoc, strict, text, time, uuid } from "./contract.ts";
import { checkQuery } from "./query.ts";
import { principalOf, scoped } from "./scope.ts";

const optional = Type.Optional;
const currency = (description: string) => Type.String({ pattern: "^[A-Z]{3}$", description });

const shown = {
  base: currency("ISO 4217; the currency of prices"),
  quote: currency("ISO 4217; the currency of budgets"),
  value: decimal({ description: "how much of quote one unit of base is; above 0" }),
  valid_from: time({ description: "until the next rate of the same currencies" }),
  source: text({ maxLength: 2048, description: "where the figure comes from" }),
};
const Rate = Type.Object({ id: uuid(), ...shown, created_at: time() });

const example: Static<typeof Rate> = {
  id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e99",
  base: "USD",
  quote: "CNY",
  value: "7.1",
  valid_from: "2026-11-24T08:00:00.000Z",
  source: "https://example.com/rates",
  created_at: "2026-11-24T08:00:00.000Z",
};

const CreateRateContract = {
  body: strict(
    {
      base: shown.base,
      quote: shown.quote,
      value: shown.value,
      valid_from: optional(time({ description: "now without it" })),
      source: optional(shown.source),
    },
    { examples: [{ base: "USD", quote: "CNY", value: "7.10" }] },
  ),
  detail: envelopeDoc({
    operationId: "createRate",
    tag: "rate",
    summary: "Set what a currency is worth in another, from a time on",
    description: "A rate is never changed: what was booked by it can be explained.",
    data: Rate,
    example: { message: "汇率已经成功创建", data: example },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "CONFLICT", "FAIL"],
    invalid: { value: ["必须大于 0"] },
  }),
};

const ListRatesContract = {
  query: strict({
    base: optional(shown.base),
    quote: optional(shown.quote),
    limit: optional(digits({ minimum: 1, maximum: 100, description: "20 without it" })),
    cursor: optional(cursor({ description: "next_cursor of the page before" })),
  }),
  detail: envelopeDoc({
    operationId: "listRates",
    tag: "rate",
    summary: "List exchange rates, the last made first",
    data: Type.Object({ items: Type.Array(Rate), next_cursor: Type.Union([uuid(), Type.Null()]) }),
    example: { message: "", data: { items: [example], next_cursor: null } },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { limit: ["不能大于 100"] },
  }),
};

const DeleteRateContract = {
  params: Type.Object({ id: uuid({ description: "the rate's id", examples: [example.id] }) }),
  body: strict({}),
  detail: envelopeDoc({
    operationId: "deleteRate",
    tag: "rate",
    summary: "Delete an exchange rate",
    description: "What was booked by it stays as it is.",
    data: Type.Object({}),
    example: { message: "汇率已经成功删除", data: {} },
    errors: ["VALIDATE_ERROR", "NOT_FOUND", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { id: ["不是有效的 UUID"] },
  }),
};

/** `/rate`: what currencies are worth, and from when on. */
export const rateRoutes = (needs: { rates: RateService }) =>
  new Elysia({ prefix: "/rate", normalize: false })
    .use(scoped)
    .get(
      "/",
      ({ query, request }) => {
        checkQuery(request);
        return listRates(needs, query);
      },
      ListRatesContract,
    )
    .post(
      "/",
      ({ body, scope }) => createRate(needs, { body, principal: principalOf(scope), locale: scope.locale }),
      CreateRateContract,
    )
    .post(
      "/:id/delete",
      ({ params: { id }, scope }) =>
        deleteRate(needs, { id, principal: principalOf(scope), locale: scope.locale }),
      DeleteRateContract,
    );
