import { readdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { openDatabase } from "../database/database.ts";
import { createMigrations, type Migration } from "../database/migrations.ts";
import { createPool, type Sql } from "../database/pool.ts";
import { AppError } from "../errors/app-error.ts";
import { StartupError } from "../errors/startup.ts";
import { t } from "../i18n/messages.ts";
import type { Log } from "../log.ts";
import { rejectedName } from "../metering/journal.ts";
import { listModels } from "../providers/models.ts";
import { openaiDialect } from "../providers/openai-dialect.ts";
import { createTransport } from "../providers/transport.ts";
import { toDefaultTarget } from "../services/registry.ts";
import { listHeldLease } from "../sql/lease.ts";
import { listLedgerFault } from "../sql/ledger.ts";
import { countUnpartitioned } from "../sql/partition.ts";
import { type Command, dataDirFlag } from "./command.ts";

/** One look at one thing. `warn` is worth knowing and no failure; a `fail` says how to mend it. */
interface Finding {
  state: "ok" | "warn" | "fail";
  subject: string;
  text: string;
}

const found =
  (state: Finding["state"]) =>
  (subject: string, text: string): Finding => ({ state, subject, text });
const ok = found("ok");
const warn = found("warn");
const fail = found("fail");

/** Least free space of the data folder, in bytes; below it the database may stop in the middle of work. */
const freeBytesMin = 500 * 1024 * 1024;
/** Clocks that differ by more put records in the wrong order, in milliseconds. */
const clockSkewMsMax = 2000;

const reasonOf = (error: unknown): string =>
  error instanceof AppError
    ? t("en", error.key, error.params)
    : error instanceof Error
      ? error.message
      : String(error);

async function checkDatabase(config: Config, log: Log): Promise<Finding[]> {
  try {
    await using database = await openDatabase(config, { role: "attach", log });
    const { known, unknown } = await createMigrations({ url: database.url, log }).list();
    const sql = createPool(database.url, { size: 1, arrays: false });
    const [row] = await sql<{ version: string; now: Date }[]>`
      select current_setting('server_version') as version, clock_timestamp() as now`;
    const current = known.every(({ appliedAt }) => appliedAt !== null);
    const stray = current ? await countUnpartitioned(sql) : 0;
    const budgets = current ? await checkBudgets(sql) : [];
    await sql.end({ timeout: 1 });
    return [
      ok("database", `PostgreSQL ${row?.version}${database.embedded ? ", embedded" : ""}`),
      checkMigrations(known, unknown),
      ...(current ? [checkPartitions(stray)] : []),
      ...budgets,
      checkClock(row?.now ?? new Date(0)),
    ];
  } catch (error) {
    return [fail("database", reasonOf(error))];
  }
}

/** Whether budgets add up, and what of them nobody can tell. */
async function checkBudgets(sql: Sql): Promise<Finding[]> {
  const faults = await listLedgerFault(sql);
  const unknown = await listHeldLease(sql, { unknown: true });
  return [
    faults.length === 0
      ? ok("ledger", "sums up to what was spent, and to what the calls on record cost")
      : fail(
          "ledger",
          `${faults.map(({ budget, what, ledger, other }) => `budget ${JSON.stringify(budget)}: ${ledger} booked, ${other} by its ${what}`).join("; ")}; somebody has changed the tables by hand, or this is a bug worth a report`,
        ),
    ...unknown.map(({ holder_id, name, expires_at, amount, currency, budget }) =>
      warn(
        "budget",
        `${amount} ${currency} of ${JSON.stringify(budget)} are held by a process that is gone (${name ?? "?"}, last heard of ${expires_at?.toISOString() ?? "long ago"}); start llmops on its data folder, or, if that is lost, run 'llmops lease settle ${holder_id}'`,
      ),
    ),
  ];
}

function checkPartitions(stray: number): Finding {
  if (stray === 0) return ok("partitions", "every record is in the partition of its day");
  return warn(
    "partitions",
    `${stray} records are in no day's partition; a running service makes the partitions of the days around today and moves them`,
  );
}

/** What the database would not take lies beside the journals. */
async function checkJournal({ dataDir }: Config): Promise<Finding> {
  const names = await readdir(join(dataDir, "journal"), { recursive: true }).catch(() => []);
  const rejected = names.filter((name) => name.endsWith(rejectedName));
  if (rejected.length === 0) return ok("journal", "no record was refused");
  return warn(
    "journal",
    `records that the database refused are in ${join(dataDir, "journal", rejected[0] ?? "")}; look at them, then delete the file`,
  );
}

function checkMigrations(known: Migration[], [newer]: Migration[]): Finding {
  const pending = known.filter(({ appliedAt }) => appliedAt === null).length;
  if (newer)
    return fail("migrations", `the schema is newer than this program (${newer.name}); use the newer llmops`);
  if (pending > 0)
    return fail("migrations", `${pending} pending; run 'llmops migrate up', or 'llmops serve', which does`);
  return ok("migrations", `${known.length} applied`);
}

function checkClock(now: Date): Finding {
  const skewMs = Math.abs(now.getTime() - Date.now());
  if (skewMs <= clockSkewMsMax) return ok("clock", "agrees with the database's");
  return fail(
    "clock",
    `is ${Math.round(skewMs / 1000)} s off the database's; set up time synchronisation on both`,
  );
}

async function checkDisk({ dataDir, database }: Config): Promise<Finding[]> {
  if (database.url !== undefined) return [];
  const { bavail, bsize } = await statfs(dataDir).catch(() => statfs("."));
  const free = bavail * bsize;
  const text = `${Math.floor(free / 1024 / 1024)} MiB free for the data folder`;
  if (free >= freeBytesMin) return [ok("disk", text)];
  return [fail("disk", `${text}; at least 500 MiB are needed: free some, or move LLMOPS_DATA_DIR`)];
}

async function checkProvider(config: Config): Promise<Finding[]> {
  const { apiKey, baseUrl, models } = config.provider;
  if (apiKey === undefined)
    return [warn("provider", "OPEN_API_KEY is not set; only the model 'echo' will answer")];
  try {
    const provider = toDefaultTarget(config.provider);
    using transport = createTransport();
    const available = await listModels(transport, openaiDialect, provider, AbortSignal.timeout(15_000));
    const taken = ok(
      "provider",
      `${baseUrl} takes the key; it may use: ${available.join(", ") || "no model"}`,
    );
    return [taken, checkModels(models, available)];
  } catch (error) {
    return [fail("provider", reasonOf(error))];
  }
}

function checkModels(models: readonly string[], available: readonly string[]): Finding {
  const usable = models.filter((model) => available.includes(model));
  const missing = models.filter((model) => !available.includes(model)).join(", ");
  if (usable.length === 0)
    return fail("model", `this key may use none of OPEN_API_MODEL (${missing}); set it to one it may`);
  if (missing) return warn("model", `${usable[0]} will be used; not there: ${missing}`);
  return ok("model", usable.join(", "));
}

/** Whether the service that runs with these settings takes calls; the container's health check. */
async function checkServing({ host, port }: Config): Promise<Finding> {
  const anyAddress =
    { "0.0.0.0": "127.0.0.1", "::": "[::1]" }[host] ?? (host.includes(":") ? `[${host}]` : host);
  const url = `http://${anyAddress}:${port}/readyz`;
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(3000) });
    if (response.ok) return ok("serving", `${url} is ready`);
    return fail("serving", `${url} is not ready: ${await response.text()}`);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : reasonOf(error);
    return fail("serving", `${url} does not answer (${code}); start 'llmops serve'`);
  }
}

