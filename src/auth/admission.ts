import { timingSafeEqual } from "node:crypto";
import type { AddressRanges } from "../address.ts";
import { ForbiddenError, NotFoundError, UnauthorizedError } from "../errors/app-error.ts";
import { type Locale, t } from "../i18n/messages.ts";
import type { Uuid } from "../id.ts";
import { mapSoon, type Soon } from "../soon.ts";
import type { AccessCache } from "./access-cache.ts";
import { type KeyParts, parseKey } from "./app-key.ts";
import { accessCookie, cookieOf, refreshCookie } from "./cookies.ts";
import { createPermissionTable, type Permission } from "./permissions.ts";
import { atLeast, type KeyPrincipal, type Principal, type Role } from "./principal.ts";
import type { AccessTokens } from "./token.ts";

/** What is known of a request before its body is read. */
export interface Arrival {
  /** As it was sent: not decoded, not normalised. */
  path: string;
  readonly locale: Locale;
  /** The caller's address, as far as trusted proxies tell. */
  ip: string;
  requestId: Uuid;
}

/** As whom a request may come in: a person, a key, or on public routes nobody. */
export interface Admitted {
  caller?: Principal;
  key?: KeyPrincipal;
}

/**
 * Decides, before a body is read, whether a request may come in, and as whom.
 * @throws an `AppError` it may not: nobody is logged in, they may not do this, or there is no such route.
 */
export type Admission = (request: Request, arrival: Arrival) => Soon<Admitted>;

/** A login as it is remembered. */
export interface KnownSession {
  session_id: Uuid;
  account_id: Uuid;
  email: string;
  role: Role;
  expires_at: Date;
}

/** A key as it is remembered. */
export interface KnownKey {
  principal: KeyPrincipal;
  secretHash: Uint8Array;
  expiresAt: Date | null;
  /** From where it may be used; `undefined` is everywhere. */
  ranges: AddressRanges | undefined;
}

export interface AdmissionOptions {
  tokens: AccessTokens;
  sessions: AccessCache<KnownSession>;
  keys: AccessCache<KnownKey>;
  /** Keyed hash of a secret. */
  hash: (secret: string) => Uint8Array;
  /** Notes that a key was used. */
  used: (keyId: Uuid, at: Date) => void;
  now: () => Date;
  /** Where browsers reach the service, such as `https://llmops.example.com`. */
  origin: string;
  /** Whether a cookie is worth nothing in a request from another site. */
  csrf: boolean;
}

const permissionOf = createPermissionTable();

/** Longest `Authorization` header that is looked at, in characters. */
const credentialMax = 4096;

const bearerOf = (request: Request): string | undefined => {
  const header = request.headers.get("authorization") ?? "";
  return header.length <= credentialMax ? /^bearer +(\S+)$/i.exec(header)?.[1] : undefined;
};

/**
 * Whether a request with a cookie was made by our own pages: browsers say so in `Sec-Fetch-Site`, older ones in
 * `Origin` only. One that says neither proves nothing.
 */
const isSameOrigin = (request: Request, origin: string): boolean => {
  const site = request.headers.get("sec-fetch-site");
  if (site !== null) return site === "same-origin" || site === "none";
  return isOwnOrigin(request.headers.get("origin"), request, origin);
};

const isOwnOrigin = (sent: string | null, request: Request, origin: string): boolean =>
  sent !== null &&
  (sent === origin || sent === `${new URL(origin).protocol}//${request.headers.get("host")}`);

/**
 * Whether a request that needs no login may come from another site's page: it says so, or it carries a login's cookie
 * and does not say where it comes from. A program without cookies is nobody's page.
 */
const isForeign = (request: Request, origin: string): boolean => {
  const sent = request.headers.get("origin");
  if (sent !== null && !isOwnOrigin(sent, request, origin)) return true;
  const says = sent !== null || request.headers.has("sec-fetch-site");
  const carries = cookieOf(request.headers.get("cookie"), refreshCookie) !== undefined;
  return (says || carries) && !isSameOrigin(request, origin);
};

const isRead = ({ method }: Request): boolean => method === "GET" || method === "HEAD";

const badKey = () => new UnauthorizedError("key.bad");

/** The app key of a request, wherever it may be used from. @throws {UnauthorizedError} none, or not a good one. */
function admitKey(request: Request, arrival: Arrival, options: AdmissionOptions): Soon<Admitted> {
  const parts = parseKey(bearerOf(request) ?? request.headers.get("x-api-key") ?? "");
  if (!parts) throw badKey();
  return mapSoon(options.keys.get(parts.publicId), checkKey, { parts, arrival, options });
}

