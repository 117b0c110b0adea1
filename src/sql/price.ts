import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** A version of a model's prices, per million tokens; amounts are exact decimals as text. */
export interface PriceRow {
  id: Uuid;
  model_id: Uuid;
  valid_from: Date;
  /** The price holds for calls with more prompt tokens than this. */
  above_prompt_tokens: number;
  /** ISO 4217. */
  currency: string;
  prompt: string;
  cached: string | null;
  cache_write: string | null;
  cache_write_long: string | null;
  completion: string;
  reasoning: string | null;
  source: string;
  created_at: Date;
}

const columns = (db: Db) => db`
  id, model_id, valid_from, above_prompt_tokens, currency, trim_scale(prompt) as prompt, trim_scale(cached) as cached,
  trim_scale(cache_write) as cache_write, trim_scale(cache_write_long) as cache_write_long,
  trim_scale(completion) as completion, trim_scale(reasoning) as reasoning, source, created_at`;

/** Stores a version. Returns whether there was none of the same model, time and tier. */
export async function insertPrice(db: Db, price: PriceRow): Promise<boolean> {
  const { count } = await db`
    insert into price ${db(price as never)} on conflict (model_id, valid_from, above_prompt_tokens) do nothing`;
  return count === 1;
}

/** Finds a version of a model's prices; `undefined` if there is none. */
export async function findPrice(
  db: Db,
  { id, modelId }: { id: Uuid; modelId: Uuid },
): Promise<PriceRow | undefined> {
  const [row] = await db<PriceRow[]>`
    select ${columns(db)} from price where id = ${id} and model_id = ${modelId} for update`;
  return row;
}

/** Lists the versions of a model's prices, newest first, by keyset on the id. */
export async function listPrice(
  db: Db,
  { modelId, before, limit }: { modelId: Uuid; before?: Uuid; limit: number },
): Promise<PriceRow[]> {
  return db<PriceRow[]>`
    select ${columns(db)} from price
    where model_id = ${modelId} ${before === undefined ? db`` : db`and id < ${before}`}
    order by id desc limit ${limit}`;
}

/** Lists the prices of all models. */
export const listAllPrice = async (db: Db): Promise<PriceRow[]> => db<PriceRow[]>`
  select ${columns(db)} from price order by valid_from, above_prompt_tokens`;

/** Deletes a version. */
export async function deletePrice(db: Db, id: Uuid): Promise<void> {
  await db`delete from price where id = ${id}`;
}