/** `llmops doctor`: every check, each failure with its fix; exit code 1 if one failed. */
export const doctorCommand: Command = {
  name: "doctor",
  summary: "check settings, database, migrations, clock, disk, provider key and default model",
  flags: {
    ...dataDirFlag,
    serving: { type: "boolean", help: "check only that the service on HOST and PORT takes calls" },
  },
  async run({ config: read, flags, log, stdout }) {
    const findings: Finding[] = [];
    const report = (finding: Finding) => {
      findings.push(finding);
      stdout(`${finding.state.padEnd(4)}  ${finding.subject.padEnd(10)}  ${finding.text}\n`);
    };
    const failed = () => (findings.some(({ state }) => state === "fail") ? 1 : 0);
    let config: Config;
    try {
      config = read();
    } catch (error) {
      if (!(error instanceof StartupError)) throw error;
      report(fail("settings", error.message));
      return failed();
    }
    if (flags.serving) {
      report(await checkServing(config));
      return failed();
    }
    report(ok("settings", `${config.environment}; 'llmops config' lists them`));
    for (const check of [
      () => checkDatabase(config, log()),
      () => checkDisk(config),
      async () => [await checkJournal(config)],
      () => checkProvider(config),
    ]) {
      for (const finding of await check()) report(finding);
    }
    return failed();
  },
};
