/**
 * `bun bench/records.ts [--rows N] [--content N] [--days N]`: fills the tables as the gateway would, and reads them through the
 * services as the API does. Prints the median and the 95th percentile of each question beside its limit.
 */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { postgresArchive } from "../scripts/postgres.ts";
import type { Principal } from "../src/auth/principal.ts";
import { systemClock } from "../src/clock.ts";
import { startEmbedded } from "../src/database/embedded.ts";
import { createMigrations } from "../src/database/migrations.ts";
import { createPool } from "../src/database/pool.ts";
import { nilUuid } from "../src/id.ts";
import { silentLog } from "../src/log.ts";
import { createPartitionService } from "../src/services/partition.ts";
import { createRequestService, type RequestQuery } from "../src/services/request.ts";
import { createUsageService } from "../src/services/usage.ts";
import { ensurePartition, indexPartition, partitioned } from "../src/sql/partition.ts";

const { values } = parseArgs({
  options: {
    rows: { type: "string", default: "10000000" },
    content: { type: "string", default: "1000000" },
    days: { type: "string", default: "60" },
    runs: { type: "string", default: "100" },
  },
});
const [rows, contents, days, runs] = [values.rows, values.content, values.days, values.runs].map(Number) as [
  number,
  number,
  number,
  number,
];
const folder = await mkdtemp(join(tmpdir(), "llmops-records-"));
await chmod(folder, 0o711);
const owner: Principal = {
  accountId: nilUuid,
  role: "owner",
  seesAll: true,
  sessionId: undefined,
  actor: { kind: "development" },
};
const uuid = (kind: string, number: number) =>
  `${kind}0000000-0000-7000-8000-${String(number).padStart(12, "0")}`;
const pick = (count: number) => Math.floor(Math.random() * count);
const day = (back: number) => new Date(Date.now() - back * 86_400_000).toISOString().slice(0, 10);

