import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** How a budget stands in a period; amounts are exact decimals as text. */
export interface BudgetState {
  budget_id: Uuid;
  starts_at: Date;
  /** `null` for a period without an end. */
  ends_at: Date | null;
  /** How many users the sums are of, where each has the budget and it is not about one of them. */
  users: number | null;
  /** What is booked. */
  used: string;
  /** What living processes may still spend, or have spent and not booked yet. */
  held: string;
  /** The same of processes that have fallen silent, until their journal has been brought in. */
  unknown: string;
  limit: string;
  /** What nobody has spent or holds; never below 0. */
  left: string;
  exceeded_calls: number;
  exceeded: string;
  /** The shares of the limit that have been spent, the least first. */
  warnings: number[];
}

/** Which rows of a budget, beside its period: those of one user, or all. */
const ofUser = (db: Db, column: ReturnType<Db>, endUser: string | undefined) =>
  endUser === undefined ? db`` : db`and ${column} = ${endUser}`;

/**
 * How budgets stand in the period that `moment` falls into, and without it in the present one; one to come is the present
 * one as well. Where each user has the budget, it is the sum over the users that have a row, and the warnings are those of
 * the user who has spent most; with `endUser` it is that user alone.
 */
export async function listBudgetState(
  db: Db,
  { ids, endUser, moment }: { ids: readonly Uuid[]; endUser?: string; moment?: Date },
): Promise<BudgetState[]> {
  return db<BudgetState[]>`
    with period as (
      select budget.id, budget.amount, budget.warn_at, at.starts_at, at.ends_at,
        scope = 'user' and end_user is null and ${endUser ?? null}::text is null as of_each
      from budget, budget_period_at(period, time_zone,
        least(greatest(coalesce(${moment ?? null}::timestamptz, clock_timestamp()), 'epoch'), clock_timestamp())) at
      where budget.id = any(${ids as Uuid[]})
    ), spending as (
      select period.*, spent.end_user, not of_each or spent.end_user is not null as counts,
        coalesce(spent.spent, 0) as used, coalesce(leased.held, 0) as held, coalesce(leased.unknown, 0) as unknown,
        coalesce(spent.exceeded_calls, 0) as exceeded_calls, coalesce(spent.exceeded, 0) as exceeded
      from period
      left join budget_period spent on spent.budget_id = period.id and spent.starts_at = period.starts_at
        ${ofUser(db, db`spent.end_user`, endUser)}
      left join lateral (
        select sum(lease.amount) filter (where holder.expires_at > clock_timestamp()) as held,
          sum(lease.amount) filter (where (holder.expires_at > clock_timestamp()) is not true) as unknown
        from budget_lease lease left join lease_holder holder on holder.id = lease.holder_id
        where lease.budget_id = spent.budget_id and lease.end_user = spent.end_user
          and lease.starts_at = spent.starts_at and lease.amount > 0) leased on true
    ), total as (
      select id, starts_at, ends_at, amount, warn_at, case when of_each then count(end_user)::int end as users, sum(used) as used,
        sum(held) as held, sum(unknown) as unknown, amount * count(*) filter (where counts) as bound,
        coalesce(sum(greatest(amount - used - held - unknown, 0)) filter (where counts), 0) as free,
        sum(exceeded_calls) as exceeded_calls, sum(exceeded) as exceeded, max(used) filter (where counts) as most
      from spending
      group by id, starts_at, ends_at, amount, warn_at, of_each
    )
    select id as budget_id, starts_at, ends_at, users, trim_scale(used) as used, trim_scale(held) as held,
      trim_scale(unknown) as unknown, trim_scale(bound) as limit, trim_scale(free) as left,
      exceeded_calls::float8 as exceeded_calls, trim_scale(exceeded) as exceeded,
      array(select share::float8 from unnest(warn_at) share where share * amount <= most order by share) as warnings
    from total`;
}

/** Rows of a budget's period: of one user, or of all. */
export interface BudgetAt {
  budgetId: Uuid;
  startsAt: Date;
  endUser?: string;
}

/** What one process holds of a budget; `name` and `expires_at` are `null` where nothing more is known of it. */
export interface BudgetLeaseRow {
  holder_id: Uuid;
  end_user: string;
  name: string | null;
  amount: string;
  expires_at: Date | null;
  /** It has fallen silent: nobody knows how much of it was spent. */
  unknown: boolean;
}

/** Lists what processes hold of a budget's period, the most first; one that has spent more than it had holds nothing. */
export async function listBudgetLease(
  db: Db,
  { budgetId, startsAt, endUser, limit }: BudgetAt & { limit: number },
): Promise<BudgetLeaseRow[]> {
  return db<BudgetLeaseRow[]>`
    select holder_id, end_user, name, trim_scale(amount) as amount, expires_at,
      (expires_at > clock_timestamp()) is not true as unknown
    from budget_lease lease left join lease_holder holder on holder.id = holder_id
    where budget_id = ${budgetId} and starts_at = ${startsAt} ${ofUser(db, db`end_user`, endUser)} and amount > 0
    order by lease.amount desc, holder_id, end_user limit ${limit}`;
}

/** One amount that was booked to a budget. */
export interface LedgerEntry {
  id: Uuid;
  end_user: string;
  kind: "call" | "reprice" | "write_off";
  request_id: Uuid | null;
  currency: string;
  /** In the currency of the price. */
  cost: string;
  /** What one unit of that currency was worth in the budget's. */
  rate: string;
  amount: string;
  bound_exceeded: boolean;
  created_at: Date;
}

/** Lists what was booked to a budget's period, newest first, by keyset on the id. */
export async function listBudgetLedger(
  db: Db,
  { budgetId, startsAt, endUser, before, limit }: BudgetAt & { before?: Uuid; limit: number },
): Promise<LedgerEntry[]> {
  return db<LedgerEntry[]>`
    select id, end_user, kind, request_id, currency, trim_scale(cost) as cost, trim_scale(rate) as rate,
      trim_scale(amount) as amount, bound_exceeded, created_at
    from ledger
    where budget_id = ${budgetId} and starts_at = ${startsAt} ${ofUser(db, db`end_user`, endUser)}
      ${before === undefined ? db`` : db`and id < ${before}`}
    order by id desc limit ${limit}`;
}

/** What the ledger of a budget's period adds up to, what the period says was spent, and whether that is the same. */
export interface BudgetSums {
  ledger: string;
  spent: string;
  equal: boolean;
}

/** Adds up a budget's period: the whole ledger of the budget is read. */
export async function sumBudgetLedger(
  db: Db,
  { budgetId, startsAt, endUser }: BudgetAt,
): Promise<BudgetSums> {
  const [row] = await db<BudgetSums[]>`
    select trim_scale(booked) as ledger, trim_scale(spent) as spent, booked = spent as equal
    from (
      select coalesce(sum(amount), 0) as booked from ledger
      where budget_id = ${budgetId} and starts_at = ${startsAt} ${ofUser(db, db`end_user`, endUser)}) ledger, (
      select coalesce(sum(spent), 0) as spent from budget_period
      where budget_id = ${budgetId} and starts_at = ${startsAt} ${ofUser(db, db`end_user`, endUser)}) period`;
  return row ?? { ledger: "0", spent: "0", equal: true };
}

/** Whether the database knows a time zone of this name. Not for a transaction, which ends where it does not. */
export async function hasTimeZone(db: Db, name: string): Promise<boolean> {
  try {
    // Its list of names would take a fifth of a second to read.
    await db`select clock_timestamp() at time zone ${name}`;
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "22023") return false;
    throw error;
  }
}