/** @throws {UnauthorizedError} the secret is not the key's, or the key may not be used now, or from there. */
function checkKey(
  known: KnownKey | undefined,
  {
    parts: { secret },
    arrival: { ip },
    options: { hash, now, used },
  }: { parts: KeyParts; arrival: Arrival; options: AdmissionOptions },
): Admitted {
  if (!known || !timingSafeEqual(known.secretHash, hash(secret))) throw badKey();
  const at = now();
  if (known.expiresAt && known.expiresAt <= at) throw badKey();
  if (known.ranges && !known.ranges.has(ip)) throw badKey();
  used(known.principal.keyId, at);
  return { key: known.principal };
}

async function admitPerson(
  request: Request,
  { ip, requestId }: Arrival,
  options: AdmissionOptions,
): Promise<Admitted> {
  const refuse = () => new UnauthorizedError("auth.required");
  const bearer = bearerOf(request);
  const token = bearer ?? cookieOf(request.headers.get("cookie"), accessCookie);
  if (token === undefined) throw refuse();
  if (bearer === undefined && options.csrf && !isRead(request) && !isSameOrigin(request, options.origin)) {
    throw new ForbiddenError("auth.cross_site");
  }
  const now = options.now();
  const claims = await options.tokens.verify(token, now);
  const session = claims && (await options.sessions.get(claims.sessionId));
  if (!session || session.account_id !== claims.accountId || session.expires_at <= now) throw refuse();
  const caller: Principal = {
    accountId: session.account_id,
    role: session.role,
    seesAll: atLeast(session.role, "admin"),
    sessionId: session.session_id,
    actor: { kind: "account", id: session.account_id, name: session.email, ip, requestId },
  };
  return { caller };
}

/** Refuses who may not use the route; a route that does not exist is told only to those who are known. */
function checkPermission(admitted: Admitted, permission: Permission | undefined): Admitted {
  const { caller } = admitted;
  if (!caller || permission === undefined || permission === "key") throw new NotFoundError("route.not_found");
  if (permission !== "public" && !atLeast(caller.role, permission))
    throw new ForbiddenError("auth.forbidden");
  return admitted;
}

/** Whether a path belongs to the data plane, where app keys count and errors are OpenAI's. */
export const isDataPlane = (path: string): boolean => path.startsWith("/v1/");

/** Production: whoever is not known gets in nowhere but where the table says `public`. */
export function admitKnown(options: AdmissionOptions): Admission {
  return (request, arrival) => {
    const permission = permissionOf(request.method, arrival.path);
    if (isDataPlane(arrival.path)) {
      const admitted = admitKey(request, arrival, options);
      return permission === "key" ? admitted : mapSoon(admitted, checkPermission, permission);
    }
    if (permission === "public") {
      // A foreign page may not log somebody in, or out, either.
      if (options.csrf && !isRead(request) && isForeign(request, options.origin)) {
        throw new ForbiddenError("auth.cross_site");
      }
      return {};
    }
    return mapSoon(admitPerson(request, arrival, options), checkPermission, permission);
  };
}

const isProxyHeader = (name: string): boolean =>
  name === "forwarded" || name === "via" || name.startsWith("x-forwarded-");
const loopbackHost = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i;

/**
 * Development: everybody on this machine is the owner. What could carry a stranger's request here is refused: a
 * name that is not loopback (DNS rebinding), another site's page (`Origin`), a proxy. App keys count as in production.
 */
export function admitLoopback(owner: Uuid, options: AdmissionOptions): Admission {
  const admitAsKnown = admitKnown(options);
  return (request, arrival) => {
    const refuse = (key: "dev.host" | "dev.origin" | "dev.proxy") =>
      new ForbiddenError("dev.forbidden", { params: { what: t(arrival.locale, key) } });
    const host = request.headers.get("host") ?? URL.parse(request.url)?.host ?? "";
    if (!loopbackHost.test(host)) throw refuse("dev.host");
    const origin = request.headers.get("origin");
    if (origin !== null && origin !== `http://${host}`) throw refuse("dev.origin");
    for (const name of request.headers.keys()) if (isProxyHeader(name)) throw refuse("dev.proxy");
    if (isDataPlane(arrival.path)) return admitAsKnown(request, arrival);
    const { ip, requestId } = arrival;
    const caller: Principal = {
      accountId: owner,
      role: "owner",
      seesAll: true,
      sessionId: undefined,
      actor: { kind: "development", id: owner, ip, requestId },
    };
    return checkPermission({ caller }, permissionOf(request.method, arrival.path));
  };
}
