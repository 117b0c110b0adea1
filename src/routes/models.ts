import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { getModel, listModels } from "../handlers/models.ts";
import type { CallService } from "../services/call.ts";
import { text } from "./contract.ts";
import { keyOf, scoped } from "./scope.ts";

const example = { id: "app", object: "model", created: 0, owned_by: "llmops" };
const Model = Type.Object({
  id: Type.String(),
  object: Type.Literal("model"),
  created: Type.Integer(),
  owned_by: Type.String(),
});
const json = (schema: unknown, value: unknown) => ({
  content: { "application/json": { schema: schema as never, example: value } },
});
const ErrorBody = Type.Object({
  error: Type.Object({
    message: Type.String(),
    type: Type.String(),
    param: Type.Union([Type.String(), Type.Null()]),
    code: Type.Union([Type.String(), Type.Null()]),
  }),
});
const errorExample = (message: string, code: string) => ({
  error: { message, type: "invalid_request_error", param: null, code },
});
const unauthorized = {
  description: "no key, or not a good one",
  ...json(ErrorBody, errorExample("The key is not valid", "invalid_api_key")),
};

const ListModelsContract = {
  detail: {
    operationId: "listModels",
    security: [{ key: [] }],
    tags: ["v1"],
    summary: "List what this key may call",
    responses: {
      200: {
        description: "the models, in OpenAI's shape",
        ...json(Type.Object({ object: Type.Literal("list"), data: Type.Array(Model) }), {
          object: "list",
          data: [example],
        }),
      },
      401: unauthorized,
    },
  },
};

const GetModelContract = {
  params: Type.Object({
    model: text({
      minLength: 1,
      maxLength: 255,
      description: "`app`, the app's id, or a model",
      examples: ["app"],
    }),
  }),
  detail: {
    operationId: "getModel",
    security: [{ key: [] }],
    tags: ["v1"],
    summary: "Get one model that this key may call",
    responses: {
      200: { description: "the model, in OpenAI's shape", ...json(Model, example) },
      401: unauthorized,
      404: {
        description: "no such model, or not this key's to call",
        ...json(
          ErrorBody,
          errorExample("There is no such model, or this key may not use it: gpt-4", "model_not_found"),
        ),
      },
    },
  },
};

/** `/v1/models`, for app keys. */
export const modelListRoutes = (needs: { calls: CallService }) =>
  new Elysia({ prefix: "/v1/models", normalize: false })
    .use(scoped)
    .get("/", ({ scope }) => listModels(needs, keyOf(scope)), ListModelsContract)
    .get("/:model", ({ params: { model }, scope }) => getModel(needs, keyOf(scope), model), GetModelContract);
