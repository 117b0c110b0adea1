import type { Principal } from "../auth/principal.ts";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import { ConflictError, NotFoundError } from "../errors/app-error.ts";
import { newId, type Uuid } from "../id.ts";
import { deletePrice, findPrice, insertPrice, listPrice, type PriceRow } from "../sql/price.ts";
import type { AuditService } from "./audit.ts";
import { requireModel } from "./model.ts";
import { type Page, pageOf } from "./page.ts";

export type { PriceRow } from "../sql/price.ts";

/** A new version of a model's prices; amounts are exact decimals as text. */
export interface NewPrice {
  valid_from?: Date;
  above_prompt_tokens?: number;
  currency: string;
  prompt: string;
  cached?: string;
  cache_write?: string;
  cache_write_long?: string;
  completion: string;
  reasoning?: string;
  source?: string;
}

/** Rules of prices: a version is made, or deleted, and never changed. */
export type PriceService = ReturnType<typeof createPriceService>;

/** Creates the service over a pool. */
export function createPriceService({ sql, clock, audit }: { sql: Sql; clock: Clock; audit: AuditService }) {
  return {
    /** Makes a version. @throws {NotFoundError} no such model. @throws {ConflictError} there is one of that time and tier. */
    create: (principal: Principal, modelId: Uuid, fields: NewPrice): Promise<PriceRow> =>
      sql.begin(async (tx) => {
        await requireModel(tx, modelId);
        const now = clock.now();
        const price: PriceRow = {
          id: newId(),
          model_id: modelId,
          valid_from: fields.valid_from ?? now,
          above_prompt_tokens: fields.above_prompt_tokens ?? 0,
          currency: fields.currency,
          prompt: fields.prompt,
          cached: fields.cached ?? null,
          cache_write: fields.cache_write ?? null,
          cache_write_long: fields.cache_write_long ?? null,
          completion: fields.completion,
          reasoning: fields.reasoning ?? null,
          source: fields.source ?? "",
          created_at: now,
        };
        if (!(await insertPrice(tx, price))) throw new ConflictError("price.exists");
        await audit.record(tx, {
          actor: principal.actor,
          action: "price.create",
          subjectKind: "price",
          subjectId: price.id,
          before: null,
          after: price,
        });
        return price;
      }),

    /** A page of a model's versions, newest first. @throws {NotFoundError} no such model. */
    async list(modelId: Uuid, { before, limit }: { before?: Uuid; limit: number }): Promise<Page<PriceRow>> {
      await requireModel(sql, modelId);
      const rows = await listPrice(sql, {
        modelId,
        limit: limit + 1,
        ...(before !== undefined && { before }),
      });
      return pageOf(rows, limit);
    },

    /** Deletes a version; what was billed by it stays as it is until it is priced anew. @throws {NotFoundError} */
    async delete(principal: Principal, modelId: Uuid, id: Uuid): Promise<void> {
      await sql.begin(async (tx) => {
        const before = await findPrice(tx, { id, modelId });
        if (!before) throw new NotFoundError("price.not_found");
        await deletePrice(tx, id);
        await audit.record(tx, {
          actor: principal.actor,
          action: "price.delete",
          subjectKind: "price",
          subjectId: id,
          before,
          after: null,
        });
      });
    },
  };
}
