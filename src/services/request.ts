import type { Principal } from "../auth/principal.ts";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import { NotFoundError, ValidateError } from "../errors/app-error.ts";
import type { Uuid } from "../id.ts";
import { listVisibleAppIds } from "../sql/app.ts";
import type { Db } from "../sql/db.ts";
import {
  findRequest,
  limitStatements,
  listRequest,
  type RequestDetail,
  type RequestFilter,
  type RequestRow,
} from "../sql/request-list.ts";
import { type Page, pageOf } from "./page.ts";

export type { RequestDetail, RequestRow } from "../sql/request-list.ts";

/** What to look for, with times instead of ids. */
export type RequestQuery = Omit<RequestFilter, "visible" | "from" | "to"> & { from?: Date; to?: Date };

/** Longest time that is searched for a text, in milliseconds. */
const textMsMax = 7 * 86_400_000;

/** The first UUIDv7 of a moment. */
export const idAt = (moment: Date): Uuid => {
  const hex = Math.max(0, moment.getTime()).toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-0000-0000-000000000000`;
};

/** The apps whose records somebody may see; `undefined` for all. */
export const visibleApps = async (db: Db, { seesAll, accountId }: Principal): Promise<Uuid[] | undefined> =>
  seesAll ? undefined : listVisibleAppIds(db, accountId);

/** SQLSTATE of a statement that was ended for its time. */
const isTimeout = (error: unknown) => error instanceof Error && "code" in error && error.code === "57014";

/** Reads what calls did. */
export type RequestService = ReturnType<typeof createRequestService>;

/** Creates the service over a pool. */
export function createRequestService({ sql, clock }: { sql: Sql; clock: Clock }) {
  /** @throws {ValidateError} a time that makes no sense, or is too long for a text. */
  const bounds = ({ from, to, text }: RequestQuery): { from?: Uuid; to?: Uuid } => {
    if (from && to && from >= to) throw new ValidateError({ to: [{ key: "request.order" }] });
    if (text === undefined) return { ...(from && { from: idAt(from) }), ...(to && { to: idAt(to) }) };
    const end = to ?? clock.now();
    const start = from ?? new Date(end.getTime() - textMsMax);
    if (end.getTime() - start.getTime() > textMsMax)
      throw new ValidateError({ from: [{ key: "request.text_days" }] });
    // A minute more than now: ids are made by clocks that may go ahead.
    return { from: idAt(start), to: idAt(new Date(end.getTime() + (to ? 0 : 60_000))) };
  };

  return {
    /**
     * A page of the calls that `principal` may see, newest first.
     * @throws {ValidateError} it takes too long, or makes no sense.
     */
    async list(principal: Principal, query: RequestQuery): Promise<Page<RequestRow>> {
      const times = bounds(query);
      const { from: _, to: __, ...rest } = query;
      try {
        return await sql.begin("read only", async (tx) => {
          await limitStatements(tx);
          const visible = await visibleApps(tx, principal);
          const rows = await listRequest(tx, { ...rest, ...times, visible, limit: query.limit + 1 });
          return pageOf(rows, query.limit);
        });
      } catch (error) {
        throw isTimeout(error) ? new ValidateError({ from: [{ key: "request.too_much" }] }) : error;
      }
    },

    /** A call with its attempts and content. @throws {NotFoundError} none, or not visible to `principal`. */
    async get(principal: Principal, id: Uuid): Promise<RequestDetail> {
      const found = await findRequest(sql, { id, visible: await visibleApps(sql, principal) });
      if (!found) throw new NotFoundError("request.not_found");
      return found;
    },
  };
}
