import type postgres from "postgres";
import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";
import { type Viewer, visibleTo } from "./visible.ts";

/** Whose spending a budget bounds. */
export type BudgetScope = "key" | "app" | "account" | "user";

/** How long a budget lasts before it begins anew. */
export type BudgetPeriod = "day" | "week" | "month" | "forever";

/** How much may be spent in a period; amounts are exact decimals as text. */
export interface BudgetRow {
  id: Uuid;
  name: string;
  scope: BudgetScope;
  /** A key, an app or an account; with the scope `user` the app whose user it is. */
  subject_id: Uuid;
  /** With the scope `user`: that one user, or `null` where each of the app's users has the budget. */
  end_user: string | null;
  period: BudgetPeriod;
  /** An IANA name; where its days begin. */
  time_zone: string;
  /** ISO 4217. */
  currency: string;
  amount: string;
  /** Calls are refused where it is used up, and not only counted. */
  hard: boolean;
  /** Shares of the amount, above 0 and up to 1, the least first. */
  warn_at: number[];
  status: "" | "disabled";
  created_at: Date;
  updated_at: Date;
  deleted_at: Date | null;
}

const columns = (db: Db) => db`
  id, name, scope, subject_id, end_user, period, time_zone, currency, trim_scale(amount) as amount, hard,
  warn_at::float8[] as warn_at, status, created_at, updated_at, deleted_at`;

/** A condition for `where`: budgets of apps that the viewer sees, with their keys and users, and of the viewer. */
const visibleBudget = (db: Db, viewer: Viewer): postgres.PendingQuery<postgres.Row[]> =>
  viewer.seesAll
    ? db`true`
    : db`case scope
        when 'account' then subject_id = ${viewer.accountId}
        when 'key' then exists (
          select from app_key join app on app.id = app_key.app_id
          where app_key.id = subject_id and app.deleted_at is null and ${visibleTo(db, viewer)})
        else exists (
          select from app where app.id = subject_id and app.deleted_at is null and ${visibleTo(db, viewer)})
      end`;

/** Stores a new budget. */
export async function insertBudget(db: Db, budget: BudgetRow): Promise<void> {
  await db`insert into budget ${db(budget as never)}`;
}

/**
 * Finds a budget that the viewer may see; `undefined` if there is none, or no more. With `lock` it stays as it is until
 * the commit.
 */
export async function findBudget(
  db: Db,
  { id, viewer, lock = false }: { id: Uuid; viewer: Viewer; lock?: boolean },
): Promise<BudgetRow | undefined> {
  const [row] = await db<BudgetRow[]>`
    select ${columns(db)} from budget
    where id = ${id} and deleted_at is null and ${visibleBudget(db, viewer)}
    ${lock ? db`for update of budget` : db``}`;
  return row;
}

/** What to list: budgets that match all of it, before the cursor. */
export interface BudgetFilter {
  viewer: Viewer;
  scope?: BudgetScope;
  subjectId?: Uuid;
  /** The last id of the page before. */
  before?: Uuid;
  limit: number;
}

/** Lists budgets that the viewer may see, newest first, by keyset on the id. */
export async function listBudget(
  db: Db,
  { viewer, scope, subjectId, before, limit }: BudgetFilter,
): Promise<BudgetRow[]> {
  return db<BudgetRow[]>`
    select ${columns(db)} from budget
    where deleted_at is null and ${visibleBudget(db, viewer)}
      ${scope === undefined ? db`` : db`and scope = ${scope}`}
      ${subjectId === undefined ? db`` : db`and subject_id = ${subjectId}`}
      ${before === undefined ? db`` : db`and id < ${before}`}
    order by id desc limit ${limit}`;
}

/** Lists all budgets that are in use. */
export const listUsableBudget = async (db: Db): Promise<BudgetRow[]> => db<BudgetRow[]>`
  select ${columns(db)} from budget where deleted_at is null and status = ''`;

/** Replaces what may be changed of a budget; anything else would be another budget. */
export async function updateBudget(
  db: Db,
  { id, name, amount, hard, warn_at, status, updated_at }: BudgetRow,
): Promise<void> {
  await db`
    update budget set ${db({ name, amount, hard, warn_at, status, updated_at } as never)} where id = ${id}`;
}

/** Marks a budget as deleted; what was spent of it stays. */
export async function deleteBudget(db: Db, { id, at }: { id: Uuid; at: Date }): Promise<void> {
  await db`update budget set deleted_at = ${at}, updated_at = ${at} where id = ${id} and deleted_at is null`;
}
