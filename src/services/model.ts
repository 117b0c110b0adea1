import type { Principal } from "../auth/principal.ts";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import { ConflictError, NotFoundError, type Problem, ValidateError } from "../errors/app-error.ts";
import { isUuid, newId, type Uuid } from "../id.ts";
import type { Db } from "../sql/db.ts";
import {
  countModelUse,
  deleteModel,
  findModel,
  insertModel,
  listModel,
  listModelByName,
  type Model,
  updateModel,
} from "../sql/model.ts";
import { findProvider } from "../sql/provider.ts";
import type { AuditService } from "./audit.ts";
import { breaks } from "./constraint.ts";
import { type Page, pageOf } from "./page.ts";

export type { Model } from "../sql/model.ts";

/** What may be set of a model; a field that is absent stays as it is. */
export type ModelChange = Partial<Omit<Model, "id" | "created_at" | "updated_at">>;

export interface ModelServiceOptions {
  sql: Sql;
  clock: Clock;
  audit: AuditService;
  /** Models that are there without being stored, and can be named in a list. */
  builtIn: readonly string[];
}

/** Names that mean something else in a call. */
const reserved = ["app", "echo"];

const newModel = {
  provider_id: null,
  upstream_name: null,
  routing: "ordered",
  output_tokens_max: null,
  image_tokens_max: null,
  status: "",
} as const;

const invalid = (field: string, key: Problem["key"]) => new ValidateError({ [field]: [{ key }] });

/** The model with this id; with `lock` it stays as it is until the commit. @throws {NotFoundError} */
export async function requireModel(db: Db, id: Uuid, lock = false): Promise<Model> {
  const found = await findModel(db, { id, lock });
  if (!found) throw new NotFoundError("model.unknown");
  return found;
}

/** Rules of registered models, which administrators keep. */
export type ModelService = ReturnType<typeof createModelService>;

/** Creates the service over a pool. */
export function createModelService({ sql, clock, audit, builtIn }: ModelServiceOptions) {
  /** @throws {ValidateError} what a model must not be. */
  const check = async (db: Db, { name, provider_id, upstream_name, targets }: Model): Promise<void> => {
    if (reserved.includes(name) || isUuid(name)) throw invalid("name", "model.reserved");
    if (/[\s\p{C}]/u.test(name)) throw invalid("name", "model.name");
    if ((upstream_name === null) === (targets.length === 0)) throw invalid("upstream_name", "model.either");
    if (upstream_name === null && provider_id !== null) throw invalid("provider_id", "model.either");
    if (provider_id !== null && !(await findProvider(db, { id: provider_id, lock: true }))) {
      throw invalid("provider_id", "provider.not_found");
    }
    const named = new Set(targets.map(({ model }) => model));
    const found = await listModelByName(db, [...named]);
    for (const model of found) {
      if (model.upstream_name === null) throw invalid("targets", "model.nested");
      named.delete(model.name);
    }
    for (const each of named) if (!builtIn.includes(each)) throw invalid("targets", "model.unknown");
  };

  const record = (
    db: Db,
    { actor }: Principal,
    action: string,
    { before, after }: { before: Model | null; after: Model | null },
  ) =>
    audit.record(db, {
      actor,
      action: `model.${action}`,
      subjectKind: "model",
      subjectId: (after ?? before)?.id ?? "",
      before,
      after,
    });

  const exists = () => new ConflictError("model.exists");

  /** @throws {ConflictError} a list names the model, which would then lead nowhere, or to a list. */
  const checkUnused = async (db: Db, name: string) => {
    if ((await countModelUse(db, name)) > 0) throw new ConflictError("model.in_use");
  };

  return {
    /** Registers a model. @throws {ValidateError} what it must not be. @throws {ConflictError} the name is taken. */
    create: (principal: Principal, fields: ModelChange & { name: string }): Promise<Model> =>
      breaks("model_name_key", exists, () =>
        sql.begin(async (tx) => {
          const now = clock.now();
          const empty = { ...newModel, parameter_rules: {}, targets: [] };
          const model: Model = { ...empty, ...fields, id: newId(), created_at: now, updated_at: now };
          await check(tx, model);
          await insertModel(tx, model);
          await record(tx, principal, "create", { before: null, after: model });
          return model;
        }),
      ),

    /** @throws {NotFoundError} */
    get: (id: Uuid): Promise<Model> => requireModel(sql, id),

    /** A page of models, newest first. */
    async list({ before, limit }: { before?: Uuid; limit: number }): Promise<Page<Model>> {
      return pageOf(
        await listModel(sql, { limit: limit + 1, ...(before !== undefined && { before }) }),
        limit,
      );
    },

    /** Changes the given fields. @throws as `create`, and {NotFoundError}. */
    update: (principal: Principal, id: Uuid, change: ModelChange): Promise<Model> =>
      breaks("model_name_key", exists, () =>
        sql.begin(async (tx) => {
          const before = await requireModel(tx, id, true);
          const after: Model = { ...before, ...change, updated_at: clock.now() };
          await check(tx, after);
          if (after.name !== before.name || after.upstream_name === null) await checkUnused(tx, before.name);
          await updateModel(tx, after);
          await record(tx, principal, "update", { before, after });
          return after;
        }),
      ),

    /** Deletes a model, and its prices. @throws {NotFoundError} @throws {ConflictError} a list names it. */
    async delete(principal: Principal, id: Uuid): Promise<void> {
      await sql.begin(async (tx) => {
        const before = await requireModel(tx, id, true);
        await checkUnused(tx, before.name);
        await deleteModel(tx, id);
        await record(tx, principal, "delete", { before, after: null });
      });
    },
  };
}
