import { hostname } from "node:os";
import { join } from "node:path";
import { addressRanges, httpUrl } from "./address.ts";
import type { App } from "./app.ts";
import { type AppNeeds, createApp } from "./app.ts";
import { watchAccess } from "./auth/access-cache.ts";
import { type AdmissionOptions, admitKnown, admitLoopback, type KnownKey } from "./auth/admission.ts";
import { cookieJar } from "./auth/cookies.ts";
import { collectKeyUses } from "./auth/key-uses.ts";
import { createPasswords } from "./auth/password.ts";
import { createAccessTokens } from "./auth/token.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { Config } from "./config/config.ts";
import { openDatabase } from "./database/database.ts";
import { makeDataDir } from "./database/embedded-place.ts";
import { watchDatabase } from "./database/health.ts";
import { createMigrations } from "./database/migrations.ts";
import { createPool, createRenewablePool } from "./database/pool.ts";
import { createDrain, type Drain } from "./drain.ts";
import { every } from "./every.ts";
import { dialectOf } from "./gateway/ask.ts";
import { createMemoryCache } from "./gateway/cache.ts";
import { createRedisCache } from "./gateway/cache-redis.ts";
import { createGateway } from "./gateway/call.ts";
import { createChooser } from "./gateway/choose.ts";
import { cookiesOf } from "./handlers/auth.ts";
import type { Uuid } from "./id.ts";
import { openKeyring } from "./keyring/keyring.ts";
import { openLeases } from "./limits/leases.ts";
import { createLimiter } from "./limits/limiter.ts";
import type { Log } from "./log.ts";
import { openJournal } from "./metering/journal.ts";
import { createRecorder } from "./metering/recorder.ts";
import { replayJournals } from "./metering/replay.ts";
import { echoModel } from "./providers/echo.ts";
import { listModels } from "./providers/models.ts";
import { createTransport } from "./providers/transport.ts";
import { callerOf, scopeOf } from "./routes/scope.ts";
import { createAccountService } from "./services/account.ts";
import { createAppService } from "./services/app.ts";
import { type AppKeyService, createAppKeyService } from "./services/app-key.ts";
import { createAppMemberService } from "./services/app-member.ts";
import { createAuditService } from "./services/audit.ts";
import { createBudgetService } from "./services/budget.ts";
import { createCallService } from "./services/call.ts";
import { createCompletionService } from "./services/completion.ts";
import { createHealthService } from "./services/health.ts";
import { createModelService } from "./services/model.ts";
import { createOidcService } from "./services/oidc.ts";
import { createPartitionService } from "./services/partition.ts";
import { createPriceService } from "./services/price.ts";
import { createProviderService } from "./services/provider.ts";
import { createRateService } from "./services/rate.ts";
import { createRateLimitService } from "./services/rate-limit.ts";
import { createRegistry, toTargetProvider } from "./services/registry.ts";
import { createRequestService } from "./services/request.ts";
import { knownRules } from "./services/rules.ts";
import { createSessionService, type SessionService } from "./services/session.ts";
import { createUsageService } from "./services/usage.ts";
import { findInstallation } from "./sql/installation.ts";
import { deleteIdleLease } from "./sql/lease.ts";

/** Everything a serving process is made of; disposing of it closes all in reverse. */
export interface Context extends AsyncDisposable {
  readonly app: App;
  readonly drain: Drain;
  /** The default model is `echo`: development without a key. */
  readonly echoes: boolean;
  /** Where the first owner is made; `undefined` where there is an account already. */
  readonly setupUrl: string | undefined;
}

/** How often the partitions of the records are looked after, in milliseconds. */
const partitionMs = 600_000;
/** How often the journals of ended processes are looked for, in milliseconds. */
const replayMs = 5000;
/** How long a list of models may take before an error does without it, in milliseconds. */
const listMs = 5000;
/** How often what is of no more use is removed, in milliseconds. */
const pruneMs = 3600_000;

