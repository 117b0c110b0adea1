import * as client from "openid-client";
import type { Clock } from "../clock.ts";
import { isLoopback } from "../config/config.ts";
import { OidcError } from "../errors/oidc-error.ts";

/** The part of `fetch` that is used. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** Whom to ask, and as whom. */
export interface ProviderAccess {
  issuer: string;
  clientId: string;
  /** `undefined` for a public client. */
  clientSecret: string | undefined;
}

/** What a provider says of somebody: in the ID token, whose signature was checked, and at its UserInfo endpoint. */
export interface ProviderClaims {
  idToken: client.IDToken;
  userInfo: client.UserInfoResponse | undefined;
}

/** Largest answer that is read, in bytes; a token with a thousand groups has a tenth of it. */
const bytesMax = 1024 * 1024;
/** How long a discovery document counts; the keys are looked up anew by the library after five minutes. */
const metadataMs = 10 * 60_000;

/** Errors of the library that mean that something else than an OpenID provider has answered. */
const broken = new Set([
  "OAUTH_RESPONSE_IS_NOT_CONFORM",
  "OAUTH_RESPONSE_IS_NOT_JSON",
  "OAUTH_PARSE_ERROR",
  "OAUTH_TIMEOUT",
  "OAUTH_ABORT",
]);

/** Whether `url` may be asked: over https, or on this machine. */
export const isSafeUrl = (url: URL): boolean =>
  url.protocol === "https:" ||
  (url.protocol === "http:" && isLoopback(url.hostname.replace(/^\[(.*)\]$/, "$1")));

/** The messages of an error and its causes, for the log. They are the library's own words, never a token or a claim. */
function describe(error: unknown): string {
  const messages: string[] = [];
  for (let each = error; each instanceof Error && messages.length < 4; each = each.cause) {
    const code = "code" in each && typeof each.code === "string" ? `${each.code}: ` : "";
    // A parser's complaint may quote what it read.
    messages.push(each instanceof SyntaxError ? each.name : `${code}${each.message}`.slice(0, 200));
  }
  return messages.join(" <- ");
}

/** Any failure of the library as ours; what it says in public depends on whose fault it is. */
export function toOidcError(error: unknown): OidcError {
  for (let each = error; each instanceof Error; each = each.cause) if (each instanceof OidcError) return each;
  const cause = describe(error);
  if (error instanceof client.AuthorizationResponseError || error instanceof client.ResponseBodyError) {
    return new OidcError("refused", { error: error.error, cause });
  }
  if (error instanceof client.WWWAuthenticateChallengeError) {
    return new OidcError("refused", { error: "invalid_client", cause });
  }
  const code = error instanceof client.ClientError ? error.code : undefined;
  return new OidcError(broken.has(code ?? "") ? "unreachable" : "answer_invalid", { cause });
}

async function readUpTo(response: Response, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > limit) throw new Error(`an answer of more than ${limit} bytes`);
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

/** `fetch` with what the library leaves open: where it may go, and how much is read. */
const limited = (fetch: Fetch): client.CustomFetch => {
  const attempt = async (url: string, options: client.CustomFetchOptions) => {
    if (!isSafeUrl(new URL(url))) throw new Error("an address that is neither https nor on this machine");
    const response = await fetch(url, options as RequestInit);
    const { status, headers } = response;
    const body = await readUpTo(response, bytesMax);
    return new Response(body.length > 0 ? body : null, { status, headers });
  };
  return (url, options) =>
    attempt(url, options).catch((cause: unknown) => {
      throw new OidcError("unreachable", { cause: describe(cause) });
    });
};

/** The secret the way the provider takes it: in the body where it says so, else as RFC 6749 has every server take it. */
const withSecret =
  (secret: string): client.ClientAuth =>
  (server, ...rest) => {
    const inBody = server.token_endpoint_auth_methods_supported?.includes("client_secret_post") ?? false;
    const method = inBody ? client.ClientSecretPost(secret) : client.ClientSecretBasic(secret);
    return method(server, ...rest);
  };

/** Talks to OpenID providers; keeps the discovery document and the keys of the one that was asked last. */
export function createProviders({
  fetch,
  clock,
  timeoutMs,
}: {
  fetch: Fetch;
  clock: Clock;
  timeoutMs: number;
}) {
  let last: { key: string; until: number; config: Promise<client.Configuration> } | undefined;

  const discover = async ({ issuer, clientId, clientSecret }: ProviderAccess) => {
    const server = new URL(issuer);
    const auth = clientSecret === undefined ? client.None() : withSecret(clientSecret);
    const config = await client
      .discovery(server, clientId, undefined, auth, {
        timeout: timeoutMs / 1000,
        [client.customFetch]: limited(fetch),
        execute: [
          // In the code flow the standard leaves the ID token's signature to TLS; here it is checked all the same.
          client.enableNonRepudiationChecks,
          ...(server.protocol === "http:" ? [client.allowInsecureRequests] : []),
        ],
      })
      .catch((error: unknown) => {
        throw toOidcError(error);
      });
    const metadata = config.serverMetadata();
    const places = [metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri];
    const usable = places.every((place) => isSafeUrl(URL.parse(place ?? "") ?? new URL("none:")));
    // Also what the library forgives: a document for many tenants, where anybody's tenant would do.
    if (!usable || URL.parse(metadata.issuer)?.href !== server.href) {
      throw new OidcError("answer_invalid", {
        cause: "the discovery document is another issuer's, or lacks an endpoint",
      });
    }
    return config;
  };

  return {
    /** Asks the provider anew. @throws {OidcError} it cannot be reached, or is not what it should be. */
    discover,

    /** The provider, from memory where it was asked lately; of several at once only one asks. */
    async find(access: ProviderAccess): Promise<client.Configuration> {
      const key = JSON.stringify([access.issuer, access.clientId, access.clientSecret]);
      const now = clock.now().getTime();
      if (last?.key === key && now < last.until) return last.config;
      const asked = { key, until: now + metadataMs, config: discover(access) };
      last = asked;
      asked.config.catch(() => {
        if (last === asked) last = undefined;
      });
      return asked.config;
    },

    /**
     * Exchanges the code in `url` and checks everything about the answer: `state`, `iss`, the ID token's signature,
     * issuer, audience, times and `nonce`. `wanted` says whether the ID token leaves something to ask UserInfo for.
     * @throws {OidcError}
     */
    async exchange(
      config: client.Configuration,
      url: URL,
      expected: { state: string; nonce: string; codeVerifier: string },
      wanted: (idToken: client.IDToken) => boolean,
    ): Promise<ProviderClaims> {
      try {
        const tokens = await client.authorizationCodeGrant(config, url, {
          expectedState: expected.state,
          expectedNonce: expected.nonce,
          pkceCodeVerifier: expected.codeVerifier,
          idTokenExpected: true,
        });
        const idToken = tokens.claims();
        if (!idToken) throw new OidcError("answer_invalid", { cause: "no ID token" });
        const more = config.serverMetadata().userinfo_endpoint !== undefined && wanted(idToken);
        const userInfo = more
          ? await client.fetchUserInfo(config, tokens.access_token, idToken.sub)
          : undefined;
        return { idToken, userInfo };
      } catch (error) {
        throw toOidcError(error);
      }
    },
  };
}
