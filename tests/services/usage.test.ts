import { expect, test } from "bun:test";
import type { Principal } from "../../src/auth/principal.ts";
import { systemClock } from "../../src/clock.ts";
import { createMigrations } from "../../src/database/migrations.ts";
import { nilUuid } from "../../src/id.ts";
import { silentLog } from "../../src/log.ts";
import { sum } from "../../src/metering/money.ts";
import type { CallRecord } from "../../src/metering/record.ts";
import { rollUp } from "../../src/metering/rollup.ts";
import { createUsageService, type Usage } from "../../src/services/usage.ts";
import { packUsage } from "../../src/services/usage-pack.ts";
import { insertUsageMany } from "../../src/sql/usage-rollup.ts";
import { callAt } from "../harness/call-record.ts";
import { createDatabase } from "../harness/database.ts";

const owner: Principal = {
  accountId: nilUuid,
  role: "owner",
  seesAll: true,
  sessionId: undefined,
  actor: { kind: "development" },
};

/** A number from 0 to 1 for each place, always the same. */
const noise = (place: number) => (Math.sin(place * 12.9898) * 43_758.5453) % 1;
const share = (place: number) => Math.abs(noise(place));

/** Calls all over two months, some in another currency or without a price, of two models and three users. */
const calls: CallRecord[] = Array.from({ length: 2000 }, (_, n) =>
  callAt(new Date(Date.UTC(2026, 8, 20) + n * 1_700_000), {
    model_used: n % 3 === 0 ? "claude" : "gpt",
    key_id: `019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0${n % 2}`,
    end_user: n % 4 === 0 ? null : `user-${n % 3}`,
    currency: n % 5 === 0 ? "USD" : n % 7 === 0 ? null : "CNY",
    cost: n % 5 !== 0 && n % 7 === 0 ? null : `0.000${n}`,
    ttft_ms: n % 11 === 0 ? null : Math.round(Math.exp(3 + 5 * share(n))),
    duration_ms: Math.round(Math.exp(9 * share(n + 0.5))),
  }),
);

async function start() {
  const database = await createDatabase();
  const { sql } = database;
  for (let at = 0; at < calls.length; at += 300)
    await insertUsageMany(sql, rollUp(calls.slice(at, at + 300)));
  const usage = createUsageService({ sql, clock: systemClock });
  return { sql, url: database.url, usage, [Symbol.asyncDispose]: () => database[Symbol.asyncDispose]() };
}

const exact = (times: readonly (number | null)[], q: number): number | null => {
  const sorted = times.filter((ms) => ms !== null).sort((a, b) => a - b);
  return sorted[Math.max(1, Math.ceil(q * sorted.length)) - 1] ?? null;
};

/** Both are `null`, or not further apart than 2 %; what took less than a millisecond counts as nothing. */
function expectClose(found: number | null, wanted: number | null) {
  if (found === null || wanted === null) expect(found).toBe(wanted);
  else expect(Math.abs(found - wanted)).toBeLessThanOrEqual(0.02 * wanted);
}

function expectSums(found: Usage, wanted: readonly CallRecord[]) {
  expect(found.calls).toBe(wanted.length);
  for (const [q, name] of [
    [0.5, "p50"],
    [0.95, "p95"],
    [0.99, "p99"],
  ] as const) {
    expectClose(
      found.ttftMs[name],
      exact(
        wanted.map(({ ttft_ms }) => ttft_ms),
        q,
      ),
    );
    expectClose(
      found.durationMs[name],
      exact(
        wanted.map(({ duration_ms }) => duration_ms),
        q,
      ),
    );
  }
}

