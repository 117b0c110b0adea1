import { expect, test } from "bun:test";
import type { Actor } from "../../src/auth/principal.ts";
import { createPool } from "../../src/database/pool.ts";
import { newId } from "../../src/id.ts";
import { toUnits } from "../../src/metering/money.ts";
import { releaseLease } from "../../src/metering/release.ts";
import { createLeaseService } from "../../src/services/lease.ts";
import { createDatabase } from "../harness/database.ts";
import { until } from "../harness/people.ts";
import { openHolder, plantBudget } from "../limits/processes.ts";

const actor: Actor = { kind: "command", id: "operator" } as never;

test("what is written off while its journal is brought in is taken back", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const onlooker = createPool(database.url, { size: 1 });
  const budgetId = await plantBudget(sql as never, "10");
  await using holder = await openHolder(database);
  const amount = toUnits("1");
  expect(await holder.budget(budgetId).pool.take(amount)).toBe(amount);
  const gone = newId();
  await sql`
    insert into lease_holder select * from json_populate_record(
      (select lease_holder from lease_holder), ${JSON.stringify({ id: gone, expires_at: new Date(0) })}::text::json)`;
  await sql`update budget_lease set holder_id = ${gone}`;

  const reached = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const record = async () => {
    reached.resolve();
    await goOn.promise;
  };
  const leases = createLeaseService({ sql, audit: { record } as never });
  const settling = leases.settle(actor, gone, "all");
  await reached.promise;
  const releasing = releaseLease(sql, gone);
  await until(async () => {
    const [row] = await onlooker`
      select count(*)::int as waiting from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`;
    return row?.waiting === 1;
  });
  goOn.resolve();
  await Promise.all([settling, releasing]);
  const [period] = await sql`select spent::float8 as spent from budget_period`;
  expect(period).toEqual({ spent: 0 });
  expect(await sql`select from budget_lease`).toHaveLength(0);
  await onlooker.end();
});
