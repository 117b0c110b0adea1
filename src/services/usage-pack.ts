import type { Sql } from "../database/pool.ts";
import { emptyTimes, packHistogram, readTimes } from "../metering/histogram.ts";
import { listLooseTimes, updatePackedTimes } from "../sql/usage-pack.ts";

/** How many rows are packed, and locked, at once. */
const batchRows = 1000;

/** Packs what has come together of the times of users' months, from the month of a time on. */
export async function packUsage(sql: Sql, from: Date): Promise<void> {
  const both = emptyTimes();
  for (let packed = batchRows; packed === batchRows; ) {
    packed = await sql.begin(async (tx) => {
      const rows = await listLooseTimes(tx, { from, limit: batchRows });
      const packs = rows.map(({ place, times }) => {
        readTimes(both, Buffer.from(times, "base64"));
        return { place, times: Buffer.from(both.flatMap(packHistogram)).toString("base64") };
      });
      if (packs.length > 0) await updatePackedTimes(tx, packs);
      return rows.length;
    });
  }
}
