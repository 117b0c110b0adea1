import { Elysia, ValidationError } from "elysia";
import { createPasswords } from "../../src/auth/password.ts";
import type { Principal } from "../../src/auth/principal.ts";
import type { Clock } from "../../src/clock.ts";
import type { Sql } from "../../src/database/pool.ts";
import { AppError } from "../../src/errors/app-error.ts";
import { type Envelope, envelopeResponse, errorEnvelope } from "../../src/errors/envelope.ts";
import { newId, type Uuid } from "../../src/id.ts";
import { type Keyring, openKeyring } from "../../src/keyring/keyring.ts";
import { silentLog } from "../../src/log.ts";
import { oidcRoutes } from "../../src/routes/oidc.ts";
import { toValidateError } from "../../src/routes/problems.ts";
import { openScope } from "../../src/routes/scope.ts";
import { type AccountService, createAccountService } from "../../src/services/account.ts";
import { createAuditService } from "../../src/services/audit.ts";
import { createOidcService, type OidcChange, type OidcService } from "../../src/services/oidc.ts";
import { type Account, insertAccount } from "../../src/sql/account.ts";
import { type Audit, listAuditChain } from "../../src/sql/audit.ts";
import { type Browser, openBrowser } from "./browser.ts";
import { createDatabase } from "./database.ts";

/** The service as browsers see it in these tests. */
export const publicUrl = "http://localhost:5000";
export const redirectUri = `${publicUrl}/auth/oidc/callback`;

/** The login routes over a database of their own, with a browser in front of them. */
export interface OidcTestApp extends AsyncDisposable {
  sql: Sql;
  keyring: Keyring;
  accounts: AccountService;
  oidc: OidcService;
  /** Every error that was rendered, the private part included. */
  errors: AppError[];
  /** The audit log, oldest first. */
  audited: () => Promise<Audit[]>;
  fetch: (request: Request) => Promise<Response>;
  browser: () => Browser;
  configure: (change: OidcChange) => Promise<unknown>;
  /** Makes an account that was there before. */
  addAccount: (fields: Partial<Account> & { email: string }) => Promise<Uuid>;
  listAccounts: () => Promise<Pick<Account, "email" | "name" | "role">[]>;
  /** Logs in from `browser`; resolves with the page and the account that was signed in. */
  logIn: (
    browser: Browser,
    returnTo?: string,
  ) => Promise<{ account: string | undefined; status: number; text: string; url: URL }>;
}

/** Starts it; `now` is a clock that a test may turn. */
export async function startOidcApp({
  now = () => new Date(),
  timeoutMs = 5_000,
}: {
  now?: () => Date;
  timeoutMs?: number;
} = {}): Promise<OidcTestApp> {
  const database = await createDatabase();
  const { sql } = database;
  const clock: Clock = { now };
  const errors: AppError[] = [];
  const log = silentLog;
  const owner: Principal = {
    accountId: newId(),
    role: "owner",
    seesAll: true,
    sessionId: undefined,
    actor: { kind: "development" },
  };
  const secret = { key: "a secret for tests, of more than 32 bytes", previous: undefined, dataDir: "" };
  const keyring = await openKeyring({ sql, secret, clock, log });
  const audit = createAuditService({ sql, clock, keyring });
  const hash = (text: string) => keyring.hash(text, "setup_token");
  const accounts = createAccountService({ sql, clock, passwords: createPasswords(), hash, audit });
  const oidc = createOidcService({ sql, keyring, accounts, audit, publicUrl, clock, log, timeoutMs });

  const render = (error: unknown): Envelope => {
    if (error instanceof AppError) errors.push(error);
    return errorEnvelope(error, { locale: "en", requestId: "test", debug: false });
  };
  const routes = new Elysia({ normalize: false })
    .onParse(({ request }) => request.json())
    .mapResponse(({ responseValue }) =>
      responseValue instanceof Response ? responseValue : envelopeResponse(responseValue as Envelope),
    )
    .onError(({ error, set }) => {
      set.status = 200;
      return envelopeResponse(render(error instanceof ValidationError ? toValidateError(error) : error));
    })
    .use(
      oidcRoutes({
        oidc,
        signIn: async (accountId) => ({
          cookies: [`llmops_access=${accountId}; Path=/; HttpOnly`, "llmops_refresh=x; Path=/auth; HttpOnly"],
        }),
        renderError: render,
      }),
    )
    .get("/*", () => new Response("a page of the service"));
  const fetch = async (request: Request) => {
    openScope(request, { requestId: "test", locale: "en", caller: owner, untimed: () => {} } as never);
    return routes.fetch(request);
  };

  return {
    sql,
    keyring,
    accounts,
    oidc,
    errors,
    audited: () => listAuditChain(sql, { after: 0, limit: 100 }),
    fetch,
    browser: () => openBrowser({ [publicUrl]: fetch }),
    configure: (change) => oidc.configure(owner, change),
    async addAccount(fields) {
      const id = newId();
      const at = now();
      const rest = { name: "", role: "viewer", status: "", password_hash: "x" } as const;
      await insertAccount(sql, { id, ...rest, created_at: at, updated_at: at, ...fields });
      return id;
    },
    listAccounts: async () => sql`select email, name, role from account order by id`,
    async logIn(browser, returnTo) {
      const query = returnTo === undefined ? "" : `?return_to=${encodeURIComponent(returnTo)}`;
      const { url, response } = await browser.visit(`${publicUrl}/auth/oidc/start${query}`);
      const account = browser.cookie(publicUrl, "llmops_access")?.value;
      return { account, status: response.status, text: await response.text(), url };
    },
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}
