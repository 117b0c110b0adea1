import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import type { Log } from "../log.ts";
import {
  deleteHourlyUsage,
  deletePartitions,
  ensurePartitionMany,
  hasTextExtension,
  indexPartition,
  indexTexts,
  insertTextExtension,
  lockPartitions,
} from "../sql/partition.ts";
import { packUsage } from "./usage-pack.ts";

/** How many days ahead there are partitions. */
const daysAhead = 7;
/** How long sums by the hour are kept, in days. */
const hourlyDays = 400;

const dayMs = 86_400_000;

/** The day (UTC) that is so many days after one, as `2026-11-24`. */
const dayAfter = (date: Date, days: number): string =>
  new Date(date.getTime() + days * dayMs).toISOString().slice(0, 10);

/** How long calls and their content are kept, in days. */
export interface Retention {
  requestDays: number;
  contentDays: number;
}

/** Creates the service that looks after the daily partitions of the records. */
export function createPartitionService({
  sql,
  clock,
  log,
  retention,
}: {
  sql: Sql;
  clock: Clock;
  log: Log;
  retention: Retention;
}) {
  /** Whether texts can be indexed here; found out once. */
  let texts: boolean | undefined;
  /** The month from which on sums may have grown since they were packed; all of them at first. */
  let unpacked = new Date(0);
  const findTexts = async () => {
    await insertTextExtension(sql).catch(() => {});
    const found = await hasTextExtension(sql);
    if (!found) log.warn("the extension pg_trgm cannot be made: searching for text will be slow");
    return found;
  };

  return {
    /**
     * Makes the partitions of today and the seven days after it, drops what is past its time, and gives what is over its
     * indexes; packs users' sums by the month. One process at a time; another one finds it done. Returns whether it was this one.
     */
    async upkeep(): Promise<boolean> {
      const today = clock.now();
      texts ??= await findTexts();
      const wasOurs = await sql.begin(async (tx) => {
        await tx`set local lock_timeout = '5s'`;
        if (!(await lockPartitions(tx))) return false;
        const days = Array.from({ length: daysAhead + 2 }, (_, place) => dayAfter(today, place - 1));
        await ensurePartitionMany(tx, days);
        const dropped =
          (await deletePartitions(tx, {
            table: "request",
            before: dayAfter(today, -retention.requestDays),
          })) +
          (await deletePartitions(tx, {
            table: "request_content",
            before: dayAfter(today, -retention.contentDays),
          }));
        if (dropped > 0) log.info("records past their time were dropped", { partitions: dropped });
        await deleteHourlyUsage(tx, new Date(today.getTime() - hourlyDays * dayMs));
        return true;
      });
      if (!wasOurs) return false;
      // Outside of that transaction: an index takes its time, and holds nobody up but writers of that day. The newest first, and
      // all that are kept, in case nobody was there when a day was over.
      while (texts && (await indexTexts(sql, today)));
      for (let day = 1; day <= retention.requestDays; day++) await indexPartition(sql, dayAfter(today, -day));
      await packUsage(sql, unpacked);
      // What is brought in late is of the last month at most.
      unpacked = new Date(Date.UTC(today.getUTCFullYear(), today.getUTCMonth() - 1));
      return true;
    },
  };
}
