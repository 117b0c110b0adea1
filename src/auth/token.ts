import { jwtVerify, SignJWT } from "jose";
import type { Uuid } from "../id.ts";
import { isUuid } from "../id.ts";

/** How long an access token is good for, in seconds. */
export const accessSeconds = 15 * 60;

/** Issuer and audience: a token of another service, signed by the same key by mistake, is not one of ours. */
const issuer = "llmops";
/** The only algorithm, whatever a token's header says of itself. */
const algorithm = "HS256";

/** How far the clocks of two processes may be apart, in seconds: a token from further ahead is none of ours. */
const skewSeconds = 60;

/** What an access token says. */
export interface AccessClaims {
  accountId: Uuid;
  sessionId: Uuid;
}

/** Signs and checks access tokens (JWT, RFC 9068's type). */
export interface AccessTokens {
  sign(claims: AccessClaims, now: Date): Promise<string>;
  /** The claims of a good token that has not expired; `undefined` for anything else, without saying why. */
  verify(token: string, now: Date): Promise<AccessClaims | undefined>;
}

/** Creates a signer over a symmetric key of at least 32 bytes. */
export function createAccessTokens(key: Uint8Array): AccessTokens {
  return {
    sign: ({ accountId, sessionId }, now) => {
      const issuedAt = Math.floor(now.getTime() / 1000);
      return new SignJWT({ sid: sessionId })
        .setProtectedHeader({ alg: algorithm, typ: "at+jwt" })
        .setSubject(accountId)
        .setIssuer(issuer)
        .setAudience(issuer)
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + accessSeconds)
        .sign(key);
    },
    async verify(token, now) {
      try {
        const { payload } = await jwtVerify(token, key, {
          algorithms: [algorithm],
          typ: "at+jwt",
          issuer,
          audience: issuer,
          currentDate: now,
          requiredClaims: ["sub", "sid", "iat", "exp"],
        });
        const { sub, sid, iat = 0, exp = 0 } = payload;
        if (iat > now.getTime() / 1000 + skewSeconds || exp - iat > accessSeconds) return undefined;
        if (typeof sub !== "string" || typeof sid !== "string" || !isUuid(sub) || !isUuid(sid))
          return undefined;
        return { accountId: sub, sessionId: sid };
      } catch {
        return undefined;
      }
    },
  };
}
