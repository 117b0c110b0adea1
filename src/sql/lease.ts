import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** What a process hears when it says that it lives. */
export interface Beat {
  /** It had fallen silent for too long: what it held of the rates, or of calls at once, is forfeit. */
  lapsed: boolean;
  slots_lapsed: boolean;
  /** The database's clock, in milliseconds since 1970, rounded down. */
  now_ms: string;
}

/** One process's dealings with one limit; amounts are whole numbers (rates) or decimals (budgets) as text. */
interface Dealing {
  /** Names the dealing: one whose outcome is not known is asked for again, and counts once. */
  op: Uuid;
  /** Granted at least, or nothing is. */
  need: string;
  /** Granted where there is that much. */
  want: string;
  /** Granted on top, as far as an eighth of what is left goes. */
  ahead: string;
  /** Given back. */
  back: string;
}

/** Dealings with a rate. */
export interface RateDealing extends Dealing {
  name: string;
  bound: string;
  /** Length of the window, in milliseconds; 0 for calls at once. */
  window_ms: number;
  /** What was spent and is not known yet: in which 256ths of a window since 1970, and how much. */
  spent_cells: readonly number[];
  spent_amounts: readonly string[];
}

/** What came of it. */
export interface RateTold {
  granted: string;
  /** In the window that ends now. */
  used: string;
  /** By all processes together. */
  held: string;
  /** Until there is room for `need`, as far as that depends on what was used; `null` where it does not. */
  wait_ms: string | null;
  now_ms: string;
}

/** Dealings with a period of a budget. */
export interface BudgetDealing extends Dealing {
  budget_id: Uuid;
  end_user: string;
  /** `null` for the period that is now. */
  starts_at: string | null;
}

/** What came of it; nothing but `null`s where there is no such budget. */
export interface BudgetTold {
  granted: string | null;
  spent: string | null;
  held: string | null;
  bound: string | null;
  period_start: Date | null;
  period_end: Date | null;
  /** What somebody has written off of this process's lease since it was last told. */
  written_off: string | null;
}

/** Says that a process lives, and for how long it may be taken to, in milliseconds. */
export async function updateLeaseHolder(
  db: Db,
  it: { id: Uuid; name: string; leaseMs: number; slotsMs: number },
): Promise<Beat> {
  const [beat] = await db<[Beat]>`
    select * from beat_lease_holder(${it.id}, ${it.name}, ${it.leaseMs}, ${it.slotsMs})`;
  return beat;
}

/** Deals with several rates; they are locked in the order of their names, the same for everybody. Answers in that of `dealings`. */
export async function updateRateLeaseMany(
  db: Db,
  holderId: Uuid,
  dealings: readonly RateDealing[],
): Promise<RateTold[]> {
  const numbered = JSON.stringify(dealings.map((each, place) => ({ ...each, place })));
  const rows = await db<(RateTold & { place: number })[]>`
    select ask.place, told.* from (
      select * from jsonb_to_recordset(${numbered}::text::jsonb) as each (place integer, name text, op uuid, bound bigint,
        window_ms integer, spent_cells bigint[], spent_amounts bigint[], need bigint, want bigint, ahead bigint, back bigint)
      order by name
    ) ask cross join lateral lease_rate(${holderId}, ask.name, ask.op, ask.bound, ask.window_ms, ask.spent_cells,
      ask.spent_amounts, ask.need, ask.want, ask.ahead, ask.back) told`;
  return rows.sort((a, b) => a.place - b.place);
}

/** Deals with several budgets, in the same manner. */
export async function updateBudgetLeaseMany(
  db: Db,
  holderId: Uuid,
  dealings: readonly BudgetDealing[],
): Promise<BudgetTold[]> {
  const numbered = JSON.stringify(dealings.map((each, place) => ({ ...each, place })));
  const rows = await db<(BudgetTold & { place: number })[]>`
    select ask.place, told.* from (
      select * from jsonb_to_recordset(${numbered}::text::jsonb) as each (place integer, budget_id uuid, end_user text,
        op uuid, starts_at timestamptz, need numeric, want numeric, ahead numeric, back numeric)
      order by budget_id, end_user, starts_at
    ) ask cross join lateral lease_budget(${holderId}, ask.budget_id, ask.end_user, ask.op, ask.starts_at,
      ask.need, ask.want, ask.ahead, ask.back) told`;
  return rows.sort((a, b) => a.place - b.place);
}

