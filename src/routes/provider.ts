import { type Static, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import {
  createProvider,
  deleteProvider,
  getProvider,
  listProviders,
  testProvider,
  updateProvider,
} from "../handlers/provider.ts";
import type { ProviderService } from "../services/provider.ts";
import { cursor, digits, envelopeDoc, oneOf, strict, text, time, uuid } from "./contract.ts";
import { checkQuery } from "./query.ts";
import { principalOf, scoped } from "./scope.ts";

const optional = Type.Optional;
const seconds = (description: string) =>
  optional(Type.Number({ exclusiveMinimum: 0, maximum: 86_400, description: `${description}, in seconds` }));

const shown = {
  name: text({ minLength: 1, maxLength: 255 }),
  dialect: oneOf(["openai", "anthropic", "echo"], { description: "how it speaks; most speak OpenAI's" }),
  base_url: text({ maxLength: 2048, description: "with the version in its path where it has one" }),
  timeouts: strict(
    {
      connect: seconds("longest time to connect"),
      first_byte: seconds("longest wait for the first piece of a stream"),
      idle: seconds("longest pause within an answer"),
      total: seconds("longest time of a whole call"),
    },
    { description: "what is not set is the installation's; replaced as a whole" },
  ),
  concurrency_max: Type.Union([Type.Integer({ minimum: 1, maximum: 1_000_000 }), Type.Null()], {
    description: "most calls at once from one process; null for no limit",
  }),
  local: Type.Boolean({ description: "may stand in a private network, and be spoken to without TLS" }),
  status: oneOf(["", "disabled"], { description: "empty: in use" }),
};
const written = {
  api_key: optional(
    Type.Union([text({ minLength: 1, maxLength: 4096 }), Type.Null()], {
      description:
        "kept encrypted and never shown; null takes it away. Gone when base_url goes to another origin",
    }),
  ),
  headers: optional(
    Type.Record(Type.String({ maxLength: 64 }), text({ maxLength: 4096 }), {
      maxProperties: 20,
      description: "sent with every call; kept encrypted, their values are never shown",
    }),
  ),
};

const Provider = Type.Object({
  id: uuid(),
  ...shown,
  has_key: Type.Boolean(),
  header_names: Type.Array(Type.String()),
  created_at: time(),
  updated_at: time(),
});

const example: Static<typeof Provider> = {
  id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e33",
  name: "deepseek",
  dialect: "openai",
  base_url: "https://api.deepseek.com",
  timeouts: {},
  concurrency_max: null,
  local: false,
  status: "",
  has_key: true,
  header_names: [],
  created_at: "2026-11-24T08:00:00.000Z",
  updated_at: "2026-11-24T08:00:00.000Z",
};

const fields = {
  dialect: optional(shown.dialect),
  base_url: optional(shown.base_url),
  ...written,
  timeouts: optional(shown.timeouts),
  concurrency_max: optional(shown.concurrency_max),
  local: optional(shown.local),
  status: optional(shown.status),
};
const params = Type.Object({ id: uuid({ description: "the provider's id", examples: [example.id] }) });
const errors = ["VALIDATE_ERROR", "NOT_FOUND", "UNAUTHORIZED", "FORBIDDEN", "FAIL"] as const;

const CreateProviderContract = {
  body: strict(
    { name: shown.name, ...fields },
    { examples: [{ name: "deepseek", base_url: "https://api.deepseek.com", api_key: "sk-…" }] },
  ),
  detail: envelopeDoc({
    operationId: "createProvider",
    tag: "provider",
    summary: "Add a provider of models",
    data: Provider,
    example: { message: "模型服务 deepseek 已经成功创建", data: example },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "CONFLICT", "FAIL"],
    invalid: { base_url: ["必须使用 https"] },
  }),
};

const ListProvidersContract = {
  query: strict({
    limit: optional(digits({ minimum: 1, maximum: 100, description: "20 without it" })),
    cursor: optional(cursor({ description: "next_cursor of the page before" })),
  }),
  detail: envelopeDoc({
    operationId: "listProviders",
    tag: "provider",
    summary: "List providers, newest first",
    description:
      "The provider of the settings (`default`) and the built-in `echo` are always there, and not in this list.",
    data: Type.Object({ items: Type.Array(Provider), next_cursor: Type.Union([uuid(), Type.Null()]) }),
    example: { message: "", data: { items: [example], next_cursor: null } },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { limit: ["不能大于 100"] },
  }),
};

const GetProviderContract = {
  params,
  detail: envelopeDoc({
    operationId: "getProvider",
    tag: "provider",
    summary: "Get a provider",
    data: Provider,
    example: { message: "", data: example },
    errors,
    invalid: { id: ["不是有效的 UUID"] },
  }),
};

const UpdateProviderContract = {
  params,
  body: strict({ name: optional(shown.name), ...fields }, { examples: [{ concurrency_max: 50 }] }),
  detail: envelopeDoc({
    operationId: "updateProvider",
    tag: "provider",
    summary: "Change a provider",
    description:
      "Changes the fields in the body and no others. A key goes nowhere but where it was given for.",
    data: Provider,
    example: { message: "模型服务 deepseek 已经成功修改", data: example },
    errors: [...errors, "CONFLICT"],
    invalid: { base_url: ["必须使用 https"] },
  }),
};

const DeleteProviderContract = {
  params,
  body: strict({}),
  detail: envelopeDoc({
    operationId: "deleteProvider",
    tag: "provider",
    summary: "Delete a provider that no model uses",
    data: Type.Object({}),
    example: { message: "模型服务已经成功删除", data: {} },
    errors: [...errors, "CONFLICT"],
    invalid: { id: ["不是有效的 UUID"] },
  }),
};

const TestProviderContract = {
  params,
  body: strict({}),
  detail: envelopeDoc({
    operationId: "testProvider",
    tag: "provider",
    summary: "Ask a provider for its models",
    data: Type.Object({ models: Type.Array(Type.String()), latency_ms: Type.Integer() }),
    example: { message: "模型服务可以访问", data: { models: ["deepseek-chat"], latency_ms: 230 } },
    errors: [...errors, "UPSTREAM_ERROR"],
    invalid: { id: ["不是有效的 UUID"] },
  }),
};

/** `/provider`: who answers, and on which terms. */
export const providerRoutes = (needs: { providers: ProviderService }) =>
  new Elysia({ prefix: "/provider", normalize: false })
    .use(scoped)
    .get(
      "/",
      ({ query, request }) => {
        checkQuery(request);
        return listProviders(needs, query);
      },
      ListProvidersContract,
    )
    .post(
      "/",
      ({ body, scope }) =>
        createProvider(needs, { body, principal: principalOf(scope), locale: scope.locale }),
      CreateProviderContract,
    )
    .get("/:id", ({ params: { id } }) => getProvider(needs, id), GetProviderContract)
    .post(
      "/:id",
      ({ params: { id }, body, scope }) =>
        updateProvider(needs, { id, body, principal: principalOf(scope), locale: scope.locale }),
      UpdateProviderContract,
    )
    .post(
      "/:id/delete",
      ({ params: { id }, scope }) =>
        deleteProvider(needs, { id, principal: principalOf(scope), locale: scope.locale }),
      DeleteProviderContract,
    )
    .post(
      "/:id/test",
      ({ params: { id }, request, scope }) =>
        testProvider(needs, { id, locale: scope.locale, signal: request.signal }),
      TestProviderContract,
    );
