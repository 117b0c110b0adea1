import { type Static, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import {
  createAccount,
  deleteAccount,
  getAccount,
  listAccounts,
  updateAccount,
} from "../handlers/account.ts";
import type { AccountService } from "../services/account.ts";
import { cursor, digits, email, envelopeDoc, oneOf, strict, text, time, uuid } from "./contract.ts";
import { checkQuery } from "./query.ts";
import { principalOf, scoped } from "./scope.ts";

const optional = Type.Optional;

/** A password to be set; NIST SP 800-63B-4 asks for length and nothing else. */
export const password = text({ minLength: 8, maxLength: 256, description: "8 to 256 characters" });

/** What a person may do in the whole installation. */
export const roleField = oneOf(["owner", "admin", "editor", "viewer"], {
  description:
    "owners and admins see and change everything; editors make apps and change those they own or are editors of; viewers read what they are members of",
});

const name = text({ maxLength: 255 });
const status = oneOf(["", "disabled"], { description: "empty: may log in" });

/** An account on the wire. */
export const Account = Type.Object({
  id: uuid(),
  email: Type.String(),
  name,
  role: roleField,
  status,
  created_at: time(),
  updated_at: time(),
});

export const accountExample: Static<typeof Account> = {
  id: "3f0e6f2a-6a51-4c55-8f0c-2d1a9b7c4e11",
  email: "owner@example.com",
  name: "",
  role: "owner",
  status: "",
  created_at: "2026-11-23T08:00:00.000Z",
  updated_at: "2026-11-23T08:00:00.000Z",
};

const params = Type.Object({ id: uuid({ description: "the account's id", examples: [accountExample.id] }) });
const reading = ["VALIDATE_ERROR", "NOT_FOUND", "UNAUTHORIZED", "FORBIDDEN", "FAIL"] as const;
const writing = ["VALIDATE_ERROR", "NOT_FOUND", "CONFLICT", "UNAUTHORIZED", "FORBIDDEN", "FAIL"] as const;
const badId = { id: ["不是有效的 UUID"] };

const ListAccountsContract = {
  query: strict({
    limit: optional(digits({ minimum: 1, maximum: 100, description: "most items of a page; 20 without it" })),
    cursor: optional(cursor()),
  }),
  transform: ({ request }: { request: Request }) => checkQuery(request),
  detail: envelopeDoc({
    operationId: "listAccounts",
    tag: "account",
    summary: "List accounts, newest first",
    data: Type.Object({ items: Type.Array(Account), next_cursor: Type.Union([uuid(), Type.Null()]) }),
    example: { message: "", data: { items: [accountExample], next_cursor: null } },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { limit: ["不能大于 100"] },
  }),
};

const CreateAccountContract = {
  body: strict(
    {
      email: email(),
      name: optional(name),
      password: optional(password),
      role: roleField,
    },
    { examples: [{ email: "editor@example.com", role: "editor", password: "correct horse battery staple" }] },
  ),
  detail: envelopeDoc({
    operationId: "createAccount",
    tag: "account",
    summary: "Make an account",
    description:
      "Nobody gives a role above their own. Without a password its owner logs in through OpenID Connect.",
    data: Account,
    example: { message: "账号已经成功创建,邮箱为owner@example.com", data: accountExample },
    errors: ["VALIDATE_ERROR", "CONFLICT", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { email: ["不是有效的邮箱地址"] },
  }),
};

const GetAccountContract = {
  params,
  detail: envelopeDoc({
    operationId: "getAccount",
    tag: "account",
    summary: "Get an account",
    data: Account,
    example: { message: "账号已经成功获取,邮箱为owner@example.com", data: accountExample },
    errors: reading,
    invalid: badId,
  }),
};

const UpdateAccountContract = {
  params,
  body: strict(
    { name: optional(name), role: optional(roleField), status: optional(status) },
    { examples: [{ role: "editor" }] },
  ),
  detail: envelopeDoc({
    operationId: "updateAccount",
    tag: "account",
    summary: "Change an account",
    description: "A disabled account is logged out everywhere at once.",
    data: Account,
    example: { message: "账号已经成功修改,邮箱为owner@example.com", data: accountExample },
    errors: writing,
    invalid: badId,
  }),
};

const DeleteAccountContract = {
  params,
  body: strict({}),
  detail: envelopeDoc({
    operationId: "deleteAccount",
    tag: "account",
    summary: "Delete an account",
    description: "Its apps stay; owners and admins still see them.",
    data: Type.Object({}),
    example: { message: "账号已经成功删除", data: {} },
    errors: writing,
    invalid: badId,
  }),
};

/** `/account`: the people who may log in. */
export const accountRoutes = ({ accounts }: { accounts: AccountService }) =>
  new Elysia({ prefix: "/account", normalize: false })
    .use(scoped)
    .get("/", ({ query }) => listAccounts({ accounts }, { query }), ListAccountsContract)
    .post(
      "/",
      ({ body, scope }) =>
        createAccount({ accounts }, { principal: principalOf(scope), locale: scope.locale, body }),
      CreateAccountContract,
    )
    .get(
      "/:id",
      ({ params: { id }, scope }) => getAccount({ accounts }, { locale: scope.locale, id }),
      GetAccountContract,
    )
    .post(
      "/:id",
      ({ params: { id }, body, scope }) =>
        updateAccount({ accounts }, { principal: principalOf(scope), locale: scope.locale, id, body }),
      UpdateAccountContract,
    )
    .post(
      "/:id/delete",
      ({ params: { id }, scope }) =>
        deleteAccount({ accounts }, { principal: principalOf(scope), locale: scope.locale, id }),
      DeleteAccountContract,
    );
