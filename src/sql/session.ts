import type { Uuid } from "../id.ts";
import type { Account } from "./account.ts";
import type { Db } from "./db.ts";

/** A login on one device, until it ends or expires. */
export interface Session {
  id: Uuid;
  account_id: Uuid;
  /** Where from, shortened to its network. */
  address: string;
  user_agent: string;
  created_at: Date;
  used_at: Date;
  expires_at: Date;
  ended_at: Date | null;
}

/** A live session with what its account may do. */
export interface LiveSession {
  session_id: Uuid;
  account_id: Uuid;
  email: string;
  role: Account["role"];
  expires_at: Date;
}

/** Stores a new session. */
export async function insertSession(db: Db, session: Session): Promise<void> {
  await db`insert into session ${db({ ...session })}`;
}

/** A session that still counts, of an account that may log in; `undefined` otherwise. Uses the primary key. */
export async function findLiveSession(
  db: Db,
  { id, at }: { id: Uuid; at: Date },
): Promise<LiveSession | undefined> {
  const [row] = await db<LiveSession[]>`
    select session.id as session_id, account.id as account_id, email, role, expires_at
    from session join account on account.id = session.account_id
    where session.id = ${id} and ended_at is null and expires_at > ${at} and status = ''`;
  return row;
}

/** Lists the sessions of an account that still count, newest first. */
export async function listSession(
  db: Db,
  { accountId, limit, at }: { accountId: Uuid; limit: number; at: Date },
): Promise<Session[]> {
  return db<Session[]>`
    select id, account_id, address, user_agent, created_at, used_at, expires_at, ended_at from session
    where account_id = ${accountId} and ended_at is null and expires_at > ${at}
    order by id desc limit ${limit}`;
}

/** Ends sessions of an account: one of them, all but one, or all; returns how many. */
export async function endSessions(
  db: Db,
  { accountId, only, except, at }: { accountId: Uuid; only?: Uuid; except?: Uuid; at: Date },
): Promise<number> {
  const { count } = await db`
    update session set ended_at = ${at}
    where account_id = ${accountId} and ended_at is null
      ${only === undefined ? db`` : db`and id = ${only}`}
      ${except === undefined ? db`` : db`and id <> ${except}`}`;
  return count;
}

/** Notes that a session was used, and how long it lasts from then on. */
export async function touchSession(
  db: Db,
  { id, at, expiresAt }: { id: Uuid; at: Date; expiresAt: Date },
): Promise<void> {
  await db`update session set used_at = ${at}, expires_at = ${expiresAt} where id = ${id}`;
}

/** Stores a refresh token's hash. */
export async function insertRefreshToken(
  db: Db,
  { hash, sessionId, at }: { hash: Uint8Array; sessionId: Uuid; at: Date },
): Promise<void> {
  await db`insert into refresh_token (hash, session_id, created_at) values (${hash}, ${sessionId}, ${at})`;
}

/** A refresh token and its session's account. */
export interface RefreshToken {
  session_id: Uuid;
  account_id: Uuid;
  used_at: Date | null;
}

/** Finds a refresh token and locks it, so that of two who come at once one finds it used. */
export async function findRefreshToken(db: Db, hash: Uint8Array): Promise<RefreshToken | undefined> {
  const [row] = await db<RefreshToken[]>`
    select session_id, account_id, refresh_token.used_at
    from refresh_token join session on session.id = session_id
    where hash = ${hash} for update of refresh_token`;
  return row;
}

/** Marks a refresh token as used. */
export async function useRefreshToken(db: Db, { hash, at }: { hash: Uint8Array; at: Date }): Promise<void> {
  await db`update refresh_token set used_at = ${at} where hash = ${hash}`;
}

/** Whether an account has logged in from this network in the last 90 days. */
export async function hasSessionFrom(
  db: Db,
  { email, address }: { email: string; address: string },
): Promise<boolean> {
  const rows = await db`
    select from session join account on account.id = account_id
    where email = ${email} and session.address = ${address} and session.created_at > now() - interval '90 days'
    limit 1`;
  return rows.length > 0;
}

/** Removes sessions that ended or expired before `before`, with their tokens. */
export async function deleteOldSessions(db: Db, before: Date): Promise<void> {
  await db`delete from session where coalesce(ended_at, expires_at) < ${before}`;
}
