import type postgres from "postgres";
import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";
import { type Viewer, visibleTo } from "./visible.ts";

/** What a limit of calls is about. */
export type RateLimitScope = "key" | "app" | "account" | "user" | "model";

/** How much may be asked per minute, and at once; what is `null` is as the less specific says. */
export interface RateLimitRow {
  id: Uuid;
  scope: RateLimitScope;
  /** The id of a key, an app (also of whose users) or an account, or a model's name; `''` for all that have none of their own. */
  subject: string;
  /** One of the app's users; `''` for each of them. */
  end_user: string;
  /** Calls in a minute. */
  requests: number | null;
  /** Tokens in a minute. */
  tokens: number | null;
  /** Calls at once. */
  concurrency: number | null;
  created_at: Date;
  updated_at: Date;
}

/** The driver reads a bigint as text; none of these is beyond what a double tells exactly. */
const columns = (db: Db) => db`
  id, scope, subject, end_user, requests::float8 as requests, tokens::float8 as tokens,
  concurrency::float8 as concurrency, created_at, updated_at`;

/** A condition for `where`: limits of models, of apps that the viewer sees, with their keys and users, and of the viewer. */
const visibleRateLimit = (db: Db, viewer: Viewer): postgres.PendingQuery<postgres.Row[]> =>
  viewer.seesAll
    ? db`true`
    : db`case
        when scope = 'model' then true
        when subject = '' then false
        when scope = 'account' then subject::uuid = ${viewer.accountId}
        when scope = 'key' then exists (
          select from app_key join app on app.id = app_key.app_id
          where app_key.id = subject::uuid and app.deleted_at is null and ${visibleTo(db, viewer)})
        else exists (
          select from app where app.id = subject::uuid and app.deleted_at is null and ${visibleTo(db, viewer)})
      end`;

/** Stores a new limit; a second one of the same subject fails with PostgreSQL's 23505. */
export async function insertRateLimit(db: Db, limit: RateLimitRow): Promise<void> {
  await db`insert into rate_limit ${db(limit as never)}`;
}

/** Finds a limit that the viewer may see; `undefined` if there is none. With `lock` it stays as it is until the commit. */
export async function findRateLimit(
  db: Db,
  { id, viewer, lock = false }: { id: Uuid; viewer: Viewer; lock?: boolean },
): Promise<RateLimitRow | undefined> {
  const [row] = await db<RateLimitRow[]>`
    select ${columns(db)} from rate_limit
    where id = ${id} and ${visibleRateLimit(db, viewer)} ${lock ? db`for update of rate_limit` : db``}`;
  return row;
}

/** What to list: limits that match all of it, before the cursor. */
export interface RateLimitFilter {
  viewer: Viewer;
  scope?: RateLimitScope;
  subject?: string;
  /** The last id of the page before. */
  before?: Uuid;
  limit: number;
}

/** Lists limits that the viewer may see, newest first, by keyset on the id. */
export async function listRateLimit(
  db: Db,
  { viewer, scope, subject, before, limit }: RateLimitFilter,
): Promise<RateLimitRow[]> {
  return db<RateLimitRow[]>`
    select ${columns(db)} from rate_limit
    where ${visibleRateLimit(db, viewer)}
      ${scope === undefined ? db`` : db`and scope = ${scope}`}
      ${subject === undefined ? db`` : db`and subject = ${subject}`}
      ${before === undefined ? db`` : db`and id < ${before}`}
    order by id desc limit ${limit}`;
}

/** Lists all limits. */
export const listAllRateLimit = async (db: Db): Promise<RateLimitRow[]> => db<RateLimitRow[]>`
  select ${columns(db)} from rate_limit`;

/** Replaces what may be asked, and no more: another subject would be another limit. */
export async function updateRateLimit(
  db: Db,
  { id, requests, tokens, concurrency, updated_at }: RateLimitRow,
): Promise<void> {
  await db`
    update rate_limit set ${db({ requests, tokens, concurrency, updated_at } as never)} where id = ${id}`;
}

/** Deletes a limit. */
export async function deleteRateLimit(db: Db, id: Uuid): Promise<void> {
  await db`delete from rate_limit where id = ${id}`;
}
