import * as client from "openid-client";
import { setOidcCookie } from "../auth/oidc-cookie.ts";
import type { Clock } from "../clock.ts";
import { OidcError } from "../errors/oidc-error.ts";

/** Encrypts what must be read again; `context` says what it is, so that one thing cannot be passed off as another. */
export interface Sealer {
  seal(plaintext: string, context: string): Uint8Array;
  /** @throws {Error} it was not sealed here, or for another context. */
  open(sealed: Uint8Array, context: string): string;
}

/** How long a login at the provider may take, in seconds. */
const lifeSeconds = 600;
/** A longer path would make a cookie that browsers refuse (4096 bytes). */
const returnPathMax = 1024;
/** Most logins that are remembered as used up; the oldest are forgotten first. */
const usedMax = 10_000;
const context = "oidc.state";

/** One login on its way: what was sent to the provider, and what its answer is checked against. */
export interface OidcTransaction {
  state: string;
  nonce: string;
  codeVerifier: string;
  /** Where the browser goes afterwards: a path on this service. */
  returnTo: string;
  /** Which provider was asked, as whom: settings that changed meanwhile void the login. */
  issuer: string;
  clientId: string;
  /** Milliseconds since 1970. */
  createdAt: number;
}

const hasControl = (text: string): boolean =>
  [...text].some((character) => character < " " || character === "\x7f");

/**
 * A path on this service to go to after the login, `/` for anything that is not plainly one: browsers read `//host`,
 * `/\host` and paths with a tab or a line end in them as another site's address.
 */
export function returnPath(wanted: string | undefined, origin: string): string {
  if (!wanted?.startsWith("/") || wanted.startsWith("//") || wanted.length > returnPathMax) return "/";
  if (wanted.includes("\\") || hasControl(wanted)) return "/";
  const url = URL.parse(wanted, origin);
  if (url?.origin !== new URL(origin).origin) return "/";
  // `/.//host` is a path here, and would be another host once it is written without its dot.
  const path = `${url.pathname}${url.search}${url.hash}`;
  return path.startsWith("//") || path.length > returnPathMax ? "/" : path;
}

/**
 * Logins on their way live in their browser, sealed, and not here; what is kept here is which of them are used up,
 * by this process, for as long as they could come back.
 */
export function createTransactions({
  keyring,
  clock,
  origin,
}: {
  keyring: Sealer;
  clock: Clock;
  origin: string;
}) {
  const used = new Map<string, number>();
  const secure = origin.startsWith("https:");

  const read = (value: string): OidcTransaction | undefined => {
    try {
      return JSON.parse(keyring.open(Buffer.from(value, "base64url"), context));
    } catch {
      return undefined;
    }
  };

  const useUp = (state: string, now: number): boolean => {
    for (const [each, until] of used) {
      if (until > now && used.size < usedMax) break;
      used.delete(each);
    }
    if (used.has(state)) return false;
    used.set(state, now + lifeSeconds * 1000);
    return true;
  };

  return {
    /** Begins a login: what to send, and the cookie that remembers it. */
    begin(where: Pick<OidcTransaction, "issuer" | "clientId"> & { returnTo: string | undefined }): {
      transaction: OidcTransaction;
      cookie: string;
    } {
      const transaction: OidcTransaction = {
        ...where,
        returnTo: returnPath(where.returnTo, origin),
        state: client.randomState(),
        nonce: client.randomNonce(),
        codeVerifier: client.randomPKCECodeVerifier(),
        createdAt: clock.now().getTime(),
      };
      const sealed = Buffer.from(keyring.seal(JSON.stringify(transaction), context));
      const cookie = setOidcCookie(sealed.toString("base64url"), { seconds: lifeSeconds, secure });
      return { transaction, cookie };
    },

    /**
     * The login that this browser began and that this `state` belongs to; each is given out once.
     * @throws {OidcError} `state`: none, another's, too old, or used up.
     */
    end(value: string | undefined, states: readonly string[]): OidcTransaction {
      const transaction = value === undefined ? undefined : read(value);
      const now = clock.now().getTime();
      const holds =
        transaction !== undefined &&
        states.length === 1 &&
        states[0] === transaction.state &&
        now < transaction.createdAt + lifeSeconds * 1000;
      if (!holds || !useUp(transaction.state, now)) throw new OidcError("state");
      return transaction;
    },
  };
}
