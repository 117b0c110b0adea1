import type { Uuid } from "../id.ts";
import type { AppConfig } from "./app.ts";
import type { Db } from "./db.ts";

/** A key that opens `/v1` for one app. Its secret is not kept, only a keyed hash of it. */
export interface AppKey {
  id: Uuid;
  app_id: Uuid;
  name: string;
  /** The part of the key that may be seen, and by which it is found. */
  public_id: string;
  secret_hash: Uint8Array;
  /** What it may call; empty for all that its app may. */
  models: string[];
  /** From where it may be used, in CIDR form; empty for everywhere. */
  address_ranges: string[];
  expires_at: Date | null;
  used_at: Date | null;
  revoked_at: Date | null;
  created_by: Uuid | null;
  created_at: Date;
  updated_at: Date;
}

const columns = (db: Db) =>
  db`id, app_id, name, public_id, secret_hash, models, address_ranges, expires_at, used_at, revoked_at, created_by, created_at, updated_at`;

/** Stores a new key. */
export async function insertAppKey(db: Db, key: AppKey): Promise<void> {
  await db`insert into app_key ${db({ ...key })}`;
}

/** A key of this app; `lock` keeps it as it is until the commit. */
export async function findAppKey(
  db: Db,
  { id, appId, lock = false }: { id: Uuid; appId: Uuid; lock?: boolean },
): Promise<AppKey | undefined> {
  const [row] = await db<AppKey[]>`
    select ${columns(db)} from app_key where id = ${id} and app_id = ${appId} ${lock ? db`for update` : db``}`;
  return row;
}

/** Whether there is a key of this id, of an app that is not deleted; it may be revoked. */
export async function hasAppKey(db: Db, id: Uuid): Promise<boolean> {
  const rows = await db`
    select 1 from app_key join app on app.id = app_id where app_key.id = ${id} and deleted_at is null`;
  return rows.length > 0;
}

/** What opens with a key, if it and its app are alive. */
export interface UsableAppKey
  extends Pick<AppKey, "id" | "app_id" | "secret_hash" | "models" | "address_ranges" | "expires_at"> {
  account_id: Uuid;
  config: AppConfig;
  version: number;
}

/** The living key with this public id, of an app that is in use. Uses the unique index; the secret is not compared here. */
export async function findUsableAppKey(
  db: Db,
  { publicId, at }: { publicId: string; at: Date },
): Promise<UsableAppKey | undefined> {
  const [row] = await db<UsableAppKey[]>`
    select app_key.id, app_id, secret_hash, models, address_ranges, expires_at, account_id, config, version
    from app_key join app on app.id = app_id
    where public_id = ${publicId} and revoked_at is null and deleted_at is null and status = ''
      and (expires_at is null or expires_at > ${at})`;
  return row;
}

/** Lists the keys of an app, newest first, by keyset on the id; revoked ones too. */
export async function listAppKey(
  db: Db,
  { appId, before, limit }: { appId: Uuid; before?: Uuid; limit: number },
): Promise<AppKey[]> {
  return db<AppKey[]>`
    select ${columns(db)} from app_key
    where app_id = ${appId} ${before === undefined ? db`` : db`and id < ${before}`}
    order by id desc limit ${limit}`;
}

/** Sets when a key ends. */
export async function expireAppKey(
  db: Db,
  { id, expiresAt, at }: { id: Uuid; expiresAt: Date; at: Date },
): Promise<void> {
  await db`update app_key set expires_at = ${expiresAt}, updated_at = ${at} where id = ${id}`;
}

/** Revokes one key, or all of an app; returns how many were still alive. */
export async function revokeAppKeys(
  db: Db,
  { appId, only, at }: { appId: Uuid; only?: Uuid; at: Date },
): Promise<number> {
  const { count } = await db`
    update app_key set revoked_at = ${at}, updated_at = ${at}
    where app_id = ${appId} and revoked_at is null ${only === undefined ? db`` : db`and id = ${only}`}`;
  return count;
}

/** Notes when keys were last used; an earlier time does not overwrite a later one. */
export async function touchAppKeys(db: Db, uses: readonly { id: Uuid; at: Date }[]): Promise<void> {
  await db`
    update app_key set used_at = greatest(app_key.used_at, seen.at)
    from unnest(${uses.map(({ id }) => id)}::uuid[], ${uses.map(({ at }) => at.toISOString())}::timestamptz[]) as seen (id, at)
    where app_key.id = seen.id`;
}
