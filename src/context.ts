import type { App } from "./app.ts";
import { type AppNeeds, createApp } from "./app.ts";
import { admitLoopback, admitPublic } from "./auth/admission.ts";
import { systemClock } from "./clock.ts";
import type { Config } from "./config/config.ts";
import { openDatabase } from "./database/database.ts";
import { watchDatabase } from "./database/health.ts";
import { createMigrations } from "./database/migrations.ts";
import { createPool, createRenewablePool } from "./database/pool.ts";
import { createDrain, type Drain } from "./drain.ts";
import { createCompletionGateway } from "./gateway/completion.ts";
import type { Log } from "./log.ts";
import { createEchoProvider, echoModel } from "./providers/echo.ts";
import { createOpenAiProvider } from "./providers/openai.ts";
import { createAppService } from "./services/app.ts";
import { createCompletionService } from "./services/completion.ts";
import { createHealthService } from "./services/health.ts";
import { findInstallation } from "./sql/installation.ts";

/** Everything a serving process is made of; disposing of it closes all in reverse. */
export interface Context extends AsyncDisposable {
  readonly app: App;
  readonly drain: Drain;
  /** The default model is `echo`: development without a key. */
  readonly echoes: boolean;
}

/**
 * Builds the whole system from its settings: the database (started, migrated, watched), then services, then the
 * app. The only place that wires.
 * @throws {StartupError} the database cannot be had, or its schema is not this program's.
 */
export async function createContext(config: Config, log: Log): Promise<Context> {
  await using building = new AsyncDisposableStack();
  const clock = systemClock;

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

  const drain = createDrain();
  const { apiKey, baseUrl, models, timeouts, proxied } = config.provider;
  const echoes = config.environment === "development" && apiKey === undefined;
  const gateway = createCompletionGateway({
    provider: createOpenAiProvider({ name: "default", baseUrl, apiKey, timeouts, proxied, log }),
    echo: createEchoProvider(),
    models,
    log,
    clock: () => performance.now(),
  });

  const needs: AppNeeds = {
    apps: health.guard(createAppService({ sql, clock })),
    completions: createCompletionService({
      gateway,
      models,
      defaultModel: echoes ? echoModel : undefined,
    }),
    health: createHealthService({ sql, database: health, drain }),
    admit: config.dev
      ? admitLoopback({ accountId: installation.development_account_id, seesAll: true })
      : admitPublic(),
    drain,
    log,
    debug: config.debug,
  };

  const built = building.move();
  return {
    app: createApp(needs),
    drain,
    echoes,
    [Symbol.asyncDispose]: () => built.disposeAsync(),
  };
}
