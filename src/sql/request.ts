import type { Uuid } from "../id.ts";
import { copyIn, type Rows } from "./copy.ts";
import type { Db } from "./db.ts";
import type { RequestRow } from "./request-list.ts";
import type { RowReader, RowWriter } from "./row.ts";

/**
 * Writes calls down; `json` is a list of records whose members are the table's columns. One that is there already stays as it
 * is: returns the ids of the others. One text for the whole batch, which PostgreSQL takes apart: a value at a time costs the
 * driver more than everything else.
 */
export async function insertRequestMany(db: Db, json: string): Promise<Uuid[]> {
  const rows = await db<{ id: Uuid }[]>`
    insert into request select * from json_populate_recordset(null::request, ${json}::text::json)
    on conflict (id) do nothing
    returning id`;
  return rows.map(({ id }) => id);
}

/** Writes down what was asked and answered; `json` as above, with question and answer as JSON values. */
export async function insertRequestContentMany(db: Db, json: string): Promise<void> {
  await db`
    insert into request_content (id, app_id, question, answer, truncated)
    select id, app_id, question::text, answer::text, coalesce(truncated, false)
    from json_to_recordset(${json}::text::json)
      as content (id uuid, app_id uuid, question json, answer json, truncated boolean)
    on conflict (id) do nothing`;
}

/**
 * Ends the transaction where its process is not heard of for long: one whose machine has vanished would keep what it has
 * locked, and everybody else waiting, until the system gives up its connection.
 */
export async function limitWriting(db: Db): Promise<void> {
  await db`
    select set_config('idle_in_transaction_session_timeout', '15s', true), set_config('statement_timeout', '30s', true)`;
}

/** A call as its row, but for its JSON. */
export type NewRequest = Omit<RequestRow, "created_at"> & {
  /** ISO 8601. */
  created_at: string;
};

/** The rest of a row, each a JSON text. */
export interface NewRequestJson {
  attempts: string;
  charges: string | undefined;
  refusal: string | undefined;
}

/** How many fields a row has. */
const requestFields = 32;

/** Writes a row for the statement below. Written out, since it is done for every call. */
export function writeRequestRow(
  to: RowWriter,
  call: NewRequest,
  { attempts, charges, refusal }: NewRequestJson,
): void {
  to.row(requestFields);
  to.uuid(call.id);
  to.timestamptz(call.created_at);
  to.uuid(call.app_id);
  to.integer(call.app_version);
  to.uuid(call.key_id);
  to.uuid(call.account_id);
  to.text(call.end_user);
  to.text(call.session);
  to.text(call.api);
  to.text(call.model);
  to.text(call.model_used);
  to.text(call.provider);
  to.text(call.status);
  to.smallint(call.status_code);
  to.text(call.error_code);
  to.text(call.finish_reason);
  to.boolean(call.stream);
  to.boolean(call.cache_hit);
  to.integer(call.ttft_ms);
  to.integer(call.duration_ms);
  to.integer(call.prompt_tokens);
  to.integer(call.cached_tokens);
  to.integer(call.cache_write_tokens);
  to.integer(call.completion_tokens);
  to.integer(call.reasoning_tokens);
  to.text(call.usage_source);
  to.numeric(call.cost);
  to.text(call.currency);
  to.text(call.ip_prefix);
  to.json(attempts);
  to.json(charges ?? null);
  to.json(refusal ?? null);
}

/** What {@link writeRequestRow} was given; the JSON is read. @throws {RangeError} it was not written whole. */
export function readRequestRow(from: RowReader): NewRequest & Record<keyof NewRequestJson, unknown> {
  if (from.row() !== requestFields) throw new RangeError("not a call");
  const read = {
    id: from.uuid(),
    created_at: from.timestamptz(),
    app_id: from.uuid(),
    app_version: from.integer(),
    key_id: from.uuid(),
    account_id: from.uuid(),
    end_user: from.text(),
    session: from.text(),
    api: from.text(),
    model: from.text(),
    model_used: from.text(),
    provider: from.text(),
    status: from.text(),
    status_code: from.integer(),
    error_code: from.text(),
    finish_reason: from.text(),
    stream: from.boolean(),
    cache_hit: from.boolean(),
    ttft_ms: from.integer(),
    duration_ms: from.integer(),
    prompt_tokens: from.integer(),
    cached_tokens: from.integer(),
    cache_write_tokens: from.integer(),
    completion_tokens: from.integer(),
    reasoning_tokens: from.integer(),
    usage_source: from.text(),
    cost: from.numeric(),
    currency: from.text(),
    ip_prefix: from.text(),
    attempts: from.json(),
    charges: from.json(),
    refusal: from.json(),
  };
  return read as never;
}

/**
 * Writes down calls of which none is there yet, by `copy`: half the work of an `insert` (measured, as text: 26 instead of 50 µs a row).
 * @throws `23505` where one is.
 */
export async function insertFreshRequestMany(db: Db, rows: Rows): Promise<void> {
  await copyIn(
    db`copy request (
      id, created_at, app_id, app_version, key_id, account_id, end_user, session, api, model, model_used, provider, status,
      status_code, error_code, finish_reason, stream, cache_hit, ttft_ms, duration_ms, prompt_tokens, cached_tokens,
      cache_write_tokens, completion_tokens, reasoning_tokens, usage_source, cost, currency, ip_prefix, attempts,
      charges, refusal
    ) from stdin with (format binary)`,
    rows,
  );
}

/** What was asked and answered, each a JSON text. */
export interface NewRequestContent {
  id: Uuid;
  app_id: Uuid;
  question: string | null;
  answer: string | null;
  truncated: boolean;
}

const contentFields = 5;

/** Writes a row for the statement below. */
export function writeRequestContentRow(to: RowWriter, content: NewRequestContent): void {
  to.row(contentFields);
  to.uuid(content.id);
  to.uuid(content.app_id);
  to.text(content.question);
  to.text(content.answer);
  to.boolean(content.truncated);
}

/** What {@link writeRequestContentRow} was given. @throws {RangeError} it was not written whole. */
export function readRequestContentRow(from: RowReader): NewRequestContent {
  if (from.row() !== contentFields) throw new RangeError("not a call's content");
  const read = {
    id: from.uuid(),
    app_id: from.uuid(),
    question: from.text(),
    answer: from.text(),
    truncated: from.boolean(),
  };
  return read as NewRequestContent;
}

/** Writes down what was asked and answered, as above. @throws alike. */
export async function insertFreshRequestContentMany(db: Db, rows: Rows): Promise<void> {
  await copyIn(
    db`copy request_content (id, app_id, question, answer, truncated) from stdin with (format binary)`,
    rows,
  );
}
