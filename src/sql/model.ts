import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** One of several models to choose from. */
export interface ModelTarget {
  model: string;
  weight?: number;
}

/** What a model does not take: parameters that are left out, and others that are sent under another name. */
export interface ModelParameterRules {
  drop?: string[];
  rename?: Record<string, string>;
  keep?: string[];
  thinking?: "adaptive" | "budget";
}

/** A model as it is stored: one name at one provider, or a list of other models. */
export interface Model {
  id: Uuid;
  name: string;
  /** `null` for the provider of the settings, and for a list. */
  provider_id: Uuid | null;
  /** The provider's own name; `null` for a list. */
  upstream_name: string | null;
  parameter_rules: ModelParameterRules;
  targets: ModelTarget[];
  routing: "ordered" | "weighted";
  output_tokens_max: number | null;
  image_tokens_max: number | null;
  status: "" | "disabled";
  created_at: Date;
  updated_at: Date;
}

const columns = (db: Db) => db`
  id, name, provider_id, upstream_name, parameter_rules, targets, routing, output_tokens_max, image_tokens_max, status,
  created_at, updated_at`;

const stored = (db: Db, model: Partial<Model>) =>
  ({
    ...model,
    parameter_rules: db.json(model.parameter_rules as never),
    targets: db.json(model.targets as never),
  }) as never;

/** Stores a new model. */
export async function insertModel(db: Db, model: Model): Promise<void> {
  await db`insert into model ${db(stored(db, model))}`;
}

/** Finds a model; `undefined` if there is none. With `lock` it stays as it is until the commit. */
export async function findModel(
  db: Db,
  { id, lock = false }: { id: Uuid; lock?: boolean },
): Promise<Model | undefined> {
  const [row] = await db<Model[]>`
    select ${columns(db)} from model where id = ${id} ${lock ? db`for update` : db``}`;
  return row;
}

/** Lists models, newest first, by keyset on the id. */
export async function listModel(
  db: Db,
  { before, limit }: { before?: Uuid; limit: number },
): Promise<Model[]> {
  return db<Model[]>`
    select ${columns(db)} from model ${before === undefined ? db`` : db`where id < ${before}`}
    order by id desc limit ${limit}`;
}

/** Lists the models with these names, and keeps them as they are until the commit. */
export async function listModelByName(db: Db, names: readonly string[]): Promise<Model[]> {
  return db<Model[]>`select ${columns(db)} from model where name = any(${names as string[]}) for share`;
}

/** Lists all models that are in use. */
export const listUsableModel = async (db: Db): Promise<Model[]> => db<Model[]>`
  select ${columns(db)} from model where status = ''`;

/** How many models name this one among their targets. */
export async function countModelUse(db: Db, name: string): Promise<number> {
  const [row] = await db<{ uses: number }[]>`
    select count(*)::int as uses from model where targets @> ${db.json([{ model: name }])}`;
  return row?.uses ?? 0;
}

/** Replaces everything but the id and when it was made. */
export async function updateModel(db: Db, { id, created_at: _, ...model }: Model): Promise<void> {
  await db`update model set ${db(stored(db, model))} where id = ${id}`;
}

/** Deletes a model, and its prices with it. */
export async function deleteModel(db: Db, id: Uuid): Promise<void> {
  await db`delete from model where id = ${id}`;
}
