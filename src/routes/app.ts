import { type Static, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { createApp, deleteApp, getApp, listApps, updateApp } from "../handlers/app.ts";
import type { AppService } from "../services/app.ts";
import { cursor, digits, envelopeDoc, oneOf, strict, text, uuid } from "./contract.ts";
import { checkQuery } from "./query.ts";
import { principalOf, scoped } from "./scope.ts";

const optional = Type.Optional;

/** Sampling parameters in the field's usual names; which of them a model takes is the gateway's to know. */
const Parameters = strict({
  temperature: optional(Type.Number({ minimum: 0, maximum: 2 })),
  top_p: optional(Type.Number({ minimum: 0, maximum: 1 })),
  max_tokens: optional(Type.Integer({ minimum: 1, maximum: 10_000_000 })),
  max_completion_tokens: optional(Type.Integer({ minimum: 1, maximum: 10_000_000 })),
  reasoning_effort: optional(text({ minLength: 1, maxLength: 32 })),
  presence_penalty: optional(Type.Number({ minimum: -2, maximum: 2 })),
  frequency_penalty: optional(Type.Number({ minimum: -2, maximum: 2 })),
  seed: optional(Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER })),
  stop: optional(
    Type.Union([
      text({ minLength: 1, maxLength: 64 }),
      Type.Array(text({ minLength: 1, maxLength: 64 }), { maxItems: 4 }),
    ]),
  ),
  response_format: optional(strict({ type: oneOf(["text", "json_object"]) })),
});

const modelName = (description: string) => text({ minLength: 1, maxLength: 255, description });

const Config = strict(
  {
    model: optional(modelName("which answers; without it and without targets, the default one")),
    targets: optional(
      Type.Array(
        strict({
          model: modelName("a registered model"),
          weight: optional(Type.Number({ minimum: 0.001, maximum: 1000, description: "1 without it" })),
        }),
        { minItems: 1, maxItems: 16, description: "several models to choose from, instead of `model`" },
      ),
    ),
    routing: optional(
      oneOf(["ordered", "weighted"], {
        description:
          "ordered: the next target is asked where one fails; weighted: they share the calls by weight",
      }),
    ),
    models: optional(
      Type.Array(modelName("a registered model"), {
        maxItems: 100,
        description: "further models that the app's keys may call by name",
      }),
    ),
    system_prompt: optional(text({ maxLength: 32_768 })),
    parameters: optional(Parameters),
    locked: optional(
      Type.Array(text({ minLength: 1, maxLength: 64 }), {
        maxItems: 50,
        description: "parameters that callers may not set",
      }),
    ),
    content: optional(
      oneOf(["full", "redacted", "none"], {
        description: "what is kept of questions and answers; full without it",
      }),
    ),
    fit_budget: optional(
      Type.Boolean({
        description:
          "answers are made shorter where a budget has too little left for the longest, and not refused",
      }),
    ),
    cache: optional(
      strict(
        { ttl_seconds: Type.Integer({ minimum: 1, maximum: 86_400 }) },
        { description: "answers the same request again from memory for so long; off without it" },
      ),
    ),
  },
  { description: "replaced as a whole" },
);

const fields = {
  name: text({ minLength: 1, maxLength: 255 }),
  icon: text({ maxLength: 2048, description: "an address or a character; empty for none" }),
  description: text({ maxLength: 2000 }),
  config: Config,
};
const status = oneOf(["", "disabled", "archived"], { description: "empty: in use" });

const App = Type.Object({
  id: uuid(),
  account_id: uuid({ description: "the owner" }),
  ...fields,
  status,
  created_at: Type.String({ format: "date-time" }),
  updated_at: Type.String({ format: "date-time" }),
});

const example: Static<typeof App> = {
  id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f",
  account_id: "3f0e6f2a-6a51-4c55-8f0c-2d1a9b7c4e11",
  name: "bot",
  icon: "",
  description: "A simple bot",
  status: "",
  config: {},
  created_at: "2026-11-23T08:00:00.000Z",
  updated_at: "2026-11-23T08:00:00.000Z",
};

const params = Type.Object({ id: uuid({ description: "the app's id", examples: [example.id] }) });

