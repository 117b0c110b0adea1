import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { deleteAppMember, listAppMembers, setAppMember } from "../handlers/app-member.ts";
import type { AppMemberService } from "../services/app-member.ts";
import { email, envelopeDoc, oneOf, strict, time, uuid } from "./contract.ts";
import { principalOf, scoped } from "./scope.ts";

const role = oneOf(["editor", "viewer"], {
  description: "editors change the app and its keys, viewers read it",
});
const Member = Type.Object({ account_id: uuid(), email: Type.String(), role, created_at: time() });
const example = {
  account_id: "3f0e6f2a-6a51-4c55-8f0c-2d1a9b7c4e33",
  email: "viewer@example.com",
  role: "viewer",
  created_at: "2026-11-23T08:00:00.000Z",
};
const appId = uuid({ description: "the app's id", examples: ["019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f"] });
const params = Type.Object({ id: appId });
const errors = ["VALIDATE_ERROR", "NOT_FOUND", "UNAUTHORIZED", "FORBIDDEN", "FAIL"] as const;
const badId = { id: ["不是有效的 UUID"] };

const ListAppMembersContract = {
  params,
  detail: envelopeDoc({
    operationId: "listAppMembers",
    tag: "member",
    summary: "List the members of an app",
    data: Type.Object({ items: Type.Array(Member) }),
    example: { message: "", data: { items: [example] } },
    errors,
    invalid: badId,
  }),
};

const SetAppMemberContract = {
  params,
  body: strict({ email: email(), role }, { examples: [{ email: "viewer@example.com", role: "viewer" }] }),
  detail: envelopeDoc({
    operationId: "setAppMember",
    tag: "member",
    summary: "Give somebody a role on an app",
    data: Member,
    example: { message: "成员 viewer@example.com 的角色已设为 viewer", data: example },
    errors: [...errors, "CONFLICT"],
    invalid: { role: ['只能是以下之一:"editor", "viewer"'] },
  }),
};

const DeleteAppMemberContract = {
  params: Type.Object({
    id: appId,
    account_id: uuid({ description: "the member's account", examples: [example.account_id] }),
  }),
  body: strict({}),
  detail: envelopeDoc({
    operationId: "deleteAppMember",
    tag: "member",
    summary: "Take somebody's role on an app away",
    data: Type.Object({}),
    example: { message: "成员已移除", data: {} },
    errors,
    invalid: badId,
  }),
};

/** `/app/:id/member`: who else may see or change an app. */
export const appMemberRoutes = ({ members }: { members: AppMemberService }) =>
  new Elysia({ prefix: "/app/:id/member", normalize: false })
    .use(scoped)
    .get(
      "/",
      ({ params: { id }, scope }) =>
        listAppMembers({ members }, { principal: principalOf(scope), appId: id }),
      ListAppMembersContract,
    )
    .post(
      "/",
      ({ params: { id }, body, scope }) =>
        setAppMember({ members }, { principal: principalOf(scope), locale: scope.locale, appId: id, body }),
      SetAppMemberContract,
    )
    .post(
      "/:account_id/delete",
      ({ params: { id, account_id }, scope }) =>
        deleteAppMember(
          { members },
          { principal: principalOf(scope), locale: scope.locale, appId: id, accountId: account_id },
        ),
      DeleteAppMemberContract,
    );
