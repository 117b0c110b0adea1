import type { Sql } from "../database/pool.ts";
import type { Uuid } from "../id.ts";
import { insertRequestContentMany, insertRequestMany } from "../sql/request.ts";
import { insertUsageLatencyMany, insertUsageMany } from "../sql/usage-rollup.ts";
import type { CallRecord } from "./record.ts";
import { rollUp } from "./rollup.ts";

/** A call that is over and not in the database yet. The texts are JSON, as they stand in the journal. */
export interface Closed {
  id: Uuid;
  record: string;
  question: string | undefined;
  answer: string | undefined;
  truncated: boolean;
}

/** What of an item counts towards the bounds, in characters. */
export const sizeOf = ({ record, question, answer }: Closed): number =>
  record.length + (question?.length ?? 0) + (answer?.length ?? 0);

/** The content of a call as a row; nothing where nothing is kept. */
function contentRow({ id, record, question, answer, truncated }: Closed): string[] {
  if (question === undefined && answer === undefined) return [];
  const { app_id } = JSON.parse(record) as CallRecord;
  return [
    `{"id":"${id}","app_id":"${app_id}","question":${question ?? "null"},"answer":${answer ?? "null"},"truncated":${truncated}}`,
  ];
}

/**
 * Writes a batch to the database, in one transaction: the calls, their content, and the sums. A call that is there already is
 * left alone, and counted in no sum again.
 */
export async function writeBatch(sql: Sql, batch: readonly Closed[]): Promise<void> {
  await sql.begin(async (tx) => {
    const fresh = new Set(await insertRequestMany(tx, `[${batch.map(({ record }) => record).join(",")}]`));
    // Each once, though it may stand in the batch twice.
    const items = batch.filter(({ id }) => fresh.delete(id));
    if (items.length === 0) return;
    const { usage, latency } = rollUp(items.map(({ record }) => JSON.parse(record) as CallRecord));
    const content = items.flatMap(contentRow);
    await Promise.all([
      content.length > 0 && insertRequestContentMany(tx, `[${content.join(",")}]`),
      insertUsageMany(tx, usage),
      insertUsageLatencyMany(tx, latency),
    ]);
  });
}

/** SQLSTATE classes of what the data itself is to blame for: it does not fit, or breaks a rule. */
const isRefusal = (error: unknown): boolean =>
  error instanceof Error && "code" in error && /^(?:22|23)\w{3}$/.test(String(error.code));

/**
 * As {@link writeBatch}, but what the database does not take is found, by halves, and handed to `reject`; the rest is
 * written. @throws where the database is away.
 */
export async function writeOrReject(
  sql: Sql,
  batch: readonly Closed[],
  reject: (item: Closed, error: unknown) => void,
): Promise<void> {
  try {
    await writeBatch(sql, batch);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    const [only] = batch;
    if (batch.length === 1 && only) return reject(only, error);
    const half = Math.ceil(batch.length / 2);
    await writeOrReject(sql, batch.slice(0, half), reject);
    await writeOrReject(sql, batch.slice(half), reject);
  }
}
