import { type Static, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { createPrice, deletePrice, listPrices } from "../handlers/price.ts";
import type { PriceService } from "../services/price.ts";
import { cursor, decimal, digits, envelopeDoc, strict, text, time, uuid } from "./contract.ts";
import { checkQuery } from "./query.ts";
import { principalOf, scoped } from "./scope.ts";

const optional = Type.Optional;
const amount = (what: string) => decimal({ description: `of a million ${what}` });

const shown = {
  valid_from: time({ description: "until the next version" }),
  above_prompt_tokens: Type.Integer({
    minimum: 0,
    maximum: 100_000_000,
    description: "holds for calls with more prompt tokens than this",
  }),
  currency: Type.String({ pattern: "^[A-Z]{3}$", description: "ISO 4217" }),
  prompt: amount("prompt tokens"),
  cached: amount("prompt tokens read from the provider's cache; like prompt without it"),
  cache_write: amount("prompt tokens written to the provider's cache; like prompt without it"),
  cache_write_long: amount(
    "prompt tokens that the provider's cache keeps for longer; like cache_write without it",
  ),
  completion: amount("completion tokens"),
  reasoning: amount("reasoning tokens; like completion without it"),
  source: text({ maxLength: 2048, description: "where the figures come from" }),
};
const orNull = <T extends typeof shown.cached>(schema: T) => Type.Union([schema, Type.Null()]);
const Price = Type.Object({
  id: uuid(),
  model_id: uuid(),
  ...shown,
  cached: orNull(shown.cached),
  cache_write: orNull(shown.cache_write),
  cache_write_long: orNull(shown.cache_write_long),
  reasoning: orNull(shown.reasoning),
  created_at: time(),
});

const example: Static<typeof Price> = {
  id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e55",
  model_id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e44",
  valid_from: "2026-11-24T08:00:00.000Z",
  above_prompt_tokens: 0,
  currency: "CNY",
  prompt: "4",
  cached: "1",
  cache_write: null,
  cache_write_long: null,
  completion: "16",
  reasoning: null,
  source: "https://example.com/pricing",
  created_at: "2026-11-24T08:00:00.000Z",
};

const modelId = uuid({ description: "the model's id", examples: [example.model_id] });
const params = Type.Object({ id: modelId });
const errors = ["VALIDATE_ERROR", "NOT_FOUND", "UNAUTHORIZED", "FORBIDDEN", "FAIL"] as const;

const CreatePriceContract = {
  params,
  body: strict(
    {
      valid_from: optional(time({ description: "now without it" })),
      above_prompt_tokens: optional(shown.above_prompt_tokens),
      currency: shown.currency,
      prompt: shown.prompt,
      cached: optional(shown.cached),
      cache_write: optional(shown.cache_write),
      cache_write_long: optional(shown.cache_write_long),
      completion: shown.completion,
      reasoning: optional(shown.reasoning),
      source: optional(shown.source),
    },
    { examples: [{ currency: "CNY", prompt: "4.00", cached: "1.00", completion: "16.00" }] },
  ),
  detail: envelopeDoc({
    operationId: "createPrice",
    tag: "model",
    summary: "Set a model's prices from a time on",
    description: "A version is never changed: what was billed by it can be explained.",
    data: Price,
    example: { message: "价格已经成功创建", data: example },
    errors: [...errors, "CONFLICT"],
    invalid: { prompt: ["必须是非负小数"] },
  }),
};

const ListPricesContract = {
  params,
  query: strict({
    limit: optional(digits({ minimum: 1, maximum: 100, description: "20 without it" })),
    cursor: optional(cursor({ description: "next_cursor of the page before" })),
  }),
  detail: envelopeDoc({
    operationId: "listPrices",
    tag: "model",
    summary: "List the versions of a model's prices, newest first",
    data: Type.Object({ items: Type.Array(Price), next_cursor: Type.Union([uuid(), Type.Null()]) }),
    example: { message: "", data: { items: [example], next_cursor: null } },
    errors,
    invalid: { limit: ["不能大于 100"] },
  }),
};

const DeletePriceContract = {
  params: Type.Object({ id: modelId, price_id: uuid({ examples: [example.id] }) }),
  body: strict({}),
  detail: envelopeDoc({
    operationId: "deletePrice",
    tag: "model",
    summary: "Delete a version of a model's prices",
    description: "Calls that were billed by it keep their cost until `llmops price reprice`.",
    data: Type.Object({}),
    example: { message: "价格已经成功删除", data: {} },
    errors,
    invalid: { price_id: ["不是有效的 UUID"] },
  }),
};

/** `/model/:id/price`: what a model costs, and from when on. */
export const priceRoutes = (needs: { prices: PriceService }) =>
  new Elysia({ prefix: "/model/:id/price", normalize: false })
    .use(scoped)
    .get(
      "/",
      ({ params: { id }, query, request }) => {
        checkQuery(request);
        return listPrices(needs, { modelId: id, query });
      },
      ListPricesContract,
    )
    .post(
      "/",
      ({ params: { id }, body, scope }) =>
        createPrice(needs, { modelId: id, body, principal: principalOf(scope), locale: scope.locale }),
      CreatePriceContract,
    )
    .post(
      "/:price_id/delete",
      ({ params: { id, price_id }, scope }) =>
        deletePrice(needs, {
          modelId: id,
          id: price_id,
          principal: principalOf(scope),
          locale: scope.locale,
        }),
      DeletePriceContract,
    );
