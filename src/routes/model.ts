import { type Static, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { createModel, deleteModel, getModel, listModels, testModel, updateModel } from "../handlers/model.ts";
import type { CompletionService } from "../services/completion.ts";
import type { ModelService } from "../services/model.ts";
import { cursor, digits, envelopeDoc, oneOf, strict, text, time, uuid } from "./contract.ts";
import { checkQuery } from "./query.ts";
import { principalOf, scoped } from "./scope.ts";

const optional = Type.Optional;
const parameter = text({ minLength: 1, maxLength: 64 });
const tokens = (description: string) =>
  Type.Union([Type.Integer({ minimum: 1, maximum: 100_000_000 }), Type.Null()], { description });

const shown = {
  name: text({ minLength: 1, maxLength: 255, description: "how callers and apps name it" }),
  provider_id: Type.Union([uuid(), Type.Null()], { description: "null: the provider of the settings" }),
  upstream_name: Type.Union([text({ minLength: 1, maxLength: 255 }), Type.Null()], {
    description: "how its provider names it; null for a list of targets",
  }),
  parameter_rules: strict(
    {
      drop: optional(Type.Array(parameter, { maxItems: 50, description: "not sent" })),
      rename: optional(
        Type.Record(Type.String({ maxLength: 64 }), parameter, {
          maxProperties: 50,
          description: "sent under another name",
        }),
      ),
      keep: optional(
        Type.Array(parameter, { maxItems: 50, description: "sent, whatever is known of it by its name" }),
      ),
      thinking: optional(
        oneOf(["adaptive", "budget"], {
          description: "how it is asked to think in Anthropic's dialect, where its name does not tell",
        }),
      ),
    },
    { description: "what the model does not take, beside what is known of it by its name" },
  ),
  targets: Type.Array(
    strict({
      model: text({ minLength: 1, maxLength: 255 }),
      weight: optional(Type.Number({ minimum: 0.001, maximum: 1000 })),
    }),
    { maxItems: 16, description: "other models to choose from, instead of an upstream name" },
  ),
  routing: oneOf(["ordered", "weighted"]),
  output_tokens_max: tokens("longest answer where a caller sets no limit and the dialect needs one"),
  image_tokens_max: tokens("most tokens that one image counts for"),
  status: oneOf(["", "disabled"], { description: "empty: in use" }),
};
const { name, ...others } = shown;
const fields = {
  provider_id: optional(others.provider_id),
  upstream_name: optional(others.upstream_name),
  parameter_rules: optional(others.parameter_rules),
  targets: optional(others.targets),
  routing: optional(others.routing),
  output_tokens_max: optional(others.output_tokens_max),
  image_tokens_max: optional(others.image_tokens_max),
  status: optional(others.status),
};

const Model = Type.Object({ id: uuid(), ...shown, created_at: time(), updated_at: time() });

const example: Static<typeof Model> = {
  id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e44",
  name: "deepseek-chat",
  provider_id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e33",
  upstream_name: "deepseek-chat",
  parameter_rules: {},
  targets: [],
  routing: "ordered",
  output_tokens_max: null,
  image_tokens_max: null,
  status: "",
  created_at: "2026-11-24T08:00:00.000Z",
  updated_at: "2026-11-24T08:00:00.000Z",
};

const params = Type.Object({ id: uuid({ description: "the model's id", examples: [example.id] }) });
const errors = ["VALIDATE_ERROR", "NOT_FOUND", "UNAUTHORIZED", "FORBIDDEN", "FAIL"] as const;

const CreateModelContract = {
  body: strict(
    { name, ...fields },
    { examples: [{ name: "fast", targets: [{ model: "deepseek-chat" }, { model: "kimi-k2.5" }] }] },
  ),
  detail: envelopeDoc({
    operationId: "createModel",
    tag: "model",
    summary: "Register a model, or a list of models to choose from",
    data: Model,
    example: { message: "模型 deepseek-chat 已经成功创建", data: example },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "CONFLICT", "FAIL"],
    invalid: { upstream_name: ["upstream_name 与 targets 必须且只能设置一个"] },
  }),
};

