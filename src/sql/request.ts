import type { Uuid } from "../id.ts";
import { type CopyLine, type CopyLines, copyIn, copyNull, copyTab, copyText, copyValue } from "./copy.ts";
import type { Db } from "./db.ts";
import type { RequestRow } from "./request-list.ts";

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

/**
 * A line for the statement below: all values in one but the last two, which may be long, and are the same in several lines. Written
 * out, since one is made for every call.
 */
export const requestLine = (row: NewRequest, { attempts, charges, refusal }: NewRequestJson): CopyLine => [
  [
    row.id,
    row.created_at,
    row.app_id,
    row.app_version,
    row.key_id ?? copyNull,
    row.account_id ?? copyNull,
    copyText(row.end_user),
    copyText(row.session),
    row.api,
    copyText(row.model),
    copyText(row.model_used),
    copyText(row.provider),
    row.status,
    row.status_code,
    copyText(row.error_code),
    copyText(row.finish_reason),
    row.stream,
    row.cache_hit,
    row.ttft_ms ?? copyNull,
    row.duration_ms,
    row.prompt_tokens,
    row.cached_tokens,
    row.cache_write_tokens,
    row.completion_tokens,
    row.reasoning_tokens,
    row.usage_source,
    row.cost ?? copyNull,
    row.currency ?? copyNull,
    row.ip_prefix,
    copyText(attempts),
  ].join(copyTab),
  copyText(charges),
  copyText(refusal),
];

const asText = (value: string | null) => value;
const asNumber = (value: string | null) => (value === null ? null : Number(value));
const asBoolean = (value: string | null) => value === "true";
const asJson = (value: string | null): unknown => (value === null ? null : JSON.parse(value));

/** How the values of such a line are read, in their order. */
const requestColumns: readonly (readonly [name: string, read: (value: string | null) => unknown])[] = [
  ["id", asText],
  ["created_at", asText],
  ["app_id", asText],
  ["app_version", asNumber],
  ["key_id", asText],
  ["account_id", asText],
  ["end_user", asText],
  ["session", asText],
  ["api", asText],
  ["model", asText],
  ["model_used", asText],
  ["provider", asText],
  ["status", asText],
  ["status_code", asNumber],
  ["error_code", asText],
  ["finish_reason", asText],
  ["stream", asBoolean],
  ["cache_hit", asBoolean],
  ["ttft_ms", asNumber],
  ["duration_ms", asNumber],
  ["prompt_tokens", asNumber],
  ["cached_tokens", asNumber],
  ["cache_write_tokens", asNumber],
  ["completion_tokens", asNumber],
  ["reasoning_tokens", asNumber],
  ["usage_source", asText],
  ["cost", asText],
  ["currency", asText],
  ["ip_prefix", asText],
  ["attempts", asJson],
  ["charges", asJson],
  ["refusal", asJson],
];

/** How many values a line has. */
export const requestLineLength = requestColumns.length;

/** What {@link requestLine} has written, its values apart; the JSON is read. @throws {SyntaxError} it is none. */
export const requestOfLine = (
  values: readonly string[],
): NewRequest & Record<keyof NewRequestJson, unknown> =>
  Object.fromEntries(
    requestColumns.map(([name, read], place) => [name, read(copyValue(values[place] ?? copyNull))]),
  ) as never;

/**
 * Writes down calls of which none is there yet, by `copy`: half the work of an `insert` (measured: 26 instead of 50 µs a row).
 * @throws `23505` where one is.
 */
export async function insertFreshRequestMany(db: Db, lines: CopyLines): Promise<void> {
  await copyIn(
    db`copy request (
      id, created_at, app_id, app_version, key_id, account_id, end_user, session, api, model, model_used, provider, status,
      status_code, error_code, finish_reason, stream, cache_hit, ttft_ms, duration_ms, prompt_tokens, cached_tokens,
      cache_write_tokens, completion_tokens, reasoning_tokens, usage_source, cost, currency, ip_prefix, attempts,
      charges, refusal
    ) from stdin`,
    lines,
  );
}

/** What was asked and answered, each a JSON text as `copyText` writes it. */
export interface NewRequestContent {
  id: Uuid;
  app_id: Uuid;
  question: string;
  answer: string;
  truncated: boolean;
}

/** A line for the statement below. */
export const requestContentLine = ({
  id,
  app_id,
  question,
  answer,
  truncated,
}: NewRequestContent): CopyLine => [id, app_id, question, answer, String(truncated)];

/** Writes down what was asked and answered, as above. @throws alike. */
export async function insertFreshRequestContentMany(db: Db, lines: CopyLines): Promise<void> {
  await copyIn(db`copy request_content (id, app_id, question, answer, truncated) from stdin`, lines);
}
