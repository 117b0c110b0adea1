import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from "jose";
import { startOidcApp } from "./oidc-app.ts";

/** What the provider signs with, and what an attacker could take for a key. */
export interface RogueKeys {
  privateKey: CryptoKey;
  /** As the key set publishes it. */
  publicJwk: JWK;
  kid: string;
  /** Not in the key set. */
  foreignKey: CryptoKey;
  clientSecret: string;
}

/** The places where a provider can be evil, or just broken; each is as the standard has it unless it is replaced. */
export interface RoguePlan {
  discovery?: (document: Record<string, unknown>) => unknown;
  keySet?: (document: { keys: JWK[] }) => unknown;
  /** What the browser is sent back with. */
  answer?: (query: URLSearchParams) => void;
  claims?: (claims: JWTPayload) => JWTPayload;
  sign?: (claims: JWTPayload, keys: RogueKeys) => string | Promise<string>;
  token?: (body: Record<string, unknown>) => unknown;
  userInfo?: (claims: JWTPayload) => unknown;
}

/** An OpenID provider on 127.0.0.1 that does as a test tells it. */
export interface Rogue extends AsyncDisposable {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly requests: readonly string[];
  /** A plan's part that is a {@link Response} (or a promise of one) is sent as it is. */
  plan: RoguePlan;
}

/** An answer that never comes. */
export const never = (): Promise<Response> => new Promise(() => {});

const keys = (async () => {
  const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
  const { privateKey: foreignKey } = await generateKeyPair("RS256");
  return { privateKey, foreignKey, publicJwk: { ...(await exportJWK(publicKey)), kid: "k1", alg: "RS256" } };
})();

/** Signs as an honest provider does. */
export const honestly = (claims: JWTPayload, { privateKey, kid }: RogueKeys): Promise<string> =>
  new SignJWT(claims).setProtectedHeader({ alg: "RS256", kid }).sign(privateKey);

/** A token put together by hand: any header, any signature. */
export const byHand = (header: object, claims: object, signature = ""): string =>
  [header, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .concat(signature)
    .join(".");

/** Starts it; without a plan it is honest, and everybody is Alice. */
export async function startRogue(): Promise<Rogue> {
  const clientId = "llmops";
  const clientSecret = "the client's secret";
  const { privateKey, foreignKey, publicJwk } = await keys;
  const own: RogueKeys = { privateKey, foreignKey, publicJwk, kid: "k1", clientSecret };
  const nonces = new Map<string, string>();
  const requests: string[] = [];
  const rogue: Rogue = {
    clientId,
    clientSecret,
    requests,
    plan: {},
    get issuer() {
      return `http://127.0.0.1:${server.port}`;
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  };
  const same = <T>(value: T): T => value;

  const claimsFor = (nonce: string | undefined): JWTPayload => {
    const now = Math.floor(Date.now() / 1000);
    return {
      iss: rogue.issuer,
      aud: clientId,
      sub: "alice",
      iat: now,
      exp: now + 60,
      nonce,
      email: "alice@example.com",
      email_verified: true,
    };
  };

  const tokens = async (code: string) => {
    const { claims = same, sign = honestly, token = same } = rogue.plan;
    const id_token = await sign(claims(claimsFor(nonces.get(code))), own);
    return token({ access_token: "access", token_type: "Bearer", expires_in: 60, id_token });
  };

  const routes: Record<string, (url: URL, request: Request) => unknown> = {
    "/.well-known/openid-configuration": () =>
      (rogue.plan.discovery ?? same)({
        issuer: rogue.issuer,
        authorization_endpoint: `${rogue.issuer}/authorize`,
        token_endpoint: `${rogue.issuer}/token`,
        userinfo_endpoint: `${rogue.issuer}/userinfo`,
        jwks_uri: `${rogue.issuer}/keys`,
        id_token_signing_alg_values_supported: ["RS256"],
      }),
    "/keys": () => (rogue.plan.keySet ?? same)({ keys: [publicJwk] }),
    "/authorize": ({ searchParams }) => {
      const code = crypto.randomUUID();
      nonces.set(code, searchParams.get("nonce") ?? "");
      const back = new URL(searchParams.get("redirect_uri") ?? "");
      back.search = new URLSearchParams({ code, state: searchParams.get("state") ?? "" }).toString();
      rogue.plan.answer?.(back.searchParams);
      return Response.redirect(back.href);
    },
    "/token": async (_, request) => tokens(String((await request.formData()).get("code"))),
    "/userinfo": () => (rogue.plan.userInfo ?? same)(claimsFor(undefined)),
  };

  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const url = new URL(request.url);
      requests.push(`${request.method} ${url.pathname}`);
      const answer = await routes[url.pathname]?.(url, request);
      return answer instanceof Response
        ? answer
        : Response.json(answer ?? null, { status: answer ? 200 : 404 });
    },
  });
  return rogue;
}

/** The service, set up with a provider that is honest unless `plan` says otherwise. */
export async function startWithRogue({
  timeoutMs = 5_000,
  plan = {},
}: {
  timeoutMs?: number;
  plan?: RoguePlan;
} = {}) {
  const stack = new AsyncDisposableStack();
  const rogue = stack.use(await startRogue());
  rogue.plan = plan;
  const app = stack.use(await startOidcApp({ timeoutMs }));
  const { issuer, clientId, clientSecret } = rogue;
  await app.configure({ issuer, client_id: clientId, client_secret: clientSecret });
  return { app, rogue, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
