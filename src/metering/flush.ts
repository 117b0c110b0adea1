import { appendFileSync } from "node:fs";
import { join } from "node:path";
import type { Sql } from "../database/pool.ts";
import type { Uuid } from "../id.ts";
import type { Log } from "../log.ts";
import { insertLedgerMany } from "../sql/ledger.ts";
import {
  insertFreshRequestContentMany,
  insertFreshRequestMany,
  insertRequestContentMany,
  insertRequestMany,
  limitWriting,
} from "../sql/request.ts";
import { insertUsageMany } from "../sql/usage-rollup.ts";
import { storedAttempts } from "./attempts.ts";
import { Batch } from "./batch.ts";
import { rejectedName } from "./journal.ts";
import { type Closed, hasContent } from "./lines.ts";

/** Writes a batch of calls none of which is in the database. @throws `23505` where one is. */
const writeFresh = (sql: Sql, batch: Batch, holderId: Uuid): Promise<unknown> =>
  sql.begin(async (tx) => {
    await limitWriting(tx);
    await insertFreshRequestMany(tx, batch.requests);
    if (!batch.contents.empty) await insertFreshRequestContentMany(tx, batch.contents);
    await writeSums(tx, batch, holderId);
  });

/** What calls add to the sums, and what they cost their budgets. */
const writeSums = async (
  tx: Parameters<typeof insertUsageMany>[0],
  { sums, bookings }: Batch,
  holderId: Uuid,
): Promise<void> => {
  await insertUsageMany(tx, sums.rows());
  // Last, since others wait for the locks.
  if (!bookings.rows.empty) await insertLedgerMany(tx, bookings.rows, holderId);
};

/** A call as a JSON text. */
const requestJson = ({ record, charges }: Closed): string =>
  JSON.stringify({ ...record, attempts: storedAttempts(record, record.attempts), charges: charges?.list });

/** What was asked and answered as members of one. */
const contentJson = ({ question, answer, truncated }: Closed): string =>
  `"question":${question},"answer":${answer},"truncated":${truncated}`;

/** A call with its content as a JSON text, for a person. */
const closedJson = (item: Closed): string => `{"record":${requestJson(item)},${contentJson(item)}}`;

/** Takes what the database refuses, and why. */
type Reject = (call: Closed, error: unknown) => void;

/** Puts what is refused aside in a journal's folder, for a person to look at. */
export const createReject =
  (folder: string, log: Log): Reject =>
  (call, error) => {
    log.error("a record was refused by the database and put aside", { request_id: call.id }, error);
    appendFileSync(join(folder, rejectedName), `${closedJson(call)}\n`, { mode: 0o600 });
  };

/** Writes what of these calls is not in the database yet. */
const writeRest = (sql: Sql, calls: readonly Closed[], holderId: Uuid): Promise<unknown> =>
  sql.begin(async (tx) => {
    await limitWriting(tx);
    const fresh = new Set(await insertRequestMany(tx, `[${calls.map(requestJson).join(",")}]`));
    // Each once, though it may be here twice.
    const items = calls.filter(({ id }) => fresh.delete(id));
    if (items.length === 0) return;
    const content = items
      .filter(hasContent)
      .map((item) => `{"id":"${item.id}","app_id":"${item.record.app_id}",${contentJson(item)}}`);
    if (content.length > 0) await insertRequestContentMany(tx, `[${content.join(",")}]`);
    await writeSums(tx, Batch.of(items), holderId);
  });

const sqlState = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : "";

const uniqueViolation = "23505";

/**
 * Writes a batch to the database, in one transaction: the calls, their content, the sums, and what they cost their budgets,
 * which is taken from what the process `holderId` has on lease. A call that is there already is left alone, and counted in
 * no sum again.
 */
export async function writeBatch(sql: Sql, batch: Batch, holderId: Uuid): Promise<void> {
  try {
    await writeFresh(sql, batch, holderId);
  } catch (error) {
    // Rare: only what was written once and not heard of comes again.
    if (sqlState(error) !== uniqueViolation) throw error;
    await writeRest(sql, batch.calls(), holderId);
  }
}

/** SQLSTATE classes of what the data itself is to blame for: it does not fit, or breaks a rule. */
const isRefusal = (error: unknown): boolean => /^(?:22|23)\w{3}$/.test(sqlState(error));

/**
 * As {@link writeBatch}, but what the database does not take is found, by halves, and handed to `reject`; the rest is
 * written. @throws where the database is away.
 */
export async function writeOrReject(sql: Sql, batch: Batch, holderId: Uuid, reject: Reject): Promise<void> {
  try {
    await writeBatch(sql, batch, holderId);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    const calls = batch.calls();
    const [only] = calls;
    if (calls.length === 1 && only) return reject(only, error);
    const half = Math.ceil(calls.length / 2);
    for (const part of [calls.slice(0, half), calls.slice(half)])
      await writeOrReject(sql, Batch.of(part), holderId, reject);
  }
}
