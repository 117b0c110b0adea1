import { expect, test } from "bun:test";
import type { Sql } from "../../src/database/pool.ts";
import { silentLog } from "../../src/log.ts";
import { createPartitionService } from "../../src/services/partition.ts";
import { lockPartitions } from "../../src/sql/partition.ts";
import { insertRequestContentMany, insertRequestMany } from "../../src/sql/request.ts";
import { callAt } from "../harness/call-record.ts";
import { createDatabase } from "../harness/database.ts";

/** A time far from today, whose days no other test has made. */
const noon = new Date("2031-05-15T12:00:00.000Z");
const dayMs = 86_400_000;
const daysFrom = (days: number) => new Date(noon.getTime() + days * dayMs);

const serviceAt = (sql: Sql, time: Date, retention = { requestDays: 90, contentDays: 14 }) =>
  createPartitionService({ sql, clock: { now: () => time }, log: silentLog, retention });

/** The days of a table that have a partition, as `15` or `2031-06-02`. */
const daysOf = async (sql: Sql, table: string) =>
  (
    await sql<{ day: string }[]>`
      select right(c.relname, 8) as day from pg_inherits join pg_class c on c.oid = inhrelid
      where inhparent = ${table}::regclass and c.relname ~ '_2031[0-9]{4}$' order by 1`
  ).map(({ day }) => day);

/** The indexes of a partition, without its name. */
const indexesOf = async (sql: Sql, partition: string) =>
  (
    await sql<{ name: string }[]>`
      select substr(indexname, length(tablename) + 2) as name from pg_indexes where tablename = ${partition} order by 1`
  ).map(({ name }) => name);

/** Writes a call with content at each time. */
async function write(sql: Sql, times: readonly Date[]): Promise<void> {
  const calls = times.map((time) => callAt(time));
  await insertRequestMany(sql, JSON.stringify(calls));
  const content = calls.map(({ id, app_id }) => ({ id, app_id, question: { text: "hi" }, answer: null }));
  await insertRequestContentMany(sql, JSON.stringify(content));
}

const where = async (sql: Sql) =>
  (
    await sql<{ place: string }[]>`
      select tableoid::regclass::text as place from request union all
      select tableoid::regclass::text from request_content order by 1`
  ).map(({ place }) => place);

test("makes the days from yesterday to seven ahead, and moves there what has come before them", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  await write(sql, [noon, daysFrom(7)]);
  expect(await where(sql)).toEqual([
    "request_content_default",
    "request_content_default",
    "request_default",
    "request_default",
  ]);
  expect(await serviceAt(sql, noon).upkeep()).toBe(true);
  const days = ["14", "15", "16", "17", "18", "19", "20", "21", "22"].map((day) => `203105${day}`);
  expect(await daysOf(sql, "request")).toEqual(days);
  expect(await daysOf(sql, "request_content")).toEqual(days);
  expect(await where(sql)).toEqual([
    "request_20310515",
    "request_20310522",
    "request_content_20310515_12",
    "request_content_20310522_12",
  ]);
});

test("leaves it to the process that is at it", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  await sql.begin(async (tx) => {
    expect(await lockPartitions(tx)).toBe(true);
    expect(await serviceAt(sql, noon).upkeep()).toBe(false);
    expect(await daysOf(sql, "request")).toEqual([]);
  });
  expect(await serviceAt(sql, noon).upkeep()).toBe(true);
});

test("gives what is over its indexes, the newest texts too, and what is not over none", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  await serviceAt(sql, noon).upkeep();
  const own = ["app_id_id_idx", "brief", "pkey", "session", "status", "user"];
  const more = ["api", "asked", "cost", "duration", "key", "model", "provider", "ttft"];
  expect(await indexesOf(sql, "request_20310514")).toEqual([...own, ...more].sort());
  expect(await indexesOf(sql, "request_20310515")).toEqual(own);
  expect(await indexesOf(sql, "request_content_20310515_10")).toEqual(["pairs", "pkey", "text"]);
  expect(await indexesOf(sql, "request_content_20310515_12")).toEqual(["pkey"]);
  // A service that was away for days finds all of it when it is back.
  await serviceAt(sql, daysFrom(8)).upkeep();
  for (const day of ["15", "18", "22"]) {
    expect(await indexesOf(sql, `request_203105${day}`)).toEqual([...own, ...more].sort());
    expect(await indexesOf(sql, `request_content_203105${day}_22`)).toEqual(["pairs", "pkey", "text"]);
  }
});

test("drops records and content each past their own time, with what is in no day, and sums by the hour after 400 days", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  await serviceAt(sql, noon).upkeep();
  await write(sql, [noon, new Date("2031-01-01")]);
  const place = sql`'service', gen_random_uuid(), gen_random_uuid(), '', '', '', 'CNY'`;
  for (const grain of ["hour", "day", "month"]) {
    await sql`
      insert into usage (grain, starts_at, cut, app_id, key_id, model, provider, end_user, currency)
      values (${grain}, ${noon}, ${place}), (${grain}, '2031-06-01', ${place})`;
  }
  const retention = { requestDays: 5, contentDays: 2 };
  await serviceAt(sql, daysFrom(3), retention).upkeep();
  expect((await daysOf(sql, "request"))[0]).toBe("20310514");
  expect((await daysOf(sql, "request_content"))[0]).toBe("20310516");
  expect(await where(sql)).toEqual(["request_20310515"]);
  await serviceAt(sql, daysFrom(6), retention).upkeep();
  expect(await where(sql)).toEqual([]);
  await serviceAt(sql, daysFrom(401), retention).upkeep();
  const left = await sql`select grain, count(*)::int as rows from usage group by 1 order by 1`;
  expect([...left]).toEqual([
    { grain: "day", rows: 2 },
    { grain: "hour", rows: 1 },
    { grain: "month", rows: 2 },
  ]);
});
