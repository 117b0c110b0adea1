import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** How an upstream speaks. */
export type ProviderDialect = "openai" | "anthropic" | "echo";

/** Limits in seconds; what is not set is the installation's. */
export interface ProviderTimeouts {
  connect?: number;
  first_byte?: number;
  idle?: number;
  total?: number;
}

/** A provider as it is stored; its key and its headers are sealed. */
export interface Provider {
  id: Uuid;
  name: string;
  dialect: ProviderDialect;
  /** Without a slash at its end. */
  base_url: string;
  key_sealed: Uint8Array | null;
  /** A JSON object of names and values. */
  headers_sealed: Uint8Array | null;
  header_names: string[];
  timeouts: ProviderTimeouts;
  concurrency_max: number | null;
  /** May stand in a private network. */
  local: boolean;
  status: "" | "disabled";
  created_at: Date;
  updated_at: Date;
}

const columns = (db: Db) => db`
  id, name, dialect, base_url, key_sealed, headers_sealed, header_names, timeouts, concurrency_max, local, status,
  created_at, updated_at`;

/** Stores a new provider. */
export async function insertProvider(db: Db, provider: Provider): Promise<void> {
  await db`insert into provider ${db({ ...provider, timeouts: db.json(provider.timeouts as never) } as never)}`;
}

/** Finds a provider; `undefined` if there is none. With `lock` it stays as it is until the commit. */
export async function findProvider(
  db: Db,
  { id, lock = false }: { id: Uuid; lock?: boolean },
): Promise<Provider | undefined> {
  const [row] = await db<Provider[]>`
    select ${columns(db)} from provider where id = ${id} ${lock ? db`for update` : db``}`;
  return row;
}

/** Lists providers, newest first, by keyset on the id. */
export async function listProvider(
  db: Db,
  { before, limit }: { before?: Uuid; limit: number },
): Promise<Provider[]> {
  return db<Provider[]>`
    select ${columns(db)} from provider ${before === undefined ? db`` : db`where id < ${before}`}
    order by id desc limit ${limit}`;
}

/** Lists all providers that are in use. */
export const listUsableProvider = async (db: Db): Promise<Provider[]> => db<Provider[]>`
  select ${columns(db)} from provider where status = ''`;

/** Replaces everything but the id and when it was made. */
export async function updateProvider(db: Db, { id, created_at: _, ...provider }: Provider): Promise<void> {
  const set = { ...provider, timeouts: db.json(provider.timeouts as never) };
  await db`update provider set ${db(set as never)} where id = ${id}`;
}

/** Deletes a provider; fails with a foreign key where models use it. */
export async function deleteProvider(db: Db, id: Uuid): Promise<void> {
  await db`delete from provider where id = ${id}`;
}