const CreateAppContract = {
  body: strict(
    {
      name: optional(fields.name),
      icon: optional(fields.icon),
      description: optional(fields.description),
      config: optional(fields.config),
    },
    { examples: [{ name: "bot", description: "A simple bot" }] },
  ),
  detail: envelopeDoc({
    operationId: "createApp",
    tag: "app",
    summary: "Create an app",
    description: "No body is needed: without one the app is called `bot`.",
    data: App,
    example: { message: `应用已经成功创建,id 为 ${example.id}`, data: example },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { name: ["长度不能超过 255 个字符"] },
  }),
};

const ListAppsContract = {
  query: strict({
    limit: optional(digits({ minimum: 1, maximum: 100, description: "most items of a page; 20 without it" })),
    cursor: optional(cursor({ description: "`next_cursor` of the page before" })),
    search: optional(text({ minLength: 1, maxLength: 255, description: "part of the name, in any case" })),
    status: optional(status),
  }),
  transform: ({ request }: { request: Request }) => checkQuery(request),
  detail: envelopeDoc({
    operationId: "listApps",
    tag: "app",
    summary: "List apps, newest first",
    data: Type.Object({ items: Type.Array(App), next_cursor: Type.Union([uuid(), Type.Null()]) }),
    example: { message: "", data: { items: [example], next_cursor: null } },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { limit: ["不能大于 100"] },
  }),
};

const appErrors = ["VALIDATE_ERROR", "NOT_FOUND", "UNAUTHORIZED", "FORBIDDEN", "FAIL"] as const;

const GetAppContract = {
  params,
  detail: envelopeDoc({
    operationId: "getApp",
    tag: "app",
    summary: "Get an app",
    data: App,
    example: { message: "应用已经成功获取,名字是bot", data: example },
    errors: appErrors,
    invalid: { id: ["不是有效的 UUID"] },
  }),
};

const UpdateAppContract = {
  params,
  body: strict(
    {
      name: optional(fields.name),
      icon: optional(fields.icon),
      description: optional(fields.description),
      status: optional(status),
      config: optional(fields.config),
    },
    { examples: [{ name: "translator", config: { system_prompt: "Translate into English." } }] },
  ),
  detail: envelopeDoc({
    operationId: "updateApp",
    tag: "app",
    summary: "Change an app",
    description: "Changes the fields in the body and no others; an empty body changes nothing.",
    data: App,
    example: { message: "应用已经成功修改,名字是translator", data: { ...example, name: "translator" } },
    errors: appErrors,
    invalid: { id: ["不是有效的 UUID"] },
  }),
};

const DeleteAppContract = {
  params,
  body: strict({}),
  detail: envelopeDoc({
    operationId: "deleteApp",
    tag: "app",
    summary: "Delete an app",
    description: "The app is `NOT_FOUND` from then on; its records stay.",
    data: Type.Object({}),
    example: { message: `应用已经成功删除,id 为${example.id}`, data: {} },
    errors: appErrors,
    invalid: { id: ["不是有效的 UUID"] },
  }),
};

/** `/app`: create, list, get, change, delete. */
export const appRoutes = ({ apps }: { apps: AppService }) =>
  new Elysia({ prefix: "/app", normalize: false })
    .use(scoped)
    .get(
      "/",
      ({ query, scope }) => listApps({ apps }, { principal: principalOf(scope), query }),
      ListAppsContract,
    )
    .post(
      "/",
      ({ body, scope }) => createApp({ apps }, { principal: principalOf(scope), locale: scope.locale, body }),
      CreateAppContract,
    )
    .get(
      "/:id",
      ({ params: { id }, scope }) =>
        getApp({ apps }, { principal: principalOf(scope), locale: scope.locale, id }),
      GetAppContract,
    )
    .post(
      "/:id",
      ({ params: { id }, body, scope }) =>
        updateApp({ apps }, { principal: principalOf(scope), locale: scope.locale, id, body }),
      UpdateAppContract,
    )
    .post(
      "/:id/delete",
      ({ params: { id }, scope }) =>
        deleteApp({ apps }, { principal: principalOf(scope), locale: scope.locale, id }),
      DeleteAppContract,
    );