const ListModelsContract = {
  query: strict({
    limit: optional(digits({ minimum: 1, maximum: 100, description: "20 without it" })),
    cursor: optional(cursor({ description: "next_cursor of the page before" })),
  }),
  detail: envelopeDoc({
    operationId: "listRegisteredModels",
    tag: "model",
    summary: "List registered models, newest first",
    description: "Those of `OPEN_API_MODEL` and `echo` are always there, and not in this list.",
    data: Type.Object({ items: Type.Array(Model), next_cursor: Type.Union([uuid(), Type.Null()]) }),
    example: { message: "", data: { items: [example], next_cursor: null } },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { limit: ["不能大于 100"] },
  }),
};

const GetModelContract = {
  params,
  detail: envelopeDoc({
    operationId: "getRegisteredModel",
    tag: "model",
    summary: "Get a registered model",
    data: Model,
    example: { message: "", data: example },
    errors,
    invalid: { id: ["不是有效的 UUID"] },
  }),
};

const UpdateModelContract = {
  params,
  body: strict({ name: optional(name), ...fields }, { examples: [{ status: "disabled" }] }),
  detail: envelopeDoc({
    operationId: "updateModel",
    tag: "model",
    summary: "Change a registered model",
    description: "Changes the fields in the body and no others; counts in every process within a second.",
    data: Model,
    example: { message: "模型 deepseek-chat 已经成功修改", data: example },
    errors: [...errors, "CONFLICT"],
    invalid: { targets: ["模型不存在"] },
  }),
};

const DeleteModelContract = {
  params,
  body: strict({}),
  detail: envelopeDoc({
    operationId: "deleteModel",
    tag: "model",
    summary: "Delete a registered model, and its prices",
    data: Type.Object({}),
    example: { message: "模型已经成功删除", data: {} },
    errors: [...errors, "CONFLICT"],
    invalid: { id: ["不是有效的 UUID"] },
  }),
};

const TestModelContract = {
  params,
  body: strict({}),
  detail: envelopeDoc({
    operationId: "testModel",
    tag: "model",
    summary: "Ask a model for a word",
    description: "The call is on record, and costs what it costs.",
    data: Type.Object({ content: Type.String(), model: Type.String(), latency_ms: Type.Integer() }),
    example: { message: "模型可以使用", data: { content: "pong", model: "deepseek-chat", latency_ms: 640 } },
    errors: [...errors, "UPSTREAM_ERROR"],
    invalid: { id: ["不是有效的 UUID"] },
  }),
};

/** `/model`: what can be called, and where it leads. */
export const modelRoutes = (needs: { models: ModelService; completions: CompletionService }) =>
  new Elysia({ prefix: "/model", normalize: false })
    .use(scoped)
    .get(
      "/",
      ({ query, request }) => {
        checkQuery(request);
        return listModels(needs, query);
      },
      ListModelsContract,
    )
    .post(
      "/",
      ({ body, scope }) => createModel(needs, { body, principal: principalOf(scope), locale: scope.locale }),
      CreateModelContract,
    )
    .get("/:id", ({ params: { id } }) => getModel(needs, id), GetModelContract)
    .post(
      "/:id",
      ({ params: { id }, body, scope }) =>
        updateModel(needs, { id, body, principal: principalOf(scope), locale: scope.locale }),
      UpdateModelContract,
    )
    .post(
      "/:id/delete",
      ({ params: { id }, scope }) =>
        deleteModel(needs, { id, principal: principalOf(scope), locale: scope.locale }),
      DeleteModelContract,
    )
    .post(
      "/:id/test",
      ({ params: { id }, request, scope }) => {
        scope.untimed();
        const { accountId } = principalOf(scope);
        const asker = { id: scope.requestId, accountId, ip: scope.ip, signal: request.signal };
        return testModel(needs, { id, locale: scope.locale, asker });
      },
      TestModelContract,
    );
