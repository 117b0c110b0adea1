import { join } from "node:path";
import type { TestDatabase } from "./database.ts";
import { until } from "./people.ts";
import { drawPort } from "./port.ts";
import { createProgram } from "./program.ts";
import { type Provider, startProvider } from "./provider.ts";

/** What is on record beside what the provider saw; each call by an id that both know. */
export interface Balance {
  /** Calls that the provider saw. */
  seen: number;
  /** Calls on record, and what the sums tell of. */
  recorded: number;
  summed: number;
  /** Ids of calls that the provider saw and that are not on record. */
  missing: string[];
  /** Ids that are on record more than once. */
  doubled: string[];
  /** Statuses of records of calls that the provider never saw. */
  unseen: string[];
}

/** A service under load in front of a provider that keeps its own ledger. */
export interface LoadedService extends AsyncDisposable {
  readonly provider: Provider;
  /** Resolves when the provider has seen so many calls more. */
  after(calls: number): Promise<void>;
  /** Ends the service with SIGKILL, and starts it again on the same folder. */
  kill(): Promise<void>;
  /**
   * Ends the load, and then the service in good order; another start brings in what killed ones have left. Resolves when all
   * that is going to be on record is, or after `limitMs`, whatever is missing then.
   */
  finish(options?: { limitMs?: number }): Promise<Balance>;
}

export interface LoadOptions {
  database: TestDatabase;
  /** The way to the database where it is not the direct one. */
  url?: string;
  /** Calls at once. */
  concurrency: number;
  /** The program; without it, it is run from its sources. */
  command?: readonly string[];
}

const listens = /listens on (http\S+)/;

/** A key for an app whose model is `gpt`, made by the commands of the program itself. */
async function makeKey(
  program: ReturnType<typeof createProgram>,
  { sql }: TestDatabase,
  environment: Record<string, string>,
): Promise<string> {
  const id = crypto.randomUUID();
  await sql`
    insert into app (id, account_id, name, config, created_at, updated_at)
    values (${id}, ${id}, 'app', ${sql.json({ model: "gpt" })}, now(), now())`;
  const { stdout } = await program.run(["key", "create", "--app", id], environment);
  return stdout.trim();
}

const idsOf = (provider: Provider) => new Set(provider.calls.map(({ body }) => String(body.user)));

async function balanceOf({ sql }: TestDatabase, provider: Provider): Promise<Balance> {
  const seen = idsOf(provider);
  const rows = await sql<{ end_user: string; status: string; count: number }[]>`
    select end_user, min(status) as status, count(*)::int as count from request group by end_user`;
  const recorded = new Set(rows.map(({ end_user }) => end_user));
  // Each call counts once in the sums of its hour, whichever key or model they are told by.
  const [sums] = await sql<{ summed: number; recorded: number }[]>`
    select (select coalesce(sum(calls), 0)::int from usage where grain = 'hour' and cut = 'service') as summed,
      (select count(*)::int from request) as recorded`;
  return {
    seen: seen.size,
    recorded: sums?.recorded ?? 0,
    summed: sums?.summed ?? 0,
    missing: [...seen].filter((id) => !recorded.has(id)),
    doubled: rows.filter(({ count }) => count > 1).map(({ end_user }) => end_user),
    unseen: rows.filter(({ end_user }) => !seen.has(end_user)).map(({ status }) => status),
  };
}

/** Starts it, and a process that calls it without a pause. */
export async function startLoadedService({
  database,
  url = database.url,
  concurrency,
  command,
}: LoadOptions): Promise<LoadedService> {
  await using building = new AsyncDisposableStack();
  const provider = building.use(await startProvider());
  const program = building.use(createProgram(command && { command }));
  const port = drawPort();
  const environment = {
    DATABASE_URL: url,
    LLMOPS_SECRET_KEY: "a secret of the tests, 32 bytes long or more",
    OPEN_API_BASE: provider.baseUrl,
    OPEN_API_KEY: "sk-x",
    OPEN_API_MODEL: "gpt",
    LOG_LEVEL: "info",
  };
  const serve = async () => {
    const running = program.start(["serve", "--port", String(port)], environment);
    await running.said(listens);
    return running;
  };
  let service = await serve();
  const key = await makeKey(program, database, { ...environment, DATABASE_URL: database.url });
  const caller = Bun.spawn(
    [
      process.execPath,
      join(import.meta.dir, "caller.ts"),
      `http://127.0.0.1:${port}`,
      key,
      String(concurrency),
    ],
    { stdout: "ignore", stderr: "inherit" },
  );
  building.defer(async () => {
    caller.kill("SIGKILL");
    await caller.exited;
  });

  const settled = async (limitMs: number) => {
    const { sql } = database;
    const seen = idsOf(provider).size;
    await until(async () => {
      const [row] = await sql<
        { calls: number }[]
      >`select count(distinct end_user)::int as calls from request`;
      return (row?.calls ?? 0) >= seen;
    }, limitMs).catch(() => undefined);
  };

  const moved = building.move();
  return {
    provider,
    async after(calls) {
      const from = provider.calls.length;
      await until(() => provider.calls.length >= from + calls, 60_000);
    },
    async kill() {
      service.signal("SIGKILL");
      await service.finished;
      service = await serve();
    },
    async finish({ limitMs = 20_000 } = {}) {
      caller.kill("SIGTERM");
      await caller.exited;
      service.signal("SIGTERM");
      await service.finished;
      service = await serve();
      await settled(limitMs);
      // What it has not written yet it writes before it ends.
      service.signal("SIGTERM");
      await service.finished;
      return balanceOf(database, provider);
    },
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  };
}
