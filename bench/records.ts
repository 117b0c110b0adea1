/**
 * `bun bench/records.ts [--rows N] [--content N] [--days N] [--runs N] [--only TEXT] [--data FOLDER]`: fills the tables, and reads
 * them through the services as the API does. Prints how long filling took, and the median and the 95th percentile of each question
 * (whose name has the text) beside its limit. With `--data` the database is kept in that folder, and not filled again the next
 * time; one that was filled in part is emptied first.
 */
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { postgresArchive } from "../scripts/postgres.ts";
import type { Principal } from "../src/auth/principal.ts";
import { startEmbedded } from "../src/database/embedded.ts";
import { createMigrations } from "../src/database/migrations.ts";
import { createPool } from "../src/database/pool.ts";
import { nilUuid, type Uuid } from "../src/id.ts";
import { silentLog } from "../src/log.ts";
import { createPartitionService } from "../src/services/partition.ts";
import { createRequestService, type RequestQuery } from "../src/services/request.ts";
import { createUsageService, type UsageQuery } from "../src/services/usage.ts";
import { packUsage } from "../src/services/usage-pack.ts";
import { appId, apps, fill, keyId, models, pick, usersPerApp } from "./records-fill.ts";

const { values } = parseArgs({
  options: {
    rows: { type: "string", default: "10000000" },
    content: { type: "string", default: "1000000" },
    days: { type: "string", default: "30" },
    runs: { type: "string", default: "100" },
    only: { type: "string", default: "" },
    data: { type: "string" },
  },
});
const runs = Number(values.runs);
const folder = values.data ?? (await mkdtemp(join(tmpdir(), "llmops-records-")));
await mkdir(folder, { recursive: true });
await chmod(folder, 0o711); // the database's own user must get through
const dayMs = 86_400_000;

const person = (accountId: Uuid, seesAll: boolean): Principal => ({
  accountId,
  role: seesAll ? "owner" : "viewer",
  seesAll,
  sessionId: undefined,
  actor: { kind: "development" },
});
const owner = person(nilUuid, true);
const smallApp = apps - 1;
/** Sees one app: a small one, for which the most must be read. */
const viewer = person(appId(smallApp), false);

type Question = [what: string, ask: () => Promise<unknown>, limitMs: number];

