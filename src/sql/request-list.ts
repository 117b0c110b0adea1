import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** A call as it is listed. */
export interface RequestRow {
  id: Uuid;
  created_at: Date;
  app_id: Uuid;
  app_version: number;
  key_id: Uuid | null;
  account_id: Uuid | null;
  end_user: string | null;
  session: string | null;
  api: string;
  model: string;
  model_used: string | null;
  provider: string | null;
  status: "ok" | "error" | "cancelled" | "interrupted";
  status_code: number;
  error_code: string | null;
  finish_reason: string | null;
  stream: boolean;
  cache_hit: boolean;
  ttft_ms: number | null;
  duration_ms: number;
  prompt_tokens: number;
  cached_tokens: number;
  cache_write_tokens: number;
  completion_tokens: number;
  reasoning_tokens: number;
  usage_source: "provider" | "estimate" | "none";
  /** Exact decimal; `null` where there is no price. */
  cost: string | null;
  currency: string | null;
  ip_prefix: string;
}

/** A call with everything that is kept of it. */
export interface RequestDetail extends RequestRow {
  /** Without what the call says too. */
  attempts: readonly Record<string, unknown>[];
  /** The budgets that it counts towards; `null` without any. */
  charges: readonly Record<string, unknown>[] | null;
  /** The limit that refused it; `null` where none did. */
  refusal: Record<string, unknown> | null;
  /** JSON texts. */
  question: string | null;
  answer: string | null;
  truncated: boolean | null;
}

/** What to list: calls that match all of it, newest first. */
export interface RequestFilter {
  /** The apps whose calls may be seen; `undefined` for all. */
  visible: readonly Uuid[] | undefined;
  appId?: Uuid;
  keyId?: Uuid;
  /** As it was asked for, or as it answered. */
  model?: string;
  provider?: string;
  status?: RequestRow["status"];
  api?: string;
  user?: string;
  session?: string;
  /** Ids from here on, and before there. */
  from?: Uuid;
  to?: Uuid;
  costMin?: string;
  currency?: string;
  durationMsMin?: number;
  ttftMsMin?: number;
  /** Part of the question or the answer, in any case. */
  text?: string;
  /** That all of this time is over, and its content has indexes. */
  over?: boolean;
  /** To collect everything that matches and sort it, and not to go back by the id until enough is found. */
  collect?: boolean;
  /** That few calls of today are expected, and no index but that of stretches knows them. */
  rare?: boolean;
  /** The last id of the page before. */
  before?: Uuid;
  limit: number;
}

const columns = (db: Db) => db`
  request.id, request.created_at, request.app_id, app_version, key_id, account_id, end_user, session, api, model, model_used,
  provider, status, status_code, error_code, finish_reason, stream, cache_hit, ttft_ms, duration_ms, prompt_tokens,
  cached_tokens, cache_write_tokens, completion_tokens, reasoning_tokens, usage_source, trim_scale(cost) as cost, currency,
  ip_prefix`;

/** A text as it stands within a JSON text. */
const inJson = (text: string): string => JSON.stringify(text).slice(1, -1);

/** One app is found in order by its index, which several are not. */
const ofApps = (db: Db, column: ReturnType<Db>, apps: readonly Uuid[]): ReturnType<Db> =>
  apps.length === 1 ? db`and ${column} = ${apps[0] as Uuid}` : db`and ${column} = any(${apps as Uuid[]})`;

/**
 * Lists calls, newest first, by keyset on the id. The bounds of the id stand first: they choose the partitions. A day that is over
 * has an index for everything that may be rare; today's is read where its index of what there is in each stretch says so, which the
 * planner takes if the time is asked for as well. No index has the order of the id as a text, which is the same.
 */
