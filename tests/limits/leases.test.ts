import { expect, spyOn, test } from "bun:test";
import type { Guard } from "../../src/database/health.ts";
import { toUnits } from "../../src/metering/money.ts";
import { createDatabase, type TestDatabase } from "../harness/database.ts";
import { openHolder, plantBudget } from "./processes.ts";

/** Lets everything else have its turn. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

const leased = async ({ sql }: TestDatabase): Promise<number> =>
  Number((await sql`select coalesce(sum(amount), 0)::float8 as amount from budget_lease`)[0]?.amount);

test("over four processes at saturation, no stretch as long as the window has more calls than the limit, and the first has all of them", async () => {
  await using database = await createDatabase();
  await using stack = new AsyncDisposableStack();
  const bound = 300;
  const windowMs = 3000;
  const times: number[] = [];
  const holders = await Promise.all(Array.from({ length: 4 }, () => openHolder(database)));
  for (const holder of holders) stack.use(holder);
  const enough = 2 * bound;
  await Promise.all(
    holders.map(async ({ leases, rate }) => {
      const meter = rate("requests key x", bound, windowMs);
      while (times.length < enough) {
        if ((await meter.pool.take(1n)) !== 1n) {
          await turn();
          continue;
        }
        const at = leases.databaseNow();
        meter.spend(1, 1, at);
        times.push(at);
      }
    }),
  );
  times.sort((a, b) => a - b);
  for (const [place, at] of times.entries()) {
    const later = times[place + bound];
    if (later !== undefined) expect(later - at).toBeGreaterThan(windowMs);
  }
  const [first = 0] = times;
  expect(times.filter((at) => at - first <= windowMs)).toHaveLength(bound);
}, 60_000);

test("what is spent and given back adds up to what the database has on lease, to the last digit", async () => {
  await using database = await createDatabase();
  const budgetId = await plantBudget(database.sql as never, "10");
  await using holder = await openHolder(database);
  const { pool } = holder.budget(budgetId);
  const worst = toUnits("0.3");
  const cost = toUnits("0.123456789012345678");
  for (let call = 0; call < 20; call++) {
    expect(await pool.take(worst)).toBe(worst);
    pool.give(worst - cost);
  }
  const [row] = await database.sql<{ amount: string }[]>`select amount from budget_lease`;
  expect(toUnits(row?.amount ?? "")).toBe(pool.state().free + 20n * cost);
});

test("a dealing whose answer was lost is asked for again, and counts once", async () => {
  await using database = await createDatabase();
  const budgetId = await plantBudget(database.sql as never, "10");
  let lose = true;
  const guard: Guard = (service) =>
    Object.fromEntries(
      Object.entries(service).map(([name, method]) => [
        name,
        async (...args: unknown[]) => {
          const answer = await method(...args);
          if (name === "budgets" && lose) {
            lose = false;
            throw new Error("the connection is lost");
          }
          return answer;
        },
      ]),
    ) as typeof service;
  await using holder = await openHolder(database, { guard });
  const { pool } = holder.budget(budgetId);
  const one = toUnits("1");
  expect(await pool.take(one)).toEqual({ away: true });
  const granted = await leased(database);
  expect(granted).toBeGreaterThan(0);
  expect(await pool.take(one)).toBe(one);
  expect(await leased(database)).toBe(Number((pool.state().free + one) / toUnits("0.000001")) / 1e6);
  // Who was served by it is not served once more.
  const more = pool.state().free + one;
  expect(await pool.take(more)).toBe(more);
  expect(toUnits(String(await leased(database)))).toBe(pool.state().free + one + more);
});

test("who has been silent for too long holds nothing of a rate any more, and takes what is under way into account anew", async () => {
  await using database = await createDatabase();
  let aheadMs = 0;
  await using silent = await openHolder(database, { now: () => performance.now() + aheadMs });
  const meter = silent.rate("tokens key x", 100, 60_000);
  expect(await meter.pool.take(30n)).toBe(30n);
  await database.sql`
    update lease_holder set started_at = now() - interval '1 hour', expires_at = now() - interval '10 minutes'`;
  aheadMs = 61_000;
  expect(silent.leases.valid()).toBe(false);
  await using other = await openHolder(database);
  const others = other.rate("tokens key x", 100, 60_000);
  expect(await others.pool.take(80n)).toBe(80n);
  // 30 are under way here, and 80 there: there is no room.
  const result = await meter.pool.take(1n);
  expect(result).toMatchObject({ short: { bound: 100n, free: -30n } });
});

test("what somebody has written off is gone for a process that lives after all", async () => {
  await using database = await createDatabase();
  const budgetId = await plantBudget(database.sql as never, "10");
  await using holder = await openHolder(database);
  const { pool } = holder.budget(budgetId);
  const one = toUnits("1");
  expect(await pool.take(one)).toBe(one);
  await database.sql`update budget_lease set amount = 0, written_off = amount`;
  // Asks for more than there is here, and hears of it.
  const more = toUnits("5");
  expect(await pool.take(more)).toBe(more);
  const [row] = await database.sql<{ amount: string }[]>`select amount from budget_lease`;
  expect(toUnits(row?.amount ?? "")).toBe(pool.state().free + one + more);
});

test("each dealing counts, and none is taken for one that came late, where the clock is set back", async () => {
  await using database = await createDatabase();
  const budgetId = await plantBudget(database.sql as never, "100");
  await using holder = await openHolder(database);
  const { pool } = holder.budget(budgetId);
  const one = toUnits("1");
  expect(await pool.take(one)).toBe(one);
  const make = Bun.randomUUIDv7;
  const clock = spyOn(Bun, "randomUUIDv7").mockImplementation(((_: "hex", ms = Date.now() - 3600_000) =>
    make("hex", ms)) as never);
  try {
    let taken = one;
    for (let call = 0; call < 10; call++) {
      const more = pool.state().free + one;
      expect(await pool.take(more)).toBe(more);
      taken += more;
      expect(toUnits(String(await leased(database)))).toBe(pool.state().free + taken);
    }
  } finally {
    clock.mockRestore();
  }
});

test("the database's clock is known also where this machine slept, and its own clock stood still", async () => {
  await using database = await createDatabase();
  let sleptMs = 0;
  await using holder = await openHolder(database, { now: () => performance.now() - sleptMs });
  const meter = holder.rate("tokens key x", 100, 60_000);
  expect(await meter.pool.take(1n)).toBe(1n);
  sleptMs = 600_000;
  expect(await meter.pool.take(50n)).toBe(50n);
  const [row] = await database.sql<{ now: number }[]>`
    select (extract(epoch from clock_timestamp()) * 1000)::float8 as now`;
  const known = holder.leases.databaseNow();
  expect(known).toBeGreaterThanOrEqual(row?.now ?? 0);
  meter.spend(50, 50, known);
  expect(await meter.pool.take(99n)).toMatchObject({ short: { used: 50n } });
});

test("what a process has spent beyond its lease makes no room for others", async () => {
  await using database = await createDatabase();
  const budgetId = await plantBudget(database.sql as never, "10");
  await using holder = await openHolder(database);
  const { pool } = holder.budget(budgetId);
  await pool.known();
  // As a soft budget that was made hard: all of it is booked, and nothing was asked for.
  pool.give(-toUnits("5"));
  await database.sql`update budget_period set spent = 5`;
  await database.sql`update budget_lease set amount = -5`;
  await using other = await openHolder(database);
  const { pool: others } = other.budget(budgetId);
  expect(await others.take(toUnits("5.1"))).toMatchObject({ short: { used: toUnits("5"), held: 0n } });
  expect(await pool.take(toUnits("2"))).toBe(toUnits("2"));
  expect(await others.take(toUnits("1"))).toBe(toUnits("1"));
});

test("a period that is over is dealt with no more, also where more was spent than was on lease", async () => {
  await using database = await createDatabase();
  const [over, other] = [
    await plantBudget(database.sql as never, "10"),
    await plantBudget(database.sql as never, "10"),
  ];
  let dealt: string[] = [];
  const guard: Guard = (service) =>
    Object.fromEntries(
      Object.entries(service).map(([name, method]) => [
        name,
        (...args: unknown[]) => {
          if (name === "budgets") dealt = (args[0] as { budget_id: string }[]).map((each) => each.budget_id);
          return method(...args);
        },
      ]),
    ) as typeof service;
  let aheadMs = 0;
  await using holder = await openHolder(database, { now: () => performance.now() + aheadMs, guard });
  const meter = holder.budget(over);
  await meter.pool.known();
  // As of a soft budget.
  meter.pool.give(-toUnits("3"));
  await database.sql`update budget_period set spent = 3`;
  await database.sql`update budget_lease set amount = -3`;
  meter.retire();
  for (let beat = 1; beat <= 2; beat++) {
    aheadMs += 2000;
    await holder.budget(other).pool.known();
  }
  expect(dealt).toContain(other);
  expect(dealt).not.toContain(over);
  expect(await leased(database)).toBe(0);
});

test("what a process has counted beyond its part of a rate makes no room for others", async () => {
  await using database = await createDatabase();
  await using holder = await openHolder(database);
  const meter = holder.rate("tokens key x", 100, 60_000);
  expect(await meter.pool.take(10n)).toBe(10n);
  meter.spend(10, 70, holder.leases.databaseNow());
  // Tells it: nothing more is granted.
  expect(await meter.pool.take(95n)).toHaveProperty("short");
  await using other = await openHolder(database);
  const others = other.rate("tokens key x", 100, 60_000);
  expect(await others.pool.take(31n)).toMatchObject({ short: { used: 70n } });
});

test("what was spent by a clock that has been set back, or in cells of a shorter window, is forgotten", async () => {
  await using database = await createDatabase();
  await using holder = await openHolder(database);
  const shorter = holder.rate("tokens key x", 100, 10_000);
  expect(await shorter.pool.take(90n)).toBe(90n);
  shorter.spend(90, 90, holder.leases.databaseNow());
  expect(await shorter.pool.take(50n)).toMatchObject({ short: { used: 90n } });
  await database.sql`delete from rate_lease`;
  await using other = await openHolder(database);
  expect(await other.rate("tokens key x", 100, 60_000).pool.take(50n)).toBe(50n);
});

test("hundreds who ask a process that has nothing yet, all at once, get what there is", async () => {
  await using database = await createDatabase();
  const budgetId = await plantBudget(database.sql as never, "1000");
  await using holder = await openHolder(database);
  const calls = Array.from({ length: 300 });
  const { pool: tokens } = holder.rate("tokens key x", 1_000_000, 60_000);
  const { pool: slots } = holder.rate("concurrency key x", 1000, 0);
  const { pool: money } = holder.budget(budgetId);
  for (const [pool, amount] of [
    [tokens, 1000n],
    [slots, 1n],
    [money, toUnits("1")],
  ] as const) {
    const taken = await Promise.all(calls.map(() => pool.take(amount)));
    expect(taken).toEqual(calls.map(() => amount));
  }
});

test("somebody who asks for more than there can ever be is refused, and the others are not", async () => {
  await using database = await createDatabase();
  await using holder = await openHolder(database);
  const { pool } = holder.rate("tokens key x", 1000, 60_000);
  const [greedy, modest] = await Promise.all([pool.take(2n ** 100n), pool.take(10n)]);
  expect(greedy).toHaveProperty("short");
  expect(modest).toBe(10n);
  expect(await pool.take(2n ** 100n)).toHaveProperty("short");
  expect(await pool.take(10n)).toBe(10n);
});

test("while rates cannot be dealt with, what a budget grants is not lost", async () => {
  await using database = await createDatabase();
  const budgetId = await plantBudget(database.sql as never, "1000");
  const guard: Guard = (service) =>
    Object.fromEntries(
      Object.entries(service).map(([name, method]) => [
        name,
        async (...args: unknown[]) => {
          if (name === "rates" && (args[0] as unknown[]).length > 0) throw new Error("nobody answers");
          if (name === "budgets") await turn();
          return method(...args);
        },
      ]),
    ) as typeof service;
  await using holder = await openHolder(database, { guard });
  const { pool: slots } = holder.rate("concurrency key x", 1000, 0);
  const { pool: money } = holder.budget(budgetId);
  const one = toUnits("1");
  let taken = 0n;
  for (let round = 0; round < 5; round++) {
    const [got, none] = await Promise.all([money.take(one), slots.take(1n)]);
    expect(none).toEqual({ away: true });
    if (got === one) taken += one;
  }
  expect(taken).toBe(5n * one);
  expect(toUnits(String(await leased(database)))).toBe(money.state().free + taken);
});

test("a dealing that the database refuses is not asked for again and again, and nothing of it is lost", async () => {
  await using database = await createDatabase();
  const guard: Guard = (service) =>
    Object.fromEntries(
      Object.entries(service).map(([name, method]) => [
        name,
        async (...args: unknown[]) => {
          const [dealing] = args as [{ need: string }[]];
          if (name === "rates" && dealing.some(({ need }) => need === "500")) {
            await database.sql`select (1 / 0)::int`;
          }
          return method(...args);
        },
      ]),
    ) as typeof service;
  await using holder = await openHolder(database, { guard });
  const meter = holder.rate("tokens key x", 1000, 60_000);
  expect(await meter.pool.take(100n)).toBe(100n);
  meter.spend(100, 70, holder.leases.databaseNow());
  expect(await meter.pool.take(500n)).toEqual({ away: true });
  expect(await meter.pool.take(300n)).toBe(300n);
  const { used, held, free } = meter.pool.state();
  expect([used, held - free]).toEqual([70n, 300n]);
});
