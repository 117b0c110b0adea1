import type { Sql } from "../database/pool.ts";
import type { Uuid } from "../id.ts";
import { type CopyLine, copyNull, copyValue, lengthOf } from "../sql/copy.ts";
import { insertLedgerMany } from "../sql/ledger.ts";
import {
  insertFreshRequestContentMany,
  insertFreshRequestMany,
  insertRequestContentMany,
  insertRequestMany,
  limitWriting,
  requestContentLine,
} from "../sql/request.ts";
import { insertUsageMany } from "../sql/usage-rollup.ts";
import { storedAttempts } from "./attempts.ts";
import { type ChargedCall, ledgerOf } from "./ledger.ts";
import type { CallRecord, Charges } from "./record.ts";
import { rollUp } from "./rollup.ts";

/** A call that is over and not in the database yet. */
export interface Closed {
  id: Uuid;
  record: CallRecord;
  charges: Charges | undefined;
  /** The two above as `copy` takes them. */
  row: CopyLine;
  /** JSON texts, alike. */
  question: string;
  answer: string;
  truncated: boolean;
}

/** What a record takes beside its texts, roughly, in characters. */
const recordSize = 1000;

/** What of an item counts towards the bounds, in characters. */
export const sizeOf = ({ row, question, answer }: Closed): number =>
  recordSize + lengthOf(row) + question.length + answer.length;

const hasContent = ({ question, answer }: Closed): boolean => question !== copyNull || answer !== copyNull;

/** The content of a call as a line for `copy`. */
const contentLine = ({ id, record: { app_id }, question, answer, truncated }: Closed): CopyLine =>
  requestContentLine({ id, app_id, question, answer, truncated });

/** Writes a batch of calls none of which is in the database. @throws `23505` where one is. */
const writeFresh = (sql: Sql, batch: readonly Closed[], holderId: Uuid): Promise<unknown> =>
  sql.begin(async (tx) => {
    await limitWriting(tx);
    await insertFreshRequestMany(
      tx,
      batch.map(({ row }) => row),
    );
    const content = batch.filter(hasContent).map(contentLine);
    if (content.length > 0) await insertFreshRequestContentMany(tx, content);
    await writeSums(tx, batch, holderId);
  });

/** What calls add to the sums, and what they cost their budgets. */
const writeSums = async (
  tx: Parameters<typeof insertUsageMany>[0],
  items: readonly Closed[],
  holderId: Uuid,
): Promise<void> => {
  await insertUsageMany(tx, rollUp(items.map(({ record }) => record)));
  const charged: ChargedCall[] = [];
  for (const { record, charges } of items) if (charges) charged.push({ record, charges: charges.list });
  const booked = ledgerOf(charged, "call", new Date().toISOString());
  // Last, since others wait for the locks.
  if (booked.length > 0) await insertLedgerMany(tx, booked, holderId);
};

/** A call as a JSON text. */
const requestJson = ({ record, charges }: Closed): string =>
  JSON.stringify({ ...record, attempts: storedAttempts(record, record.attempts), charges: charges?.list });

/** What was asked and answered as members of one. */
const contentJson = ({ question, answer, truncated }: Closed): string =>
  `"question":${copyValue(question)},"answer":${copyValue(answer)},"truncated":${truncated}`;

/** A call with its content as a JSON text, for a person. */
export const closedJson = (item: Closed): string => `{"record":${requestJson(item)},${contentJson(item)}}`;

/** Writes what of a batch is not in the database yet. */
const writeRest = (sql: Sql, batch: readonly Closed[], holderId: Uuid): Promise<unknown> =>
  sql.begin(async (tx) => {
    await limitWriting(tx);
    const fresh = new Set(await insertRequestMany(tx, `[${batch.map(requestJson).join(",")}]`));
    // Each once, though it may stand in the batch twice.
    const items = batch.filter(({ id }) => fresh.delete(id));
    if (items.length === 0) return;
    const content = items
      .filter(hasContent)
      .map((item) => `{"id":"${item.id}","app_id":"${item.record.app_id}",${contentJson(item)}}`);
    if (content.length > 0) await insertRequestContentMany(tx, `[${content.join(",")}]`);
    await writeSums(tx, items, holderId);
  });

const sqlState = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : "";

const uniqueViolation = "23505";

/**
 * Writes a batch to the database, in one transaction: the calls, their content, the sums, and what they cost their budgets,
 * which is taken from what the process `holderId` has on lease. A call that is there already is left alone, and counted in
 * no sum again.
 */
export async function writeBatch(sql: Sql, batch: readonly Closed[], holderId: Uuid): Promise<void> {
  try {
    await writeFresh(sql, batch, holderId);
  } catch (error) {
    // Rare: only what was written once and not heard of comes again.
    if (sqlState(error) !== uniqueViolation) throw error;
    await writeRest(sql, batch, holderId);
  }
}

/** SQLSTATE classes of what the data itself is to blame for: it does not fit, or breaks a rule. */
const isRefusal = (error: unknown): boolean => /^(?:22|23)\w{3}$/.test(sqlState(error));

/**
 * As {@link writeBatch}, but what the database does not take is found, by halves, and handed to `reject`; the rest is
 * written. @throws where the database is away.
 */
export async function writeOrReject(
  sql: Sql,
  batch: readonly Closed[],
  holderId: Uuid,
  reject: (item: Closed, error: unknown) => void,
): Promise<void> {
  try {
    await writeBatch(sql, batch, holderId);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    const [only] = batch;
    if (batch.length === 1 && only) return reject(only, error);
    const half = Math.ceil(batch.length / 2);
    await writeOrReject(sql, batch.slice(0, half), holderId, reject);
    await writeOrReject(sql, batch.slice(half), holderId, reject);
  }
}
