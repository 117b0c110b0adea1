import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** What a data key is for: signing tokens, hashing credentials, sealing what must stay readable. */
export type DataKeyPurpose = "sign" | "hash" | "seal";

/** A random key as the database has it: wrapped by the installation's secret. */
export interface DataKey {
  id: Uuid;
  purpose: DataKeyPurpose;
  wrapped: Uint8Array;
  /** Fingerprint of the secret that wrapped it. */
  wrapped_by: string;
  created_at: Date;
  /** No longer used for anything new; what it sealed can still be opened. */
  retired_at: Date | null;
}

/** Serialises everybody who makes or re-wraps data keys, until the end of the transaction. */
export async function lockDataKeys(db: Db): Promise<void> {
  await db`select pg_advisory_xact_lock(5706271847)`;
}

/** Lists all data keys, oldest first; there is a handful. */
export async function listDataKey(db: Db): Promise<DataKey[]> {
  return db<DataKey[]>`
    select id, purpose, wrapped, wrapped_by, created_at, retired_at from data_key order by id`;
}

/** Stores a new data key. A second active one of its purpose fails with PostgreSQL's 23505. */
export async function insertDataKey(db: Db, key: DataKey): Promise<void> {
  await db`
    insert into data_key (id, purpose, wrapped, wrapped_by, created_at, retired_at)
    values (${key.id}, ${key.purpose}, ${key.wrapped}, ${key.wrapped_by}, ${key.created_at}, ${key.retired_at})`;
}

/** Stores a data key as another secret wraps it. */
export async function updateDataKey(
  db: Db,
  { id, wrapped, wrapped_by }: Pick<DataKey, "id" | "wrapped" | "wrapped_by">,
): Promise<void> {
  await db`update data_key set wrapped = ${wrapped}, wrapped_by = ${wrapped_by} where id = ${id}`;
}
