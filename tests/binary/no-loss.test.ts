import { expect, test } from "bun:test";
import { join } from "node:path";
import { createDatabase, type TestDatabase } from "../harness/database.ts";
import { until } from "../harness/people.ts";
import { createProgram } from "../harness/program.ts";
import { type Provider, startProvider } from "../harness/provider.ts";
import { startTcpProxy } from "../harness/tcp-proxy.ts";

const listens = /listens on (http\S+)/;

/** A key for an app whose model is `gpt`, made by the commands of the program itself. */
async function makeKey(
  it: ReturnType<typeof createProgram>,
  database: TestDatabase,
  environment: Record<string, string>,
) {
  const { sql } = database;
  const id = crypto.randomUUID();
  await sql`
    insert into app (id, account_id, name, config, created_at, updated_at)
    values (${id}, ${id}, 'app', ${sql.json({ model: "gpt" })}, now(), now())`;
  const { stdout } = await it.run(["key", "create", "--app", id], environment);
  return stdout.trim();
}

/** Ids that the provider saw, and the statuses on record by the same ids. */
async function compare({ sql }: TestDatabase, provider: Provider) {
  const seen = provider.calls.map(({ body }) => String(body.user));
  const rows = await sql<{ end_user: string; status: string; count: number }[]>`
    select end_user, min(status) as status, count(*)::int as count from request group by end_user`;
  const recorded = new Map(rows.map(({ end_user, ...row }) => [end_user, row]));
  return {
    seen,
    missing: seen.filter((id) => !recorded.has(id)),
    doubled: rows.filter(({ count }) => count > 1).map(({ end_user }) => end_user),
    unseen: rows.filter(({ end_user }) => !seen.includes(end_user)).map(({ status }) => status),
    sums: rows.length,
  };
}

const concurrency = 8;

/** Starts a service on one folder, as often as it is killed. */
async function start(options: { database: TestDatabase; url?: string }) {
  const provider = await startProvider();
  const program = createProgram();
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  const environment = {
    DATABASE_URL: options.url ?? options.database.url,
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
  const service = await serve();
  const key = await makeKey(program, options.database, {
    ...environment,
    DATABASE_URL: options.database.url,
  });
  const command = [process.execPath, join(import.meta.dir, "../harness/caller.ts")];
  const caller = Bun.spawn([...command, `http://127.0.0.1:${port}`, key, String(concurrency)], {
    stdout: "ignore",
    stderr: "inherit",
  });
  return {
    provider,
    service,
    serve,
    caller,
    async [Symbol.asyncDispose]() {
      caller.kill("SIGKILL");
      await caller.exited;
      program[Symbol.dispose]();
      await provider[Symbol.asyncDispose]();
    },
  };
}

const after = (it: { provider: Provider }, calls: number) => {
  const from = it.provider.calls.length;
  return until(() => it.provider.calls.length >= from + calls, 30_000);
};

/** Waits until the journals are empty: as many records as there will be. */
const settled = async ({ sql }: TestDatabase, provider: Provider) => {
  await until(async () => {
    const [row] = await sql<{ calls: number }[]>`select count(distinct end_user)::int as calls from request`;
    return (row?.calls ?? 0) >= new Set(provider.calls.map(({ body }) => body.user)).size;
  }, 20_000);
};

test("loses no call and records none twice over kills under load", async () => {
  await using database = await createDatabase();
  await using it = await start({ database });
  const kills = 2;
  let { service } = it;
  for (let kill = 0; kill < kills; kill++) {
    await after(it, 300);
    service.signal("SIGKILL");
    await service.finished;
    service = await it.serve();
  }
  await after(it, 100);
  it.caller.kill("SIGTERM");
  await it.caller.exited;
  service.signal("SIGTERM");
  await service.finished;
  // What the killed processes left is brought in by the next start.
  service = await it.serve();
  await settled(database, it.provider);
  const { seen, missing, doubled, unseen } = await compare(database, it.provider);
  expect(seen.length).toBeGreaterThan(700);
  expect({ missing, doubled }).toEqual({ missing: [], doubled: [] });
  // An attempt is written down before it is made: at a kill, the last thing that was.
  expect(unseen.filter((status) => status !== "interrupted")).toEqual([]);
  expect(unseen.length).toBeLessThanOrEqual(concurrency * kills);
  // The sums tell of as many calls as the records, each once.
  const [sums] = await database.sql`
    select (select sum(calls)::int from usage where grain = 'hour' and cut = 'service') as summed,
      (select count(*)::int from request) as recorded`;
  expect(sums?.summed).toBe(sums?.recorded);
}, 120_000);

test("loses no call and records none twice while the database is away", async () => {
  await using database = await createDatabase();
  await using proxy = await startTcpProxy(database.url);
  await using it = await start({ database, url: proxy.url });
  await after(it, 100);
  proxy.cut();
  const cutAt = performance.now();
  await after(it, 300);
  await until(() => performance.now() - cutAt > 3000);
  proxy.restore();
  await after(it, 300);
  it.caller.kill("SIGTERM");
  await it.caller.exited;
  await settled(database, it.provider);
  const { missing, doubled, unseen } = await compare(database, it.provider);
  expect({ missing, doubled, unseen }).toEqual({ missing: [], doubled: [], unseen: [] });
}, 120_000);
