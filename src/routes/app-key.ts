import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { createAppKey, listAppKeys, revokeAppKey, rotateAppKey } from "../handlers/app-key.ts";
import type { AppKeyService } from "../services/app-key.ts";
import { addressRange, cursor, digits, envelopeDoc, strict, text, time, uuid } from "./contract.ts";
import { checkQuery } from "./query.ts";
import { principalOf, scoped } from "./scope.ts";

const optional = Type.Optional;
const orNull = <T extends ReturnType<typeof time>>(schema: T, description: string) =>
  Type.Union([schema, Type.Null()], { description });

const name = text({ maxLength: 255 });
const models = Type.Array(text({ minLength: 1, maxLength: 255 }), {
  maxItems: 100,
  description: "what the key may call; empty for all that its app may",
});
const addressRanges = Type.Array(addressRange(), {
  maxItems: 100,
  description: "addresses or CIDR ranges from which the key may be used; empty for everywhere",
});

const fields = {
  id: uuid(),
  app_id: uuid(),
  name,
  public_id: Type.String({ description: "the part of the key that may be seen" }),
  models,
  address_ranges: addressRanges,
  created_at: time(),
  expires_at: orNull(time(), "null: never"),
  used_at: orNull(time(), "last use, exact to 10 seconds"),
  revoked_at: orNull(time(), "null: still good"),
};
const AppKey = Type.Object(fields);
const MadeAppKey = Type.Object({
  ...fields,
  key: Type.String({ description: "the whole key; shown this once, and kept nowhere" }),
});

const example = {
  id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e22",
  app_id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f",
  name: "website",
  public_id: "4fQm2Zt8Lw0XcV1s",
  models: [],
  address_ranges: [],
  created_at: "2026-11-23T08:00:00.000Z",
  expires_at: null,
  used_at: null,
  revoked_at: null,
};
const madeExample = { ...example, key: "llmops-4fQm2Zt8Lw0XcV1s-Zm9yIHRoZSBkb2N1bWVudGF0aW9uIG9ubHkgLSBubw" };

const appId = uuid({ description: "the app's id", examples: [example.app_id] });
const params = Type.Object({ id: appId });
const keyParams = Type.Object({
  id: appId,
  key_id: uuid({ description: "the key's id, not its public id", examples: [example.id] }),
});
const errors = ["VALIDATE_ERROR", "NOT_FOUND", "UNAUTHORIZED", "FORBIDDEN", "FAIL"] as const;

const CreateAppKeyContract = {
  params,
  body: strict(
    {
      name: optional(name),
      models: optional(models),
      address_ranges: optional(addressRanges),
      expires_at: optional(time({ description: "in the future; without it the key does not expire" })),
    },
    { examples: [{ name: "website" }] },
  ),
  detail: envelopeDoc({
    operationId: "createAppKey",
    tag: "key",
    summary: "Make a key for an app",
    description: "The key opens `/v1` for this app and nothing else.",
    data: MadeAppKey,
    example: { message: "密钥已经成功创建,只显示这一次", data: madeExample },
    errors,
    invalid: { expires_at: ["应为将来的时间"] },
  }),
};

const ListAppKeysContract = {
  params,
  query: strict({
    limit: optional(digits({ minimum: 1, maximum: 100, description: "most items of a page; 20 without it" })),
    cursor: optional(cursor()),
  }),
  transform: ({ request }: { request: Request }) => checkQuery(request),
  detail: envelopeDoc({
    operationId: "listAppKeys",
    tag: "key",
    summary: "List an app's keys, newest first, revoked ones too",
    data: Type.Object({ items: Type.Array(AppKey), next_cursor: Type.Union([uuid(), Type.Null()]) }),
    example: { message: "", data: { items: [example], next_cursor: null } },
    errors,
    invalid: { limit: ["不能大于 100"] },
  }),
};

const RotateAppKeyContract = {
  params: keyParams,
  body: strict(
    {
      overlap: optional(
        Type.Integer({
          minimum: 0,
          maximum: 2_592_000,
          description: "seconds for which the old key stays good; 3600 without it",
        }),
      ),
    },
    { examples: [{ overlap: 3600 }] },
  ),
  detail: envelopeDoc({
    operationId: "rotateAppKey",
    tag: "key",
    summary: "Exchange a key for a new one",
    data: MadeAppKey,
    example: { message: "密钥已经更换,旧密钥在 3600 秒后失效;新密钥只显示这一次", data: madeExample },
    errors: [...errors, "CONFLICT"],
    invalid: { overlap: ["不能小于 0"] },
  }),
};

const RevokeAppKeyContract = {
  params: keyParams,
  body: strict({}),
  detail: envelopeDoc({
    operationId: "revokeAppKey",
    tag: "key",
    summary: "Revoke a key",
    description: "It is refused by every process within a second.",
    data: Type.Object({}),
    example: { message: "密钥已经吊销", data: {} },
    errors,
    invalid: { key_id: ["不是有效的 UUID"] },
  }),
};

/** `/app/:id/key`: what opens `/v1` for an app. */
export const appKeyRoutes = ({ keys }: { keys: AppKeyService }) =>
  new Elysia({ prefix: "/app/:id/key", normalize: false })
    .use(scoped)
    .get(
      "/",
      ({ params: { id }, query, scope }) =>
        listAppKeys({ keys }, { principal: principalOf(scope), appId: id, query }),
      ListAppKeysContract,
    )
    .post(
      "/",
      ({ params: { id }, body, scope }) =>
        createAppKey({ keys }, { principal: principalOf(scope), locale: scope.locale, appId: id, body }),
      CreateAppKeyContract,
    )
    .post(
      "/:key_id/rotate",
      ({ params: { id, key_id }, body: { overlap }, scope }) =>
        rotateAppKey(
          { keys },
          { principal: principalOf(scope), locale: scope.locale, appId: id, id: key_id, overlap },
        ),
      RotateAppKeyContract,
    )
    .post(
      "/:key_id/delete",
      ({ params: { id, key_id }, scope }) =>
        revokeAppKey(
          { keys },
          { principal: principalOf(scope), locale: scope.locale, appId: id, id: key_id },
        ),
      RevokeAppKeyContract,
    );
