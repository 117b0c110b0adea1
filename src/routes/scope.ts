import { Elysia } from "elysia";
import type { KeyPrincipal, Principal } from "../auth/principal.ts";
import { UnauthorizedError } from "../errors/app-error.ts";
import type { Locale } from "../i18n/messages.ts";
import type { Limited } from "../services/call.ts";
import type { Caller } from "../services/session.ts";

/** What is known of a request beside its contract; made before its body is read. */
export interface Scope {
  requestId: string;
  /** As it was sent, and as which it was let in. */
  path: string;
  /** Of what is said to the caller; looked for when it is asked for. */
  readonly locale: Locale;
  /** The caller's address, as far as trusted proxies tell. */
  ip: string;
  /** Who is calling; `undefined` on public routes and on `/v1`. */
  caller: Principal | undefined;
  /** Which app key is calling; only on `/v1`. */
  key: KeyPrincipal | undefined;
  /** Who says what the key has left, for the call that it makes; as soon as there is one. */
  limited: Limited | undefined;
  /** Lifts the server's limit on silence, for calls that wait for a model. */
  untimed(): void;
}

const scopes = new WeakMap<Request, Scope>();

/** Keeps the scope of a request for as long as the request lives; returns the request. */
export const openScope = (request: Request, scope: Scope): Request => {
  scopes.set(request, scope);
  return request;
};

/** The scope of a request that came in through the app. */
export function scopeOf(request: Request): Scope {
  const scope = scopes.get(request);
  if (!scope) throw new Error("a request without a scope: it did not come in through the app");
  return scope;
}

/**
 * The caller of a route that needs one.
 * @throws {UnauthorizedError} nobody is logged in.
 */
export function principalOf({ caller }: Scope): Principal {
  if (!caller) throw new UnauthorizedError("auth.required");
  return caller;
}

/**
 * The key of a route that needs one.
 * @throws {UnauthorizedError} there is none.
 */
export function keyOf({ key }: Scope): KeyPrincipal {
  if (!key) throw new UnauthorizedError("key.bad");
  return key;
}

/** From where a call comes, for what is kept of a login. */
export const callerOf = ({ ip, requestId }: Scope, request: Request): Caller => ({
  ip,
  requestId,
  userAgent: request.headers.get("user-agent") ?? "",
});

/** Gives the routes that use it `scope`. */
export const scoped = new Elysia({ name: "scope" }).derive({ as: "scoped" }, ({ request }) => ({
  scope: scopeOf(request),
}));
