import { spyOn } from "bun:test";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair } from "jose";
import Provider, { type Context } from "oidc-provider";

/** Somebody whom the provider knows; anything beside `sub` is a claim. */
export interface Person {
  sub: string;
  email?: string;
  email_verified?: boolean | string;
  name?: string;
  groups?: unknown;
  [claim: string]: unknown;
}

/** A real OpenID provider on 127.0.0.1 and a free port, with one client and nobody to ask for a password. */
export interface OidcTestProvider extends AsyncDisposable {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Every request so far, as method and path. */
  readonly requests: readonly string[];
  /** Who is at the keyboard for all logins from now on; `undefined` denies. */
  person: Person | undefined;
}

export interface OidcTestProviderOptions {
  /** The one redirect URI that is registered. */
  redirectUri: string;
  /** Whether claims are in the ID token; otherwise UserInfo alone has them, as the standard has it. */
  inIdToken?: boolean;
  tokenEndpointAuthMethod?: "client_secret_basic" | "client_secret_post";
}

const keys = (async () => {
  const { privateKey } = await generateKeyPair("RS256", { extractable: true });
  return { keys: [{ ...(await exportJWK(privateKey)), kid: "test", use: "sig", alg: "RS256" }] };
})();

const scope = "openid email profile groups";

const grantAll = async ({ oidc: { client, session, provider } }: Context) => {
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope(scope);
  await grant.save();
  return grant;
};

/** Starts it. PKCE is required, and every login ends without a page. */
export async function startOidcProvider({
  redirectUri,
  inIdToken = false,
  tokenEndpointAuthMethod = "client_secret_basic",
}: OidcTestProviderOptions): Promise<OidcTestProvider> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const clientId = "llmops";
  const clientSecret = "a client secret that is long enough: 0123456789";
  const people = new Map<string, Person>();
  const requests: string[] = [];
  const result: OidcTestProvider = {
    issuer,
    clientId,
    clientSecret,
    requests,
    person: undefined,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };

  const warnings = spyOn(console, "warn").mockImplementation(() => {}); // not for production: it says so at length
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uris: [redirectUri],
        token_endpoint_auth_method: tokenEndpointAuthMethod,
      },
    ],
    clientAuthMethods: [tokenEndpointAuthMethod],
    jwks: await keys,
    cookies: { keys: ["test"] },
    pkce: { required: () => true },
    scopes: scope.split(" "),
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"], groups: ["groups"] },
    conformIdTokenClaims: !inIdToken,
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_: Context, { uid }: { uid: string }) => `/interaction/${uid}` },
    findAccount: (_: Context, accountId: string) => ({
      accountId,
      claims: () => people.get(accountId) ?? { sub: accountId },
    }),
    loadExistingGrant: grantAll,
    ttl: { AccessToken: 60, AuthorizationCode: 60, Grant: 60, IdToken: 60, Interaction: 60, Session: 60 },
  });
  warnings.mockRestore();
  const handle = provider.callback();

  server.on("request", (request, response) => {
    const path = (request.url ?? "").split("?")[0] ?? "";
    requests.push(`${request.method} ${path}`);
    if (!path.startsWith("/interaction/")) return handle(request, response);
    const { person } = result;
    if (person) people.set(person.sub, person);
    void provider.interactionFinished(
      request,
      response,
      person
        ? { login: { accountId: person.sub } }
        : { error: "access_denied", error_description: "<b>not you</b>" },
    );
  });
  return result;
}
