import type { CookieJar } from "../auth/cookies.ts";
import type { Principal } from "../auth/principal.ts";
import { UnauthorizedError } from "../errors/app-error.ts";
import { type Envelope, envelopeResponse, success } from "../errors/envelope.ts";
import { type Locale, t } from "../i18n/messages.ts";
import type { Uuid } from "../id.ts";
import type { AccountService } from "../services/account.ts";
import type { Caller, Session, SessionService, Tokens } from "../services/session.ts";
import { toWireAccount, type WireAccount } from "./account.ts";

interface Needs {
  sessions: SessionService;
  accounts: AccountService;
  cookies: CookieJar;
}

/** A login as callers see it; with cookies the tokens are in them, and `null` here. */
export interface WireTokens {
  token_type: "Bearer";
  access_token: string | null;
  expires_in: number;
  refresh_token: string | null;
  refresh_expires_in: number;
}

const toWireTokens = (tokens: Tokens, inCookies: boolean): WireTokens => ({
  token_type: "Bearer",
  access_token: inCookies ? null : tokens.accessToken,
  expires_in: tokens.accessSeconds,
  refresh_token: inCookies ? null : tokens.refreshToken,
  refresh_expires_in: tokens.refreshSeconds,
});

/** An envelope that also sets cookies. */
function withCookies(envelope: Envelope, cookies: readonly string[]): Response {
  const response = envelopeResponse(envelope);
  for (const cookie of cookies) response.headers.append("set-cookie", cookie);
  return response;
}

/** The `Set-Cookie` headers of a login. */
export const cookiesOf = (jar: CookieJar, { accessToken, refreshToken, ...seconds }: Tokens): string[] =>
  jar.signIn({ access: accessToken, refresh: refreshToken, ...seconds });

function answer({ cookies }: Needs, message: string, tokens: Tokens, inCookies: boolean): Response {
  const envelope = success(message, toWireTokens(tokens, inCookies));
  return withCookies(envelope, inCookies ? cookiesOf(cookies, tokens) : []);
}

interface Login {
  email: string;
  password: string;
  cookie?: boolean;
}

/** `POST /auth/login` */
export async function login(
  needs: Needs,
  {
    body: { cookie = false, ...credentials },
    caller,
    locale,
  }: { body: Login; caller: Caller; locale: Locale },
): Promise<Response> {
  const tokens = await needs.sessions.login(credentials, caller);
  return answer(needs, t(locale, "auth.logged_in"), tokens, cookie);
}

interface Exchange {
  /** From the body. */
  refreshToken: string | undefined;
  /** From the cookie; counts where there is none in the body. */
  cookieToken: string | undefined;
  caller: Caller;
  locale: Locale;
}

/** `POST /auth/refresh`: by the token in the body, or by the cookie, which is then replaced. */
export async function refresh(
  needs: Needs,
  { refreshToken, cookieToken, caller, locale }: Exchange,
): Promise<Response> {
  const token = refreshToken ?? cookieToken;
  if (token === undefined) throw new UnauthorizedError("auth.bad_refresh");
  const tokens = await needs.sessions.refresh(token, caller);
  return answer(needs, t(locale, "auth.logged_in"), tokens, refreshToken === undefined);
}

/** `POST /auth/logout`: ends the session, and removes the cookies. */
export async function logout(
  { sessions, cookies }: Needs,
  { refreshToken, cookieToken, caller, locale }: Exchange,
): Promise<Response> {
  const token = refreshToken ?? cookieToken;
  if (token !== undefined) await sessions.logout(token, caller);
  return withCookies(success(t(locale, "auth.logged_out"), {}), cookies.signOut());
}

interface SetUp {
  token: string;
  email: string;
  password: string;
  name?: string;
}

/** `POST /auth/setup`: makes the first owner. */
export async function setUp(
  { accounts }: Needs,
  { body, caller: { ip, requestId }, locale }: { body: SetUp; caller: Caller; locale: Locale },
): Promise<Envelope<WireAccount>> {
  const account = await accounts.setUp(body, { kind: "system", ip, requestId });
  return success(t(locale, "auth.set_up", { email: account.email }), toWireAccount(account));
}

/** Who is logged in; in development mode nobody is, and the owner's id is all there is. */
export type WireMe = Pick<WireAccount, "id" | "email" | "name" | "role"> & { session_id: Uuid | null };

/** `GET /auth/me` */
export async function me(
  { accounts }: Needs,
  { principal }: { principal: Principal },
): Promise<Envelope<WireMe>> {
  const { accountId: id, role, sessionId } = principal;
  if (sessionId === undefined) return success("", { id, email: "", name: "", role, session_id: null });
  const { email, name } = await accounts.get(id);
  return success("", { id, email, name, role, session_id: sessionId });
}

/** `POST /auth/password` */
export async function changePassword(
  { accounts }: Needs,
  {
    principal,
    locale,
    body,
  }: { principal: Principal; locale: Locale; body: { current: string; next: string } },
): Promise<Envelope> {
  await accounts.changePassword(principal, body);
  return success(t(locale, "auth.password_changed"), {});
}

/** A login session as its owner sees it. */
export type WireSession = Pick<Session, "id" | "address" | "user_agent"> & {
  created_at: string;
  used_at: string;
  expires_at: string;
  /** The one that asks. */
  current: boolean;
};

/** `GET /auth/session` */
export async function listSessions(
  { sessions }: Needs,
  { principal }: { principal: Principal },
): Promise<Envelope<{ items: WireSession[] }>> {
  const items = await sessions.list(principal);
  return success("", {
    items: items.map(({ id, address, user_agent, created_at, used_at, expires_at }) => ({
      id,
      address,
      user_agent,
      created_at: created_at.toISOString(),
      used_at: used_at.toISOString(),
      expires_at: expires_at.toISOString(),
      current: id === principal.sessionId,
    })),
  });
}

/** `POST /auth/session/:id/delete` */
export async function endSession(
  { sessions }: Needs,
  { principal, locale, id }: { principal: Principal; locale: Locale; id: Uuid },
): Promise<Envelope> {
  await sessions.end(principal, id);
  return success(t(locale, "session.ended"), {});
}