try {
  await using database = await startEmbedded({
    dataDir: join(folder, "data"),
    archive: postgresArchive,
    log: silentLog,
    role: "serve",
  });
  await createMigrations({ url: database.url, log: silentLog }).up();
  const sql = createPool(database.url, { size: 4 });
  const [filled] = await sql<{ last: Date | null }[]>`
    select max(starts_at) as last from usage where grain = 'day'`;
  const today = filled?.last ?? new Date();
  // Late at night: the last day is full, and has no indexes yet.
  const clock = { now: () => new Date(Date.parse(today.toISOString().slice(0, 10)) + dayMs - 1) };
  const retention = { requestDays: 400, contentDays: 400 };
  await createPartitionService({ sql, clock, log: silentLog, retention }).upkeep();
  if (!filled?.last) {
    const startedAt = performance.now();
    await using filling = await sql.reserve().then((reserved) => ({
      reserved,
      [Symbol.asyncDispose]: async () => reserved.release(),
    }));
    await fill(
      filling.reserved as unknown as typeof sql,
      {
        rows: Number(values.rows),
        contents: Number(values.content),
        days: Number(values.days),
        today: today.toISOString().slice(0, 10),
      },
      (text) => process.stdout.write(`\r${text.padEnd(20)}`),
    );
    await packUsage(sql, new Date(0));
    await sql`vacuum (analyze) usage`;
    console.log(`\nfilled in ${Math.round((performance.now() - startedAt) / 1000)} s`);
  }
  const [count] = await sql`
    select (select count(*) from request)::int as calls, (select count(*) from request_content)::int as contents,
      (select count(*) from usage)::int as sums, pg_size_pretty(pg_database_size(current_database())) as size`;
  console.log(
    `${count?.calls} calls, ${count?.contents} with content, ${count?.sums} rows of sums, ${count?.size}`,
  );

  const requests = createRequestService({ sql, clock });
  const usage = createUsageService({ sql, clock });
  const end = new Date(clock.now().getTime() + 1);
  const ago = (days: number) => new Date(end.getTime() - days * dayMs);
  const page =
    (principal: Principal, query: () => Partial<RequestQuery> = () => ({})) =>
    () =>
      requests.list(principal, { limit: 20, ...query() });
  const sums = (principal: Principal, query: Pick<UsageQuery, "by" | "groups"> & Partial<UsageQuery>) => () =>
    usage.list(principal, { from: ago(30), to: end, ...query });
  const user = (app: number) => `user-${app}-${pick(usersPerApp)}`;
  const sessions = await sql<{ session: string }[]>`
    select session from request where session is not null and random() < 0.001 limit 1000`;
  const filtersOf = (app: () => number): [what: string, query: () => Partial<RequestQuery>][] => [
    ["app", () => ({ appId: appId(app()) })],
    ["key", () => ({ keyId: keyId(5 * app() + pick(5)) })],
    ["model", () => ({ model: `model-${pick(models)}` })],
    ["model that nobody has", () => ({ model: "model-x" })],
    ["provider", () => ({ provider: `provider-${pick(4)}` })],
    ["status: failed", () => ({ status: "error" })],
    ["status: interrupted, one in 10,000", () => ({ status: "interrupted" })],
    ["user", () => ({ user: user(app()) })],
    ["user that nobody has", () => ({ user: "nobody" })],
    ["session", () => ({ session: sessions[pick(sessions.length)]?.session ?? "" })],
    ["time: a day", () => dayAgo(1 + pick(28))],
    ["cost, one in 20", () => ({ costMin: "0.05", currency: "CNY" })],
    ["cost, very rare", () => ({ costMin: "0.9", currency: "CNY" })],
    ["duration, one in 100", () => ({ durationMsMin: 15_000 })],
    ["duration, very rare", () => ({ durationMsMin: 180_000 })],
    ["first piece, very rare", () => ({ ttftMsMin: 9000 })],
  ];
  const dayAgo = (days: number) => ({ from: ago(days), to: ago(days - 1) });
  const questions: Question[] = [
    ["first page", page(owner), 200],
    [
      "page 1000 calls on",
      async () => {
        const { nextCursor } = await requests.list(owner, { limit: 1000 });
        await requests.list(owner, { limit: 20, before: nextCursor ?? nilUuid });
      },
      200,
    ],
    ...filtersOf(() => pick(apps)).map(([what, query]): Question => [`by ${what}`, page(owner, query), 200]),
    ["viewer: first page", page(viewer), 200],
    ...filtersOf(() => smallApp).map(
      ([what, query]): Question => [`viewer: by ${what}`, page(viewer, query), 200],
    ),
    ["usage, month by day", sums(owner, { by: "day", groups: [] }), 200],
    ["usage, month by day and model", sums(owner, { by: "day", groups: ["model"] }), 200],
    ["usage, month by day, provider and app", sums(owner, { by: "day", groups: ["provider", "app"] }), 200],
    ["usage, month by app, 30 days", sums(owner, { by: "month", groups: ["app"] }), 200],
    ["usage, month by key, 30 days", sums(owner, { by: "month", groups: ["key"] }), 200],
    [
      "usage, all users of a calendar month",
      sums(owner, {
        by: "month",
        groups: ["user"],
        from: new Date(Date.UTC(end.getUTCFullYear(), end.getUTCMonth() - 1)),
        to: new Date(Date.UTC(end.getUTCFullYear(), end.getUTCMonth())),
      }),
      200,
    ],
    [
      "usage, all users of an app, 30 days",
      sums(owner, { by: "month", groups: ["user"], appId: appId(3) }),
      200,
    ],
    ["usage, a user by day", () => sums(owner, { by: "day", groups: [], user: user(pick(apps)) })(), 200],
    ["usage, a day by hour", sums(owner, { by: "hour", groups: [], from: ago(1) }), 200],
    ["usage, a day by hour and model", sums(owner, { by: "hour", groups: ["model"], from: ago(1) }), 200],
    ["viewer: usage, month by day and model", sums(viewer, { by: "day", groups: ["model"] }), 200],
    ["text, one in 10,000", page(owner, () => ({ text: "rhinoceros" })), 500],
    ["text, one in 10,000, in Chinese", page(owner, () => ({ text: "独角兽" })), 500],
    ["text, one in three", page(owner, () => ({ text: "warranty" })), 500],
    ["text, one in three, two signs", page(owner, () => ({ text: "保修" })), 500],
    ["text, nowhere", page(owner, () => ({ text: `nothing ${pick(1000)}` })), 500],
    ["text, nowhere, two signs", page(owner, () => ({ text: "龘龘" })), 500],
    ["text, one in three, of a user", page(owner, () => ({ text: "warranty", user: user(pick(apps)) })), 500],
    ["viewer: text, one in 10,000", page(viewer, () => ({ text: "rhinoceros" })), 500],
    ["viewer: text, one in three", page(viewer, () => ({ text: "warranty" })), 500],
    ["viewer: text, nowhere", page(viewer, () => ({ text: `nothing ${pick(1000)}` })), 500],
  ];
  for (const [what, ask, limitMs] of questions) {
    if (!what.includes(values.only)) continue;
    const times: number[] = [];
    let refused = 0;
    for (let run = 0; run < runs; run++) {
      const startedAt = performance.now();
      await ask().catch(() => refused++);
      times.push(performance.now() - startedAt);
      // What takes seconds is known after a few.
      if (run >= 4 && times.every((ms) => ms > 5 * limitMs)) break;
    }
    times.sort((a, b) => a - b);
    const at = (share: number) =>
      (times[Math.floor(times.length * share)] ?? Number.NaN).toFixed(1).padStart(7);
    const mark = (times[Math.floor(times.length * 0.95)] ?? 0) > limitMs ? "  OVER" : "";
    console.log(
      `${what.padEnd(46)} p50 ${at(0.5)} ms   p95 ${at(0.95)} ms   limit ${limitMs} ms${mark}${refused ? `   ${refused} refused` : ""}`,
    );
  }
  await sql.end();
} finally {
  if (values.data === undefined) await rm(folder, { recursive: true, force: true });
}
process.exit(0);
