import type { Guard } from "../../src/database/health.ts";
import { newId, type Uuid } from "../../src/id.ts";
import { type BudgetMeter, createBudgetMeter } from "../../src/limits/budget-meter.ts";
import { type Leases, openLeases } from "../../src/limits/leases.ts";
import { createRateMeter, type RateMeter } from "../../src/limits/rate-meter.ts";
import { silentLog } from "../../src/log.ts";
import { insertBudget } from "../../src/sql/budget.ts";
import type { Db } from "../../src/sql/db.ts";
import type { TestDatabase } from "../harness/database.ts";

/** The leases of a process, as far as limits see one. */
export interface Holder extends AsyncDisposable {
  id: Uuid;
  leases: Leases;
  rate(name: string, bound: number, windowMs: number): RateMeter;
  budget(id: Uuid, endUser?: string): BudgetMeter;
}

/** Opens the leases of a process of its own; `now` is its clock. */
export async function openHolder(
  { sql }: Pick<TestDatabase, "sql">,
  { now = () => performance.now(), guard = (service) => service }: { now?: () => number; guard?: Guard } = {},
): Promise<Holder> {
  const id = newId();
  const leases = await openLeases({
    sql: sql as never,
    guard,
    holderId: id,
    name: "test",
    settled: () => true,
    unreleased: () => {},
    log: silentLog,
    now,
  });
  const idle = () => {};
  return {
    id,
    leases,
    rate: (name, bound, windowMs) => createRateMeter({ name, bound, windowMs, leases, now, idle }),
    budget: (budgetId, endUser = "") => createBudgetMeter({ budgetId, endUser, leases, now, idle }),
    [Symbol.asyncDispose]: () => Promise.resolve(leases[Symbol.asyncDispose]()),
  };
}

/** Stores a hard budget. */
export async function plantBudget(db: Db, amount: string, fields: object = {}): Promise<Uuid> {
  const now = new Date();
  const id = newId();
  await insertBudget(db, {
    id,
    name: "b",
    scope: "app",
    subject_id: newId(),
    end_user: null,
    period: "forever",
    time_zone: "UTC",
    currency: "USD",
    amount,
    hard: true,
    warn_at: [],
    status: "",
    created_at: now,
    updated_at: now,
    deleted_at: null,
    ...fields,
  });
  return id;
}
