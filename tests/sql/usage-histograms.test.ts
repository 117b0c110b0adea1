import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { createMigrations } from "../../src/database/migrations.ts";
import { silentLog } from "../../src/log.ts";
import { addSent, emptyHistogram, histogramOf } from "../../src/metering/histogram.ts";
import { createDatabase } from "../harness/database.ts";

/** How many calls are in which bucket. */
const countsOf = (sent: Uint8Array) => {
  const histogram = emptyHistogram();
  expect(addSent(histogram, sent, 0)).toBe(sent.length);
  return new Map([...histogram.counts.entries()].filter(([, count]) => count !== 0));
};

test("a histogram comes out of the database as it went in, and sums are those of each bucket", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const parts = [[0], [386, 0, 386], [100, 101, 102, 100, 7], [], Array.from({ length: 12_345 }, () => 200)];
  const numbers = parts.map((buckets) => histogramOf(buckets, 1));
  const [row] = await sql<{ sum: Uint8Array; left: Uint8Array }[]>`
    select numeric_send(histogram_sum(number::numeric)) as sum,
      numeric_send(histogram_sum(number::numeric) + ${histogramOf(parts[1] ?? [], -1)}::numeric) as left
    from unnest(${numbers}::text[]) as number`;
  const all = new Map([
    [0, 2],
    [7, 1],
    [100, 2],
    [101, 1],
    [102, 1],
    [200, 12_345],
    [386, 2],
  ]);
  expect(countsOf(row?.sum ?? new Uint8Array())).toEqual(all);
  all.delete(386);
  expect(countsOf(row?.left ?? new Uint8Array())).toEqual(all.set(0, 1));
  const [none] = await sql<{ sum: Uint8Array }[]>`select numeric_send(0::numeric) as sum`;
  expect(countsOf(none?.sum ?? new Uint8Array()).size).toBe(0);
});

test("carries histograms by the bucket over into numbers, and back, and sums by the day into months and apps", async () => {
  await using database = await createDatabase({ empty: true });
  const { sql } = database;
  const migrations = createMigrations({ url: database.url, log: silentLog });
  await migrations.up();
  const names = readdirSync("migrations").sort();
  const steps = names.length - names.indexOf("00010-fold-usage-latency.js");
  await migrations.down(steps);
  const place = sql`
    '019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f'::uuid as app_id, '00000000-0000-0000-0000-000000000000'::uuid as key_id, 'm' as model,
    'p' as provider, '' as end_user`;
  await sql`
    insert into usage (grain, starts_at, cut, app_id, key_id, model, provider, end_user, currency, calls, cost)
    select grain, day, 'service', place.*, currency, calls, cost
    from (select ${place}) as place, (values ('CNY', 3, 0.5), ('', 5, 0)) as sums (currency, calls, cost),
      (values ('day', '2026-10-31'::timestamptz), ('day', '2026-11-01'), ('day', '2026-11-02'), ('hour', '2026-11-01')) as times (grain, day)`;
  await sql`
    insert into usage_latency
    select grain, day, 'service', place.*, metric, bucket, calls
    from (select ${place}) as place, (values ('ttft', 0, 6), ('duration', 386, 7), ('duration', 5, 1)) as timed (metric, bucket, calls),
      (values ('day', '2026-10-31'::timestamptz), ('day', '2026-11-01'), ('day', '2026-11-02'), ('hour', '2026-11-01')) as times (grain, day)`;
  const old = async () => [
    ...(await sql`select * from usage_latency order by grain, starts_at, metric, bucket`),
    ...(await sql`select * from usage order by grain, starts_at, currency`),
  ];
  const before = await old();
  expect(before).toHaveLength(12 + 8);
  await migrations.up();
  const rows = await sql<
    { place: string; calls: number; cost: string; ttft: Uint8Array; duration: Uint8Array }[]
  >`
    select concat_ws(' ', grain, to_char(starts_at, 'MM-DD'), nullif(cut, 'service')) || ' ' || currency as place, calls::int as calls, trim_scale(cost)::text as cost,
      numeric_send(ttft) as ttft, numeric_send(duration) as duration
    from usage where grain <> 'hour' order by cut desc, grain, starts_at, currency`;
  const shown: unknown[][] = rows.map(({ place: at, calls, cost, ttft, duration }) => [
    at,
    calls,
    cost,
    [...countsOf(ttft)],
    [...countsOf(duration)],
  ]);
  const times = [
    [[0, 6]],
    [
      [5, 1],
      [386, 7],
    ],
  ];
  const twice = [
    [[0, 12]],
    [
      [5, 2],
      [386, 14],
    ],
  ];
  expect(shown).toEqual([
    ...["10-31", "11-01", "11-02"].flatMap((day) => [
      [`day ${day} `, 5, "0", ...times],
      [`day ${day} CNY`, 3, "0.5", [], []],
    ]),
    ["month 10-01 ", 5, "0", ...times],
    ["month 10-01 CNY", 3, "0.5", [], []],
    ["month 11-01 ", 10, "0", ...twice],
    ["month 11-01 CNY", 6, "1", [], []],
    ...["10-31", "11-01", "11-02"].flatMap((day) => [
      [`day ${day} app `, 5, "0", ...times],
      [`day ${day} app CNY`, 3, "0.5", [], []],
    ]),
  ]);
  await migrations.down(steps);
  expect(await old()).toEqual(before);
});
