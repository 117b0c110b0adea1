import { Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { type CookieJar, cookieOf, refreshCookie } from "../auth/cookies.ts";
import {
  changePassword,
  endSession,
  listSessions,
  login,
  logout,
  me,
  refresh,
  setUp,
} from "../handlers/auth.ts";
import type { AccountService } from "../services/account.ts";
import type { SessionService } from "../services/session.ts";
import { Account, accountExample, password, roleField } from "./account.ts";
import { email, envelopeDoc, strict, text, time, uuid } from "./contract.ts";
import { callerOf, principalOf, scoped } from "./scope.ts";

const optional = Type.Optional;
const nullable = (description: string) => Type.Union([Type.String(), Type.Null()], { description });

const Tokens = Type.Object({
  token_type: Type.Literal("Bearer"),
  access_token: nullable("for `Authorization: Bearer`; null where it is in a cookie"),
  expires_in: Type.Integer({ description: "seconds that the access token is good for" }),
  refresh_token: nullable("exchanged once at `/auth/refresh`; null where it is in a cookie"),
  refresh_expires_in: Type.Integer({ description: "seconds that the login lasts" }),
});
const tokensExample = {
  token_type: "Bearer",
  access_token: "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzaWQiOiIuLi4ifQ.c2lnbmF0dXJl",
  expires_in: 900,
  refresh_token: "llr_Zm9yIHRoZSBkb2N1bWVudGF0aW9uIG9ubHkgLSBub3QgcmVhbA",
  refresh_expires_in: 2_592_000,
};

const refreshBody = strict(
  {
    refresh_token: optional(
      text({ minLength: 1, maxLength: 255, description: "without it the cookie counts" }),
    ),
  },
  { examples: [{ refresh_token: tokensExample.refresh_token }] },
);

const LoginContract = {
  body: strict(
    {
      email: email(),
      password: text({ minLength: 1, maxLength: 256 }),
      cookie: optional(
        Type.Boolean({
          description: "for browsers: the tokens are put into HttpOnly cookies",
          default: false,
        }),
      ),
    },
    { examples: [{ email: "owner@example.com", password: "correct horse battery staple" }] },
  ),
  detail: envelopeDoc({
    operationId: "login",
    open: true,
    tag: "auth",
    summary: "Log in by e-mail and password",
    description: "From the fifth attempt in a row each has to wait, up to 30 seconds.",
    data: Tokens,
    example: { message: "登录成功", data: tokensExample },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "RATE_LIMITED", "FAIL"],
    invalid: { email: ["不是有效的邮箱地址"] },
  }),
};

const RefreshContract = {
  body: refreshBody,
  detail: envelopeDoc({
    operationId: "refresh",
    open: true,
    tag: "auth",
    summary: "Exchange a refresh token for a new pair",
    description: "A refresh token is good for one exchange; a second one ends the whole session.",
    data: Tokens,
    example: { message: "登录成功", data: tokensExample },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { refresh_token: ["类型应为string"] },
  }),
};

const LogoutContract = {
  body: refreshBody,
  detail: envelopeDoc({
    operationId: "logout",
    open: true,
    tag: "auth",
    summary: "End the session",
    data: Type.Object({}),
    example: { message: "已退出登录", data: {} },
    errors: ["VALIDATE_ERROR", "FORBIDDEN", "FAIL"],
    invalid: { refresh_token: ["类型应为string"] },
  }),
};

const SetupContract = {
  body: strict(
    {
      token: text({
        minLength: 1,
        maxLength: 255,
        description: "from the setup link that the service prints",
      }),
      email: email(),
      password,
      name: optional(text({ maxLength: 255 })),
    },
    { examples: [{ token: "…", email: "owner@example.com", password: "correct horse battery staple" }] },
  ),
  detail: envelopeDoc({
    operationId: "setUp",
    open: true,
    tag: "auth",
    summary: "Make the first owner",
    data: Account,
    example: { message: "初始化完成,账号 owner@example.com 是所有者", data: accountExample },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { password: ["长度不能少于 8 个字符"] },
  }),
};

