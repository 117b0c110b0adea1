import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** What one unit of a currency is worth in another, from a time on. */
export interface RateRow {
  id: Uuid;
  /** ISO 4217, as is `quote`. */
  base: string;
  quote: string;
  /** How much of `quote` one unit of `base` is: an exact decimal as text. */
  value: string;
  valid_from: Date;
  /** Where the figure comes from. */
  source: string;
  created_at: Date;
}

const columns = (db: Db) => db`id, base, quote, trim_scale(value) as value, valid_from, source, created_at`;

/** Stores a rate. Returns whether there was none of the same currencies and time. */
export async function insertRate(db: Db, rate: RateRow): Promise<boolean> {
  const { count } = await db`
    insert into rate ${db(rate as never)} on conflict (base, quote, valid_from) do nothing`;
  return count === 1;
}

/** Finds a rate, and keeps it until the commit; `undefined` if there is none. */
export async function findRate(db: Db, id: Uuid): Promise<RateRow | undefined> {
  const [row] = await db<RateRow[]>`select ${columns(db)} from rate where id = ${id} for update`;
  return row;
}

/** What to list: rates that match all of it, before the cursor. */
export interface RateFilter {
  base?: string;
  quote?: string;
  /** The last id of the page before. */
  before?: Uuid;
  limit: number;
}

/** Lists rates, the last made first, by keyset on the id. */
export async function listRate(db: Db, { base, quote, before, limit }: RateFilter): Promise<RateRow[]> {
  return db<RateRow[]>`
    select ${columns(db)} from rate
    where true
      ${base === undefined ? db`` : db`and base = ${base}`}
      ${quote === undefined ? db`` : db`and quote = ${quote}`}
      ${before === undefined ? db`` : db`and id < ${before}`}
    order by id desc limit ${limit}`;
}

/** Lists all rates, the oldest first. */
export const listAllRate = async (db: Db): Promise<RateRow[]> => db<RateRow[]>`
  select ${columns(db)} from rate order by valid_from`;

/** Deletes a rate. */
export async function deleteRate(db: Db, id: Uuid): Promise<void> {
  await db`delete from rate where id = ${id}`;
}