export async function listRequest(db: Db, it: RequestFilter): Promise<RequestRow[]> {
  const when = (given: unknown, condition: () => ReturnType<Db>) =>
    given === undefined ? db`` : condition();
  return db<RequestRow[]>`
    select ${columns(db)} from request
      ${when(it.text, () => db`join request_content on request_content.id = request.id`)}
    where true
      ${when(it.from, () => db`and request.id >= ${it.from as Uuid}`)}
      ${when(it.to, () => db`and request.id < ${it.to as Uuid}`)}
      ${when(it.before, () => db`and request.id < ${it.before as Uuid}`)}
      ${when(it.visible, () => ofApps(db, db`request.app_id`, it.visible as Uuid[]))}
      ${when(it.appId, () => db`and request.app_id = ${it.appId as Uuid}`)}
      ${when(it.keyId, () => db`and key_id = ${it.keyId as Uuid}`)}
      ${when(it.model, () => db`and (model_used = ${it.model as string} or model = ${it.model as string})`)}
      ${when(it.provider, () => db`and provider = ${it.provider as string}`)}
      ${when(it.status, () => db`and status = ${it.status as string}`)}
      ${when(it.api, () => db`and api = ${it.api as string}`)}
      ${when(it.user, () => db`and end_user = ${it.user as string}`)}
      ${when(it.session, () => db`and session = ${it.session as string}`)}
      ${when(it.costMin, () => db`and cost >= ${it.costMin as string}::numeric`)}
      ${when(it.currency, () => db`and currency = ${it.currency as string}`)}
      ${when(it.durationMsMin, () => db`and duration_ms >= ${it.durationMsMin as number}`)}
      ${when(it.ttftMsMin, () => db`and ttft_ms >= ${it.ttftMsMin as number}`)}
      ${when(it.text, () => hasText(db, it))}
      ${it.rare ? db`and request.created_at > '-infinity'` : db``}
    order by ${it.collect ? db`request.id::text collate "C"` : db`request.id`} desc limit ${it.limit}`;
}

/**
 * The longest piece of a text in which no sign but ASCII's letters has a case, and none of these is the small form of another sign as
 * well: `k` is that of the Kelvin sign, and `i` of a capital with a dot. Whatever holds the text in any case holds this piece with no
 * regard to the case of ASCII's letters.
 */
const plainPiece = (text: string): string =>
  (text.match(/(?:[^\P{ASCII}IiKk]|\p{Lo})+/gu) ?? []).reduce(
    (longest, piece) => (piece.length > longest.length ? piece : longest),
    "",
  );

/** Whether a text is found by its pairs of signs: it has some, and no three letters or digits in a row, which are a trigram. */
const needsPairs = (text: string): boolean => /../su.test(text) && !/[\p{L}\p{N}]{3}/u.test(text);

/**
 * The conditions on the content, in the words of its index; for the few calls of a user or a session in others, as they lead. Before
 * them stands what is quickly told: to bring a content into small letters by all of Unicode takes ten times as long as by ASCII's, and
 * where nothing has a case it needs not be done at all.
 */
function hasText(db: Db, it: RequestFilter): ReturnType<Db> {
  const wanted = inJson(it.text ?? "");
  const piece = plainPiece(wanted);
  const content = db`(coalesce(question, '') || coalesce(answer, ''))`;
  // As a "case" it is taken for one half, and not once more for as rare as the text.
  const quick =
    piece === ""
      ? db``
      : db`and case when ${content} collate "C" ${/[A-Za-z]/.test(piece) ? db`ilike` : db`like`} '%' || like_literal(${piece}) || '%'
        then true else false end`;
  const byText = it.user === undefined && it.session === undefined;
  // Where there is no index of them, to make the pairs of what is found takes longer than to find it.
  const pairs =
    byText && it.over && needsPairs(wanted) ? db`and sign_pairs${content} @> sign_pairs(${wanted})` : db``;
  const found = byText
    ? db`${content} ilike '%' || like_literal(${wanted}) || '%'`
    : db`(question ilike '%' || like_literal(${wanted}) || '%' or answer ilike '%' || like_literal(${wanted}) || '%')`;
  return db`
    ${it.from === undefined ? db`` : db`and request_content.id >= ${it.from}`}
    ${it.to === undefined ? db`` : db`and request_content.id < ${it.to}`}
    ${it.visible === undefined ? db`` : ofApps(db, db`request_content.app_id`, it.visible)}
    ${it.appId === undefined ? db`` : db`and request_content.app_id = ${it.appId}`}
    ${quick} ${pairs} and ${found}`;
}

/** Finds a call with its attempts and its content; `undefined` if there is none. */
export async function findRequest(
  db: Db,
  { id, visible }: { id: Uuid; visible: readonly Uuid[] | undefined },
): Promise<RequestDetail | undefined> {
  const [row] = await db<RequestDetail[]>`
    select ${columns(db)}, attempts, charges, refusal, question, answer, truncated
    from request left join request_content on request_content.id = request.id
    where request.id = ${id} ${visible === undefined ? db`` : db`and request.app_id = any(${visible as Uuid[]})`}`;
  return row;
}