test("tells calls and quantiles within 2 % of what the calls say, by hour, day and month and by group", async () => {
  await using it = await start();
  const of = (start: string) => calls.filter(({ created_at }) => created_at.startsWith(start));
  const days = await it.usage.list(owner, {
    by: "day",
    groups: ["model"],
    from: new Date("2026-09-20"),
    to: new Date("2026-11-01"),
  });
  expect(days).toHaveLength(2 * 40);
  for (const row of days) {
    const day = of(row.key.period.toISOString().slice(0, 10));
    expectSums(
      row,
      day.filter(({ model_used }) => model_used === row.key.model),
    );
  }
  const hours = await it.usage.list(owner, {
    by: "hour",
    groups: [],
    from: new Date("2026-09-21"),
    to: new Date("2026-09-22"),
  });
  expect(hours).toHaveLength(24);
  for (const row of hours) expectSums(row, of(row.key.period.toISOString().slice(0, 13)));
  // The first and the last month are read by the day, the one between them as a whole; the users' times add up as well.
  const months = await it.usage.list(owner, {
    by: "month",
    groups: ["user"],
    from: new Date("2026-09-25"),
    to: new Date("2026-10-29"),
  });
  expect(months.map(({ key }) => [key.period.toISOString().slice(0, 7), key.user])).toEqual(
    ["2026-09", "2026-10"].flatMap((month) => ["user-0", "user-1", "user-2"].map((user) => [month, user])),
  );
  for (const row of months) {
    const month = of(row.key.period.toISOString().slice(0, 7));
    const covered = month.filter(({ created_at }) => created_at >= "2026-09-25" && created_at < "2026-10-29");
    expectSums(
      row,
      covered.filter(({ end_user }) => end_user === row.key.user),
    );
  }
  const [all] = await it.usage.list(owner, {
    by: "month",
    groups: [],
    from: new Date("2026-10-01"),
    to: new Date("2026-11-01"),
  });
  expectSums(all as Usage, of("2026-10"));
  expect(all?.costs.map(({ currency }) => currency)).toEqual(["CNY", "USD"]);
});

test("tells the same of everything, whether it is asked by key or not", async () => {
  await using it = await start();
  for (const by of ["day", "month"] as const) {
    const stretch = { by, from: new Date("2026-09-25"), to: new Date("2026-10-29") };
    const all = await it.usage.list(owner, { ...stretch, groups: ["model"] });
    const byKey = await it.usage.list(owner, { ...stretch, groups: ["key", "model"] });
    expect(byKey.length).toBe(2 * all.length);
    for (const row of all) {
      const parts = byKey.filter(
        ({ key }) => key.model === row.key.model && key.period.getTime() === row.key.period.getTime(),
      );
      for (const name of ["calls", "errors", "promptTokens", "completionTokens", "unpricedCalls"] as const)
        expect(row[name]).toBe(parts.reduce((sum, part) => sum + part[name], 0));
      for (const { currency, cost } of row.costs)
        expect(cost).toBe(
          sum(
            parts.flatMap((part) => part.costs.filter((it) => it.currency === currency).map((it) => it.cost)),
          ),
        );
      expectSums(
        row,
        calls.filter(
          ({ created_at, model_used }) =>
            created_at >= "2026-09-25" &&
            created_at < "2026-10-29" &&
            model_used === row.key.model &&
            created_at.startsWith(row.key.period.toISOString().slice(0, by === "day" ? 10 : 7)),
        ),
      );
    }
    const keys = await Promise.all(
      ["0", "1"].map((end) =>
        it.usage.list(owner, {
          ...stretch,
          groups: ["model"],
          keyId: `019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0${end}`,
        }),
      ),
    );
    expect(keys.flat().reduce((sum, { calls }) => sum + calls, 0)).toBe(
      all.reduce((sum, { calls }) => sum + calls, 0),
    );
  }
});

test("leaves nothing behind when everything is taken out again", async () => {
  await using it = await start();
  await insertUsageMany(it.sql, rollUp(calls, -1));
  const rows = await it.sql`select from usage where calls <> 0 or cost <> 0 or ttft <> 0 or duration <> 0`;
  expect(rows).toHaveLength(0);
});

