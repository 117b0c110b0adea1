import type { Principal } from "../auth/principal.ts";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import { ConflictError, NotFoundError, ValidateError } from "../errors/app-error.ts";
import { newId, type Uuid } from "../id.ts";
import { formatDecimal, parseDecimal } from "../metering/money.ts";
import { deleteRate, findRate, insertRate, listRate, type RateFilter, type RateRow } from "../sql/rate.ts";
import type { AuditService } from "./audit.ts";
import { type Page, pageOf } from "./page.ts";

export type { RateRow } from "../sql/rate.ts";

/** A new rate; `value` is an exact decimal as text. */
export interface NewRate {
  base: string;
  quote: string;
  value: string;
  valid_from?: Date;
  source?: string;
}

/** Rules of exchange rates: one is made, or deleted, and never changed. */
export type RateService = ReturnType<typeof createRateService>;

/** Creates the service over a pool. */
export function createRateService({ sql, clock, audit }: { sql: Sql; clock: Clock; audit: AuditService }) {
  return {
    /**
     * Makes a rate. @throws {ValidateError} it is 0, or of a currency in itself.
     * @throws {ConflictError} there is one of the same currencies and time.
     */
    async create(principal: Principal, fields: NewRate): Promise<RateRow> {
      const { base, quote } = fields;
      const value = formatDecimal(parseDecimal(fields.value));
      if (value === "0") throw new ValidateError({ value: [{ key: "rate.positive" }] });
      if (base === quote) throw new ValidateError({ quote: [{ key: "rate.same" }] });
      const now = clock.now();
      const rate: RateRow = {
        id: newId(),
        base,
        quote,
        value,
        valid_from: fields.valid_from ?? now,
        source: fields.source ?? "",
        created_at: now,
      };
      return sql.begin(async (tx) => {
        if (!(await insertRate(tx, rate))) throw new ConflictError("rate.exists");
        await audit.record(tx, {
          actor: principal.actor,
          action: "rate.create",
          subjectKind: "rate",
          subjectId: rate.id,
          before: null,
          after: rate,
        });
        return rate;
      });
    },

    /** A page of rates, the last made first. */
    async list(filter: RateFilter): Promise<Page<RateRow>> {
      return pageOf(await listRate(sql, { ...filter, limit: filter.limit + 1 }), filter.limit);
    },

    /** Deletes a rate; what was booked by it stays as it is. @throws {NotFoundError} */
    async delete(principal: Principal, id: Uuid): Promise<void> {
      await sql.begin(async (tx) => {
        const before = await findRate(tx, id);
        if (!before) throw new NotFoundError("rate.not_found");
        await deleteRate(tx, id);
        await audit.record(tx, {
          actor: principal.actor,
          action: "rate.delete",
          subjectKind: "rate",
          subjectId: id,
          before,
          after: null,
        });
      });
    },
  };
}
