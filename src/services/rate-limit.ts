import type { Principal } from "../auth/principal.ts";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import { ConflictError, NotFoundError, ValidateError } from "../errors/app-error.ts";
import { isUuid, newId, type Uuid } from "../id.ts";
import type { Db } from "../sql/db.ts";
import {
  deleteRateLimit,
  findRateLimit,
  insertRateLimit,
  listRateLimit,
  type RateLimitFilter,
  type RateLimitRow,
  type RateLimitScope,
  updateRateLimit,
} from "../sql/rate-limit.ts";
import type { AuditService } from "./audit.ts";
import { breaks } from "./constraint.ts";
import { requireSubject } from "./limit-subject.ts";
import { type Page, pageOf } from "./page.ts";

export type { RateLimitRow, RateLimitScope } from "../sql/rate-limit.ts";

/** What may be changed of a limit; a field that is absent stays as it is, `null` is as the less specific says. */
export type RateLimitChange = Partial<Pick<RateLimitRow, "requests" | "tokens" | "concurrency">>;

/** A new limit; without a subject it is for all that have none of their own. */
export type NewRateLimit = RateLimitChange & {
  scope: RateLimitScope;
  subject?: string;
  end_user?: string;
};

/** Rules of limits on calls, which administrators keep. */
export type RateLimitService = ReturnType<typeof createRateLimitService>;

/** Creates the service over a pool. */
export function createRateLimitService({
  sql,
  clock,
  audit,
}: {
  sql: Sql;
  clock: Clock;
  audit: AuditService;
}) {
  const require = async (db: Db, viewer: Principal, id: Uuid, lock = false): Promise<RateLimitRow> => {
    const found = await findRateLimit(db, { id, viewer, lock });
    if (!found) throw new NotFoundError("rate_limit.not_found");
    return found;
  };

  const record = (
    db: Db,
    { actor }: Principal,
    action: string,
    { before, after }: { before: RateLimitRow | null; after: RateLimitRow | null },
  ) =>
    audit.record(db, {
      actor,
      action: `rate_limit.${action}`,
      subjectKind: "rate_limit",
      subjectId: (after ?? before)?.id ?? "",
      before,
      after,
    });

  const exists = () => new ConflictError("rate_limit.exists");

  return {
    /**
     * Makes a limit. @throws {ValidateError} there is nothing of that id, or a user without an app.
     * @throws {ConflictError} there is one of the same scope, subject and user.
     */
    create: (principal: Principal, fields: NewRateLimit): Promise<RateLimitRow> =>
      breaks("rate_limit_subject", exists, () =>
        sql.begin(async (tx) => {
          const { scope, subject = "", end_user = "" } = fields;
          if (end_user !== "" && (scope !== "user" || subject === "")) {
            throw new ValidateError({ end_user: [{ key: "rate_limit.end_user" }] });
          }
          const named = scope === "model" || subject === "";
          const now = clock.now();
          const limit: RateLimitRow = {
            id: newId(),
            scope,
            subject: named ? subject : await requireSubject(tx, { scope, subject, field: "subject" }),
            end_user,
            requests: fields.requests ?? null,
            tokens: fields.tokens ?? null,
            concurrency: fields.concurrency ?? null,
            created_at: now,
            updated_at: now,
          };
          await insertRateLimit(tx, limit);
          await record(tx, principal, "create", { before: null, after: limit });
          return limit;
        }),
      ),

    /** The limit with this id. @throws {NotFoundError} none, or not visible to `principal`. */
    get: (principal: Principal, id: Uuid): Promise<RateLimitRow> => require(sql, principal, id),

    /** A page of the limits that `principal` may see, newest first. */
    async list(
      principal: Principal,
      { subject, ...filter }: Omit<RateLimitFilter, "viewer">,
    ): Promise<Page<RateLimitRow>> {
      // An id may be spelt in either case; a model's name may not.
      const id = subject !== undefined && isUuid(subject) && filter.scope !== "model";
      const rows = await listRateLimit(sql, {
        ...filter,
        ...(subject !== undefined && { subject: id ? subject.toLowerCase() : subject }),
        viewer: principal,
        limit: filter.limit + 1,
      });
      return pageOf(rows, filter.limit);
    },

    /** Changes the given fields and no others. @throws {NotFoundError} */
    update: (principal: Principal, id: Uuid, change: RateLimitChange): Promise<RateLimitRow> =>
      sql.begin(async (tx) => {
        const before = await require(tx, principal, id, true);
        if (Object.keys(change).length === 0) return before;
        const after = { ...before, ...change, updated_at: clock.now() };
        await updateRateLimit(tx, after);
        await record(tx, principal, "update", { before, after });
        return after;
      }),

    /** Deletes a limit: the less specific one holds from now on. @throws {NotFoundError} */
    async delete(principal: Principal, id: Uuid): Promise<void> {
      await sql.begin(async (tx) => {
        const before = await require(tx, principal, id, true);
        await deleteRateLimit(tx, id);
        await record(tx, principal, "delete", { before, after: null });
      });
    },
  };
}