test("tells the same when the times of users' months are packed, and adds and takes out what comes later", async () => {
  await using it = await start();
  const users = () =>
    it.usage.list(owner, {
      by: "month",
      groups: ["app", "user"],
      from: new Date("2026-09-01"),
      to: new Date("2026-11-01"),
    });
  const loose = async () => {
    const [row] = await it.sql<{ packed: number; loose: number }[]>`
      select count(times)::int as packed, count(*) filter (where ttft <> 0)::int as loose
      from usage where grain = 'month' and cut = 'user'`;
    return row;
  };
  const once = await users();
  expect(once.length).toBe(6);
  await packUsage(it.sql, new Date("2026-10-01"));
  expect(await users()).toEqual(once);
  expect(await loose()).toEqual({ packed: 9, loose: 9 });
  await packUsage(it.sql, new Date(0));
  expect(await users()).toEqual(once);
  expect(await loose()).toEqual({ packed: 18, loose: 0 });
  // As many calls once more, half of them packed as well: every quantile stays where it is.
  await insertUsageMany(it.sql, rollUp(calls.slice(0, 1000)));
  await packUsage(it.sql, new Date(0));
  await insertUsageMany(it.sql, rollUp(calls.slice(1000)));
  for (const [place, { key, calls, ttftMs, durationMs }] of (await users()).entries())
    expect({ key, calls: calls / 2, ttftMs, durationMs }).toEqual({
      key,
      calls: once[place]?.calls ?? 0,
      ttftMs: once[place]?.ttftMs ?? ttftMs,
      durationMs: once[place]?.durationMs ?? durationMs,
    });
  // What is taken out is less than nothing beside what is packed, and nothing together with it.
  await insertUsageMany(it.sql, rollUp(calls, -1));
  expect(await users()).toEqual(once);
  await packUsage(it.sql, new Date(0));
  expect(await users()).toEqual(once);
  await insertUsageMany(it.sql, rollUp(calls, -1));
  const none = { p50: null, p95: null, p99: null };
  for (const { calls, ttftMs, durationMs } of await users())
    expect({ calls, ttftMs, durationMs }).toEqual({ calls: 0, ttftMs: none, durationMs: none });
});

test("packs nothing that somebody is writing, and does not wait for them", async () => {
  await using it = await start();
  await it.sql.begin(async (tx) => {
    await insertUsageMany(tx, rollUp(calls.slice(0, 1)));
    await packUsage(it.sql, new Date(0));
  });
  const left = await it.sql`
    select from usage where grain = 'month' and cut = 'user' and times is null`;
  expect(left).toHaveLength(calls[0]?.end_user === null ? 0 : 1);
});

test("takes packed times apart when their migration is reverted", async () => {
  await using it = await start();
  const times = () => it.sql`
    select starts_at, end_user, currency, ttft, duration from usage where grain = 'month' and cut = 'user' order by 1, 2, 3`;
  const before = [...(await times())];
  await packUsage(it.sql, new Date(0));
  await insertUsageMany(it.sql, rollUp(calls.slice(0, 500), -1));
  await insertUsageMany(it.sql, rollUp(calls.slice(0, 500)));
  expect([...(await times())]).not.toEqual(before);
  await createMigrations({ url: it.url, log: silentLog }).down(1);
  expect([...(await times())]).toEqual(before);
});

test("hands out more than one answer can hold, page by page, each row once and in order", async () => {
  await using it = await start();
  await it.sql`
    insert into usage (grain, starts_at, cut, app_id, key_id, model, provider, end_user, currency, calls)
    select 'day', day, 'user', app::text::uuid, ${nilUuid}, '', '', 'user ' || n, 'CNY', n
    from generate_series(1, 2600) n, generate_series('2026-08-01'::timestamptz, '2026-08-02', interval '1 day') day,
      (values ('019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e01'), ('019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e02')) as apps (app)`;
  const query = {
    by: "day",
    groups: ["app", "user"],
    from: new Date("2026-07-31"),
    to: new Date("2026-08-04"),
  } as const;
  expect(await it.usage.list(owner, query).catch(({ code }) => code)).toBe("VALIDATE_ERROR");
  const seen: string[] = [];
  for (let page = await it.usage.page(owner, query); ; page = await it.usage.page(owner, query, page.rest)) {
    expect(page.items.length).toBeLessThanOrEqual(500);
    seen.push(...page.items.map(({ key }) => `${key.period.toISOString()} ${key.app_id} ${key.user}`));
    if (page.rest === null) break;
  }
  expect(seen).toHaveLength(2 * 2 * 2600);
  expect(new Set(seen).size).toBe(seen.length);
  const places = seen.map((each) => each.slice(0, 61));
  expect(places).toEqual([...places].sort());
  // A stretch of a hundred empty periods is one page, and the end.
  const empty = { ...query, from: new Date("2020-01-01"), to: new Date("2020-04-10") };
  expect(await it.usage.page(owner, empty)).toEqual({ items: [], rest: null });
});
