import type { Db } from "./db.ts";

/**
 * Makes the transaction fit for questions over many records: ends a statement that runs longer than `msMax`; plans each for its own
 * values, since what is rare needs another way than what is common; compiles nothing, which takes longer than the answer; and gives
 * sums the memory that histograms take.
 */
export async function startReading(db: Db, msMax: number): Promise<void> {
  await db`
    select set_config('statement_timeout', ${Math.max(1, Math.round(msMax))}::text, true),
      set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true),
      set_config('work_mem', '64MB', true)`;
}