try {
  await using database = await startEmbedded({
    dataDir: join(folder, "data"),
    archive: postgresArchive,
    log: silentLog,
    role: "serve",
  });
  await createMigrations({ url: database.url, log: silentLog }).up();
  const sql = createPool(database.url, { size: 4 });
  const retention = { requestDays: 400, contentDays: 400 };
  await createPartitionService({ sql, clock: systemClock, log: silentLog, retention }).upkeep();
  await sql`set synchronous_commit = off`;
  const perDay = Math.ceil(rows / days);
  const contentPerDay = Math.ceil(contents / 7);
  for (let back = days - 1; back >= 0; back--) {
    for (const table of partitioned) await ensurePartition(sql, { table, day: day(back) });
    // Twenty apps of very different size with five keys each, eight models, ten thousand users; one call in fifty fails.
    await sql`
      insert into request
      select overlay(uuid_at(moment)::text placing '7' from 15 for 1)::uuid::text::uuid, moment, app, 1, key, app, 'user-' || who,
        case when n % 10 = 0 then 'session-' || n / 100 end, 'chat', 'app', model, 'default',
        case when n % 50 = 0 then 'error' else 'ok' end, case when n % 50 = 0 then 502 else 200 end, null, 'stop',
        n % 2 = 0, false, 100 + (random() * 900)::int, 500 + (random() * 9000)::int, (random() * 2000)::int, 0, 0,
        (random() * 500)::int, 0, 'provider', round(random()::numeric / 100, 6), 'CNY', '192.0.2.0/24', '[]'
      from (
        select n, ${day(back)}::date::timestamp at time zone 'UTC' + n * (interval '86399 seconds' / ${perDay}::int) as moment,
          ('a0000000-0000-7000-8000-' || lpad((number / 5)::text, 12, '0'))::uuid as app,
          ('b0000000-0000-7000-8000-' || lpad(number::text, 12, '0'))::uuid as key,
          floor(10000 * random())::int as who, 'model-' || floor(8 * random() ^ 2)::int as model
        from (
          select n, floor(100 * random() ^ 2)::int as number from generate_series(1, ${perDay}::int) n
        ) as numbered
      ) as drawn
      on conflict do nothing`;
    if (back < 7) {
      await sql`
        insert into request_content
        select id, app_id,
          '{"messages":[{"role":"user","content":"' || case when row_number % 2 = 0
            then '请介绍一下第' || row_number || '号产品的价格和售后服务，谢谢。'
            else 'Please tell me about product number ' || row_number || ', its price and its warranty.' end ||
            case when row_number % 10007 = 0 then ' rhinoceros 独角兽' else '' end || repeat(' lorem ipsum dolor', 10) || '"}]}',
          '{"choices":[{"message":{"content":"' || md5(id::text) || repeat(' sit amet consectetur', 15) || '"}}]}', false
        from (
          select id, app_id, row_number() over () from request
          where id >= uuid_at(${day(back)}::date::timestamp at time zone 'UTC')
            and id < uuid_at((${day(back)}::date + 1)::timestamp at time zone 'UTC')
          limit ${contentPerDay}::int
        ) as picked`;
    }
    if (back > 0) await indexPartition(sql, { day: day(back), texts: back < 7 });
    process.stdout.write(`\r${days - back} of ${days} days`);
  }
  for (const grain of ["hour", "day"]) {
    await sql`
      insert into usage
      select ${grain}::text, date_trunc(${grain}::text, created_at, 'UTC'), 'service', app_id, key_id, model_used, provider, '', currency,
        count(*), count(*) filter (where status = 'error'), 0, 0, 0, sum(prompt_tokens), 0, 0, sum(completion_tokens), 0, sum(cost)
      from request group by 2, 4, 5, 6, 7, 9`;
    await sql`
      insert into usage_latency
      select ${grain}::text, date_trunc(${grain}::text, created_at, 'UTC'), 'service', app_id, key_id, model_used, provider, '', metric,
        1 + floor(ln(greatest(ms, 1)) / ln(1.04))::int, count(*)
      from request, lateral (values ('ttft', ttft_ms), ('duration', duration_ms)) as times (metric, ms)
      group by 2, 4, 5, 6, 7, 9, 10`;
  }
  await sql`vacuum analyze`;
  const [count] =
    await sql`select (select count(*) from request) as calls, (select count(*) from request_content) as contents`;
  console.log(`\n${count?.calls} calls, ${count?.contents} with content`);

  const requests = createRequestService({ sql, clock: systemClock });
  const usage = createUsageService({ sql, clock: systemClock });
  const page = (query: () => Partial<RequestQuery>) => () => requests.list(owner, { limit: 20, ...query() });
  const month = { from: new Date(Date.now() - 30 * 86_400_000), to: new Date() };
  const questions: [what: string, ask: () => Promise<unknown>, limitMs: number][] = [
    ["first page", page(() => ({})), 200],
    ["of an app", page(() => ({ appId: uuid("a", pick(20)) })), 200],
    ["of a key", page(() => ({ keyId: uuid("b", pick(100)) })), 200],
    ["of a model", page(() => ({ model: `model-${pick(8)}` })), 200],
    ["of a user", page(() => ({ user: `user-${pick(10_000)}` })), 200],
    ["that failed", page(() => ({ status: "error" })), 200],
    ["that took more than 9 s", page(() => ({ durationMsMin: 9000 })), 200],
    [
      "of an app, a week ago",
      page(() => ({ appId: uuid("a", pick(20)), to: new Date(Date.now() - 7 * 86_400_000) })),
      200,
    ],
    ["usage of a month by day", () => usage.list(owner, { by: "day", groups: [], ...month }), 200],
    [
      "usage of a month by day and model",
      () => usage.list(owner, { by: "day", groups: ["model"], ...month }),
      200,
    ],
    ["usage of a month by app", () => usage.list(owner, { by: "month", groups: ["app"], ...month }), 200],
    ["text that is rare", page(() => ({ text: "rhinoceros" })), 500],
    ["text that is rare, in Chinese", page(() => ({ text: "独角兽" })), 500],
    ["text that is common", page(() => ({ text: "warranty" })), 500],
    ["text that is nowhere", page(() => ({ text: `nothing ${pick(1000)}` })), 500],
  ];
  for (const [what, ask, limitMs] of questions) {
    const times: number[] = [];
    for (let run = 0; run < runs; run++) {
      const startedAt = performance.now();
      await ask().catch((error) => console.log(what, String(error)));
      times.push(performance.now() - startedAt);
    }
    times.sort((a, b) => a - b);
    const at = (share: number) => (times[Math.floor(times.length * share)] ?? Number.NaN).toFixed(1);
    console.log(
      `${what.padEnd(40)} p50 ${at(0.5).padStart(7)} ms   p95 ${at(0.95).padStart(7)} ms   limit ${limitMs} ms`,
    );
  }
  await sql.end();
} finally {
  await rm(folder, { recursive: true, force: true });
}
process.exit(0);
