import { userInfo } from "node:os";
import type { Actor } from "../auth/principal.ts";
import { systemClock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { openDatabase } from "../database/database.ts";
import { createMigrations } from "../database/migrations.ts";
import { createPool, type Sql } from "../database/pool.ts";
import { AppError } from "../errors/app-error.ts";
import { StartupError } from "../errors/startup.ts";
import { t } from "../i18n/messages.ts";
import { type Keyring, openKeyring } from "../keyring/keyring.ts";
import type { Log } from "../log.ts";
import { type AuditService, createAuditService } from "../services/audit.ts";
import type { Invocation } from "./command.ts";

/** The database of an installation, as a command uses it. */
export interface Attached extends AsyncDisposable {
  sql: Sql;
}

/**
 * Joins the database that the settings name, beside a running service or alone.
 * @throws {StartupError} it cannot be had, or its schema is not this program's.
 */
export async function attach(config: Config, log: Log): Promise<Attached> {
  await using opening = new AsyncDisposableStack();
  const { url } = opening.use(await openDatabase(config, { role: "attach", log }));
  const { known, unknown } = await createMigrations({ url, log }).list();
  if (unknown[0]) {
    throw new StartupError(
      `the schema is newer than this program (${unknown[0].name}); use the newer llmops`,
    );
  }
  if (known.some(({ appliedAt }) => appliedAt === null)) {
    throw new StartupError("migrations are pending; run 'llmops migrate up', or 'llmops serve', which does");
  }
  const sql = createPool(url, { size: 2, echo: config.database.echo ? log : undefined });
  opening.defer(() => sql.end({ timeout: 5 }));
  const opened = opening.move();
  return { sql, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** What a command needs of the services beside the database. */
export interface Installation {
  sql: Sql;
  keyring: Keyring;
  audit: AuditService;
}

/**
 * Runs `work` on the database that the settings name, with its keys open.
 * @throws {StartupError} as {@link attach}, or what a service refused, in one line.
 */
export async function withInstallation<T>(
  { config: read, log: createLog }: Invocation,
  work: (installation: Installation) => Promise<T>,
): Promise<T> {
  const config = read();
  const log = createLog();
  await using attached = await attach(config, log);
  const { sql } = attached;
  const clock = systemClock;
  const keyring = await openKeyring({
    sql,
    secret: { ...config.secret, dataDir: config.dataDir },
    clock,
    log,
  });
  try {
    return await work({ sql, keyring, audit: createAuditService({ sql, clock, keyring }) });
  } catch (error) {
    if (error instanceof AppError) throw new StartupError(t("en", error.key, error.params), { cause: error });
    throw error;
  }
}

/** Whoever runs a command, for the audit log: the system's user, by number where it has no name. */
export function commandActor(): Actor {
  try {
    return { kind: "cli", name: userInfo().username };
  } catch {
    return { kind: "cli", name: `uid ${process.getuid?.() ?? "?"}` };
  }
}