/** What is remembered of a login, and which changes end it. */
const knownSession = (sessions: Pick<SessionService, "find">) => async (id: Uuid) => {
  const session = await sessions.find(id);
  return session && { value: session, subjects: [`session:${id}`, `account:${session.account_id}`] };
};

/** What is remembered of an app key, and which changes end it. */
const knownKey = (keys: Pick<AppKeyService, "findUsable">) => async (publicId: string) => {
  const key = await keys.findUsable(publicId);
  if (!key) return undefined;
  const value: KnownKey = {
    principal: {
      keyId: key.id,
      appId: key.app_id,
      accountId: key.account_id,
      models: key.models,
      app: { config: key.config, version: key.version },
    },
    secretHash: key.secret_hash,
    expiresAt: key.expires_at,
    ranges: key.address_ranges.length > 0 ? addressRanges(key.address_ranges) : undefined,
  };
  return { value, subjects: [`key:${key.id}`, `app:${key.app_id}`] };
};

/**
 * Builds the whole system from its settings: the database (started, migrated, watched), then services, then the
 * app. The only place that wires.
 * @throws {StartupError} the database cannot be had, or its schema is not this program's.
 */
export async function createContext(
  config: Config,
  log: Log,
  { clock = systemClock }: { clock?: Clock } = {},
): Promise<Context> {
  await using building = new AsyncDisposableStack();

  const database = building.use(await openDatabase(config, { role: "serve", log }));
  await createMigrations({ url: database.url, log }).up();
  const pool = createRenewablePool(() =>
    createPool(database.url, {
      size: config.database.poolSize,
      recycleMs: config.database.poolRecycleMs,
      echo: config.database.echo ? log : undefined,
    }),
  );
  building.defer(() => pool.end(5000));
  const { sql } = pool;
  const installation = await findInstallation(sql);
  if (!installation) throw new Error("the installation's row is missing");
  const probe = createRenewablePool(() => createPool(database.url, { size: 1, arrays: false }));
  const health = building.use(watchDatabase({ probe, pool, log }));
  const keyring = await openKeyring({
    sql,
    secret: { ...config.secret, dataDir: config.dataDir },
    clock,
    log,
  });
  const origin = config.publicUrl ?? httpUrl(config.host, config.port);

  const audit = createAuditService({ sql, clock, keyring });
  const passwords = createPasswords();
  const tokens = createAccessTokens(keyring.signKey);
  const accounts = createAccountService({
    sql,
    clock,
    passwords,
    hash: (token) => keyring.hash(token, "setup_token"),
    audit,
  });
  const sessions = createSessionService({
    sql,
    clock,
    passwords,
    tokens,
    hash: (token) => keyring.hash(token, "refresh_token"),
    audit,
  });
  const hashKey = (secret: string) => keyring.hash(secret, "app_key");
  const keys = createAppKeyService({ sql, clock, hash: hashKey, audit });
  const oidc = createOidcService({ sql, keyring, accounts, audit, publicUrl: origin, clock, log });
  const cookies = cookieJar({ secure: origin.startsWith("https:") });
  const guarded = {
    accounts: health.guard(accounts),
    keys: health.guard(keys),
    sessions: health.guard(sessions),
  };

  const pruning = setInterval(() => void guarded.sessions.prune().catch(() => {}), pruneMs);
  building.defer(() => clearInterval(pruning));
  const changes = building.use(await watchAccess({ sql, listener: createPool(database.url, { size: 1 }) }));
  const uses = building.use(collectKeyUses(keys.touch));
  const admission: AdmissionOptions = {
    tokens,
    sessions: changes.cache(knownSession(guarded.sessions)),
    keys: changes.cache(knownKey(guarded.keys)),
    hash: hashKey,
    used: uses.note,
    now: clock.now,
    origin,
    csrf: config.csrf,
  };

  const partitions = createPartitionService({ sql, clock, log, retention: config.retention });
  building.use(every(partitionMs, { name: "partitions", log }, partitions.upkeep));
  building.use(every(partitionMs, { name: "leases", log }, () => deleteIdleLease(sql)));
  const root = join(makeDataDir(config.dataDir), "journal");
  building.use(every(replayMs, { name: "replay", log }, () => replayJournals({ sql, root, log })));
  const journal = openJournal({ root, sync: config.journalSync });
  const now = () => performance.now();
  const leases = await openLeases({
    sql,
    guard: health.guard,
    holderId: journal.id,
    name: `${hostname()} ${process.pid}`,
    settled: () => journal.settled,
    unreleased: journal.keep,
    log,
    now,
  });
  const recorder = building.use(
    createRecorder({
      sql,
      journal,
      log,
      guard: health.guard,
      release: async () => leases[Symbol.asyncDispose](),
    }),
  );

  const drain = createDrain();
  const registry = createRegistry({
    sql,
    keyring,
    changes,
    general: config.provider,
    guard: health.guard,
    log,
  });
  await registry.all();
  const transport = building.use(createTransport());
  const cache = building.use(
    config.redisUrl === undefined ? createMemoryCache() : createRedisCache({ url: config.redisUrl, log }),
  );
  const gateway = createGateway({
    recorder,
    transport,
    chooser: createChooser({ now, log }),
    cache,
    now,
    listModels: ({ provider }, signal) =>
      listModels(
        transport,
        dialectOf(provider),
        { ...provider, timeouts: { ...provider.timeouts, totalMs: listMs } },
        signal,
      ),
  });
  const rules = knownRules({ sql, changes, guard: health.guard });
  await rules();
  const limiter = createLimiter({
    rules,
    leases,
    ...config.limits,
    log,
    now,
  });
  const { apiKey, models } = config.provider;
  const echoes = config.environment === "development" && apiKey === undefined;
  const needs: AppNeeds = {
    ...guarded,
    apps: health.guard(createAppService({ sql, clock, audit })),
    members: health.guard(createAppMemberService({ sql, clock, audit })),
    audit: health.guard(audit),
    oidc: health.guard(oidc),
    cookies,
    signIn: async (accountId, request) => {
      const account = await guarded.accounts.get(accountId);
      const opened = await guarded.sessions.open(account, callerOf(scopeOf(request), request));
      return { cookies: cookiesOf(cookies, opened) };
    },
    models: health.guard(createModelService({ sql, clock, audit, builtIn: [...models, echoModel] })),
    prices: health.guard(createPriceService({ sql, clock, audit })),
    providers: health.guard(
      createProviderService({
        sql,
        clock,
        keyring,
        audit,
        ready: (provider) => toTargetProvider(provider, { keyring, general: config.provider, log }),
        listModels: (provider, signal) => listModels(transport, dialectOf(provider), provider, signal),
      }),
    ),
    rateLimits: health.guard(createRateLimitService({ sql, clock, audit })),
    budgets: health.guard(createBudgetService({ sql, clock, audit })),
    rates: health.guard(createRateService({ sql, clock, audit })),
    requests: health.guard(createRequestService({ sql, clock })),
    usage: health.guard(createUsageService({ sql, clock })),
    calls: createCallService({ registry, gateway, limiter, defaults: echoes ? [echoModel] : models }),
    bodyBytesMax: config.bodyBytesMax,
    completions: createCompletionService({
      gateway,
      registry,
      limiter,
      models,
      defaultModel: echoes ? echoModel : undefined,
    }),
    health: createHealthService({ sql, database: health, drain }),
    admit: config.dev ? admitLoopback(installation.development_account_id, admission) : admitKnown(admission),
    trustedProxies: addressRanges(config.trustedProxies),
    drain,
    log,
    debug: config.debug,
  };

  if (config.firstOwner && (await accounts.ensureFirst(config.firstOwner))) {
    log.info("the first owner was made from LLMOPS_ADMIN_EMAIL");
  }
  const setupToken = config.dev ? undefined : await accounts.offerSetup();

  const built = building.move();
  return {
    app: createApp(needs),
    drain,
    echoes,
    setupUrl: setupToken === undefined ? undefined : `${origin}/setup#${setupToken}`,
    [Symbol.asyncDispose]: () => built.disposeAsync(),
  };
}
