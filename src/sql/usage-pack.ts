import type { Db } from "./db.ts";

/** Times of one row of sums; see {@link listLooseTimes}. */
export interface LooseTimes {
  /** Where the row is; holds as long as it is locked. */
  place: string;
  /** Both histograms as `numeric_send` writes numbers, and those that are packed already, in base64. */
  times: string;
}

/** What is less than this, in bytes, is read fast enough as it is: a few calls. */
const looseMin = 200;

/**
 * Locks users' sums by the month from a time on whose histograms are worth packing. Leaves out what others are writing: who waits for
 * nobody can hold nobody up for ever.
 */
export function listLooseTimes(
  db: Db,
  { from, limit }: { from: Date; limit: number },
): Promise<LooseTimes[]> {
  return db<LooseTimes[]>`
    select ctid::text as place,
      encode(numeric_send(ttft) || numeric_send(duration) || coalesce(times, ''), 'base64') as times
    from usage
    where grain = 'month' and starts_at >= ${from} and cut = 'user'
      and pg_column_size(ttft) + pg_column_size(duration) >= ${looseMin}
    limit ${limit} for update skip locked`;
}

/** Keeps the packed times of rows that are locked, in base64, in place of those that were not packed. */
export async function updatePackedTimes(
  db: Db,
  rows: readonly { place: string; times: string }[],
): Promise<void> {
  await db`
    update usage set ttft = 0, duration = 0, times = decode(packed.times, 'base64')
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as packed (place tid, times text)
    where usage.ctid = packed.place`;
}