/** Lets only one at a time decide what becomes of the leases of a process that is gone, until the commit. */
export async function lockLeases(db: Db, holderId: Uuid): Promise<void> {
  await db`select pg_advisory_xact_lock(hashtextextended(${`llmops leases ${holderId}`}, 0))`;
}

/** Ends all leases of a process, and forgets it: everything it has spent is written down. */
export async function deleteLeaseHolder(db: Db, id: Uuid): Promise<void> {
  await db`delete from rate_lease where holder_id = ${id}`;
  await db`delete from budget_lease where holder_id = ${id}`;
  await db`delete from lease_holder where id = ${id}`;
}

/** A process that holds a part of budgets, alive or not. */
export interface HeldLease {
  holder_id: Uuid;
  name: string | null;
  started_at: Date | null;
  expires_at: Date | null;
  /** Nobody has heard of the process for longer than its lease. */
  unknown: boolean;
  budget_id: Uuid;
  budget: string;
  end_user: string;
  starts_at: Date;
  currency: string;
  amount: string;
}

/** Lists what processes hold of budgets; only of those that are gone with `unknown`. */
export async function listHeldLease(
  db: Db,
  { unknown, holderId }: { unknown?: boolean; holderId?: Uuid } = {},
): Promise<HeldLease[]> {
  return db<HeldLease[]>`
    select * from (
      select l.holder_id, h.name, h.started_at, h.expires_at,
        coalesce(h.expires_at, '-infinity') < clock_timestamp() as unknown,
        l.budget_id, b.name as budget, l.end_user, l.starts_at, b.currency, trim_scale(l.amount)::text as amount
      from budget_lease l join budget b on b.id = l.budget_id left join lease_holder h on h.id = l.holder_id
      where l.amount > 0 ${holderId === undefined ? db`` : db`and l.holder_id = ${holderId}`}) held
    where ${unknown === undefined} or unknown = ${unknown ?? false}
    order by holder_id, budget_id, end_user, starts_at`;
}

/** Keeps what one lease holds until the commit, and tells it. */
export async function findBudgetLease(
  db: Db,
  at: { budgetId: Uuid; endUser: string; startsAt: Date; holderId: Uuid },
): Promise<string | undefined> {
  await db`
    select from budget_period
    where budget_id = ${at.budgetId} and end_user = ${at.endUser} and starts_at = ${at.startsAt} for update`;
  const [row] = await db<{ amount: string }[]>`
    select trim_scale(amount)::text as amount from budget_lease
    where budget_id = ${at.budgetId} and end_user = ${at.endUser} and starts_at = ${at.startsAt}
      and holder_id = ${at.holderId}`;
  return row?.amount;
}

/** Takes `amount` from a lease for good; its process is told, should it live. */
export async function updateBudgetLeaseWrittenOff(
  db: Db,
  at: { budgetId: Uuid; endUser: string; startsAt: Date; holderId: Uuid; amount: string },
): Promise<void> {
  await db`
    update budget_lease set amount = amount - ${at.amount}::numeric, written_off = written_off + ${at.amount}::numeric
    where budget_id = ${at.budgetId} and end_user = ${at.endUser} and starts_at = ${at.startsAt}
      and holder_id = ${at.holderId}`;
}

/** Forgets what no process has used for an hour, and processes that hold nothing and have been gone for a day. */
export async function deleteIdleLease(db: Db): Promise<void> {
  await db`
    delete from rate_lease l using lease_holder h
    where h.id = l.holder_id and h.expires_at < clock_timestamp() - interval '1 hour'`;
  await db`
    delete from rate_lease l using rate_counter c
    where c.name = l.name and c.used_at < clock_timestamp() - interval '1 hour' and l.amount = 0`;
  await db`
    delete from rate_counter c where used_at < clock_timestamp() - interval '1 hour'
      and not exists (select from rate_lease l where l.name = c.name)`;
  await db`
    delete from lease_holder h where expires_at < clock_timestamp() - interval '1 day'
      and not exists (select from budget_lease l where l.holder_id = h.id and l.amount > 0)`;
}