const MeContract = {
  detail: envelopeDoc({
    operationId: "me",
    tag: "auth",
    summary: "Who is logged in",
    data: Type.Object({
      id: uuid(),
      email: Type.String({ description: "empty in development mode, where nobody is logged in" }),
      name: Type.String(),
      role: roleField,
      session_id: Type.Union([uuid(), Type.Null()]),
    }),
    example: {
      message: "",
      data: {
        id: accountExample.id,
        email: accountExample.email,
        name: accountExample.name,
        role: accountExample.role,
        session_id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e11",
      },
    },
    errors: ["UNAUTHORIZED", "FAIL"],
  }),
};

const PasswordContract = {
  body: strict(
    { current: text({ minLength: 1, maxLength: 256 }), next: password },
    { examples: [{ current: "correct horse battery staple", next: "another fine passphrase" }] },
  ),
  detail: envelopeDoc({
    operationId: "changePassword",
    tag: "auth",
    summary: "Change one's own password",
    description: "All sessions end, this one too.",
    data: Type.Object({}),
    example: { message: "密码已修改,请重新登录", data: {} },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { next: ["长度不能少于 8 个字符"] },
  }),
};

const sessionExample = {
  id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e11",
  address: "203.0.113.0/24",
  user_agent: "Mozilla/5.0",
  created_at: "2026-11-23T08:00:00.000Z",
  used_at: "2026-11-23T08:00:00.000Z",
  expires_at: "2026-12-23T08:00:00.000Z",
  current: true,
};

const ListSessionsContract = {
  detail: envelopeDoc({
    operationId: "listSessions",
    tag: "auth",
    summary: "List one's own sessions, newest first",
    data: Type.Object({
      items: Type.Array(
        Type.Object({
          id: uuid(),
          address: Type.String({ description: "the network it was begun from" }),
          user_agent: Type.String(),
          created_at: time(),
          used_at: time(),
          expires_at: time(),
          current: Type.Boolean({ description: "the one that asks" }),
        }),
      ),
    }),
    example: { message: "", data: { items: [sessionExample] } },
    errors: ["UNAUTHORIZED", "FAIL"],
  }),
};

const EndSessionContract = {
  params: Type.Object({ id: uuid({ description: "the session's id", examples: [sessionExample.id] }) }),
  body: strict({}),
  detail: envelopeDoc({
    operationId: "endSession",
    tag: "auth",
    summary: "End one of one's own sessions",
    data: Type.Object({}),
    example: { message: "登录会话已结束", data: {} },
    errors: ["VALIDATE_ERROR", "NOT_FOUND", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { id: ["不是有效的 UUID"] },
  }),
};

export interface AuthRoutesOptions {
  sessions: SessionService;
  accounts: AccountService;
  cookies: CookieJar;
}

/** `/auth`: logging in, staying logged in, ending it, and the first owner. */
export const authRoutes = (needs: AuthRoutesOptions) =>
  new Elysia({ prefix: "/auth", normalize: false })
    .use(scoped)
    .post(
      "/login",
      ({ body, request, scope }) =>
        login(needs, { body, caller: callerOf(scope, request), locale: scope.locale }),
      LoginContract,
    )
    .post(
      "/refresh",
      ({ body, request, scope }) =>
        refresh(needs, {
          refreshToken: body.refresh_token,
          cookieToken: cookieOf(request.headers.get("cookie"), refreshCookie),
          caller: callerOf(scope, request),
          locale: scope.locale,
        }),
      RefreshContract,
    )
    .post(
      "/logout",
      ({ body, request, scope }) =>
        logout(needs, {
          refreshToken: body.refresh_token,
          cookieToken: cookieOf(request.headers.get("cookie"), refreshCookie),
          caller: callerOf(scope, request),
          locale: scope.locale,
        }),
      LogoutContract,
    )
    .post(
      "/setup",
      ({ body, request, scope }) =>
        setUp(needs, { body, caller: callerOf(scope, request), locale: scope.locale }),
      SetupContract,
    )
    .get("/me", ({ scope }) => me(needs, { principal: principalOf(scope) }), MeContract)
    .post(
      "/password",
      ({ body, scope }) =>
        changePassword(needs, { principal: principalOf(scope), locale: scope.locale, body }),
      PasswordContract,
    )
    .get(
      "/session",
      ({ scope }) => listSessions(needs, { principal: principalOf(scope) }),
      ListSessionsContract,
    )
    .post(
      "/session/:id/delete",
      ({ params: { id }, scope }) =>
        endSession(needs, { principal: principalOf(scope), locale: scope.locale, id }),
      EndSessionContract,
    );
