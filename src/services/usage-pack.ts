import type { Sql } from "../database/pool.ts";
import { addPacked, addSent, clear, emptyHistogram, packHistogram } from "../metering/histogram.ts";
import { listLooseTimes, updatePackedTimes } from "../sql/usage-pack.ts";

/** How many rows are packed, and locked, at once. */
const batchRows = 1000;

/** Packs what has come together of the times of users' months, from the month of a time on. */
export async function packUsage(sql: Sql, from: Date): Promise<void> {
  const [ttft, duration] = [emptyHistogram(), emptyHistogram()];
  for (let packed = batchRows; packed === batchRows; ) {
    packed = await sql.begin(async (tx) => {
      const rows = await listLooseTimes(tx, { from, limit: batchRows });
      const times = rows.map(({ place, sent, times }) => {
        clear(ttft);
        clear(duration);
        const loose = Buffer.from(sent, "base64");
        addSent(duration, loose, addSent(ttft, loose, 0));
        const before = Buffer.from(times ?? "", "base64");
        if (times !== null) addPacked(duration, before, addPacked(ttft, before, 0));
        const both = Buffer.from([...packHistogram(ttft), ...packHistogram(duration)]);
        return { place, times: both.toString("base64") };
      });
      if (times.length > 0) await updatePackedTimes(tx, times);
      return rows.length;
    });
  }
}
