import * as client from "openid-client";
import type { Principal } from "../auth/principal.ts";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import { NotFoundError, ValidateError } from "../errors/app-error.ts";
import { OidcError } from "../errors/oidc-error.ts";
import type { Uuid } from "../id.ts";
import type { Log } from "../log.ts";
import { findOidc, insertOidc, type Oidc } from "../sql/oidc.ts";
import type { AuditService } from "./audit.ts";
import { type IdentityAccounts, identityOf, wantsUserInfo } from "./oidc-identity.ts";
import { createProviders, type Fetch } from "./oidc-provider.ts";
import { applyChange, isSameIssuer, masked, type OidcChange, type OidcSettings } from "./oidc-settings.ts";
import { createTransactions, type Sealer } from "./oidc-state.ts";

export type { MappedRole } from "../sql/oidc.ts";
export type { IdentityAccounts } from "./oidc-identity.ts";
export type { OidcChange, OidcSettings } from "./oidc-settings.ts";
export type { Sealer } from "./oidc-state.ts";

/** Longest wait for any one answer of the provider, in milliseconds. */
const timeoutMsDefault = 5_000;
const secretContext = "oidc.client_secret";

export interface OidcServiceOptions {
  sql: Sql;
  keyring: Sealer;
  accounts: IdentityAccounts;
  audit: Pick<AuditService, "record">;
  /** What people's browsers see, such as `https://llmops.example.com`. */
  publicUrl: string;
  clock: Clock;
  log: Log;
  fetch?: Fetch;
  timeoutMs?: number;
}

/** A login that has begun: where to send the browser, and the cookie that it must bring back. */
export interface OidcStart {
  redirectTo: string;
  /** A `Set-Cookie` header. */
  cookie: string;
}

/** A login that has succeeded: whose, and where the browser wanted to go. */
export interface OidcLogin {
  accountId: Uuid;
  /** A path on this service. */
  returnTo: string;
}

/** Login with an OpenID provider: its settings, and the authorization code flow with PKCE. */
export type OidcService = ReturnType<typeof createOidcService>;

const discoveryProblem = (error: unknown): ValidateError => {
  const unreachable = error instanceof OidcError && error.reason === "unreachable";
  const key = unreachable ? "oidc.discovery_unreachable" : "oidc.discovery_invalid";
  return new ValidateError({ issuer: [{ key }] }, { cause: error instanceof Error ? error.cause : error });
};

/** Creates the service over a pool. */
export function createOidcService({
  sql,
  keyring,
  accounts,
  audit,
  publicUrl,
  clock,
  log,
  fetch = globalThis.fetch,
  timeoutMs = timeoutMsDefault,
}: OidcServiceOptions) {
  const redirectUri = new URL(`${publicUrl.replace(/\/+$/, "")}/auth/oidc/callback`).href;
  const transactions = createTransactions({ keyring, clock, origin: new URL(publicUrl).origin });
  const providers = createProviders({ fetch, clock, timeoutMs });

  const accessOf = ({ issuer, client_id, client_secret_sealed: sealed }: Oidc) => ({
    issuer,
    clientId: client_id,
    clientSecret: sealed === null ? undefined : keyring.open(sealed, secretContext),
  });

  /** With the sealed secret, of which the log says only whether it was replaced. */
  const recorded = (settings: Oidc) => ({
    ...masked(settings, redirectUri),
    client_secret: settings.client_secret_sealed,
  });

  /** The settings, if people may log in with them. */
  async function inUse(): Promise<Oidc> {
    const settings = await findOidc(sql);
    if (!settings?.enabled) throw new NotFoundError("oidc.not_configured");
    return settings;
  }

  return {
    /** The settings, without the secret. @throws {NotFoundError} none yet; its data say what to register. */
    async settings(): Promise<OidcSettings> {
      const settings = await findOidc(sql);
      if (!settings) throw new NotFoundError("oidc.not_configured", { data: { redirect_uri: redirectUri } });
      return masked(settings, redirectUri);
    },

    /**
     * Changes the given settings and no others. The provider is asked who it is, unless it stays the same and nobody
     * may log in with it.
     * @throws {ValidateError} a field is wrong, or the issuer is no OpenID provider that can be reached.
     */
    async configure(principal: Principal, change: OidcChange): Promise<OidcSettings> {
      const known = await findOidc(sql);
      const wanted = applyChange(known, change);
      let { issuer } = wanted;
      if (wanted.enabled || !known || !isSameIssuer(known.issuer, issuer)) {
        const access = {
          issuer,
          clientId: wanted.client_id,
          clientSecret: change.client_secret || undefined,
        };
        const config = await providers.discover(access).catch((error: unknown) => {
          throw discoveryProblem(error);
        });
        issuer = config.serverMetadata().issuer;
      }
      return sql.begin(async (tx) => {
        const before = await findOidc(tx, { lock: true });
        const now = clock.now();
        const after: Oidc = {
          ...applyChange(before, { ...change, issuer }),
          client_secret_sealed: change.client_secret
            ? keyring.seal(change.client_secret, secretContext)
            : (before?.client_secret_sealed ?? null),
          created_at: before?.created_at ?? now,
          updated_at: now,
        };
        await insertOidc(tx, after);
        await audit.record(tx, {
          actor: principal.actor,
          action: "oidc.update",
          subjectKind: "oidc",
          subjectId: null,
          before: before ? recorded(before) : null,
          after: recorded(after),
        });
        return masked(after, redirectUri);
      });
    },

    /**
     * Begins a login; the browser comes back to `returnTo`, or to `/` where that is not a path on this service.
     * @throws {NotFoundError} there is no provider. @throws {OidcError} it cannot be reached.
     */
    async start(returnTo?: string): Promise<OidcStart> {
      const settings = await inUse();
      const config = await providers.find(accessOf(settings));
      const { issuer, client_id: clientId, scopes } = settings;
      const { transaction, cookie } = transactions.begin({ issuer, clientId, returnTo });
      const url = client.buildAuthorizationUrl(config, {
        redirect_uri: redirectUri,
        scope: scopes,
        state: transaction.state,
        nonce: transaction.nonce,
        code_challenge: await client.calculatePKCECodeChallenge(transaction.codeVerifier),
        code_challenge_method: "S256",
      });
      return { redirectTo: url.href, cookie };
    },

    /**
     * Ends a login: `url` is the request's, `cookie` what the browser brought back. Nothing is asked of the provider
     * before the browser has shown that it began this login.
     * @throws {OidcError} anything about the answer, the identity or its account. @throws {NotFoundError} no provider.
     */
    async callback(url: string, cookie: string | undefined): Promise<OidcLogin> {
      const answer = new URL(redirectUri);
      answer.search = new URL(url).search;
      const transaction = transactions.end(cookie, answer.searchParams.getAll("state"));
      const settings = await inUse();
      const { issuer } = settings;
      if (issuer !== transaction.issuer || settings.client_id !== transaction.clientId) {
        throw new OidcError("state");
      }
      const config = await providers.find(accessOf(settings));
      const claims = await providers.exchange(config, answer, transaction, wantsUserInfo(settings));
      const result = await accounts.findOrCreateByIdentity(identityOf(claims, issuer, settings));
      if (result.outcome === "disabled") throw new OidcError("account_disabled");
      if (result.outcome === "linked_elsewhere") throw new OidcError("account_linked");
      const { outcome, accountId } = result;
      log.info("login with the OpenID provider", { account_id: accountId, outcome });
      return { accountId, returnTo: transaction.returnTo };
    },
  };
}
