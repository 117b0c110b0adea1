import type { Principal } from "../auth/principal.ts";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import { NotFoundError, ValidateError } from "../errors/app-error.ts";
import { timeOf, type Uuid } from "../id.ts";
import { type StoredAttempt, wholeAttempts } from "../metering/attempts.ts";
import type { AttemptRecord } from "../metering/record.ts";
import { listVisibleAppIds } from "../sql/app.ts";
import type { Db } from "../sql/db.ts";
import { startReading } from "../sql/reading.ts";
import {
  findRequest,
  listRequest,
  type RequestFilter,
  type RequestRow,
  type RequestDetail as StoredRequest,
} from "../sql/request-list.ts";
import { type Page, pageOf } from "./page.ts";

export type { RequestRow } from "../sql/request-list.ts";

/** A call with everything that is kept of it. */
export interface RequestDetail extends Omit<StoredRequest, "attempts"> {
  attempts: readonly AttemptRecord[];
}

/** What to look for, with times instead of ids. */
export type RequestQuery = Omit<RequestFilter, "visible" | "from" | "to" | "collect" | "rare" | "over"> & {
  from?: Date;
  to?: Date;
};

/** Longest time that is searched for a text, in milliseconds. */
const textMsMax = 7 * 86_400_000;

/** The first stretch of time that is searched, in milliseconds. */
const stretchMs = 2 * 3600_000;
/** The same for a text: the newest have no index of texts, and what is common is in a few minutes. */
const textStretchMs = stretchMs / 16;
/** How long a part of a day's content is, in milliseconds, which gets its indexes of texts when it is over. */
const partMs = 2 * 3600_000;
const dayMs = 86_400_000;
/** What is older than some two months is searched at once. */
const lengthMax = 32 * dayMs;
/** Longest time for a page, in milliseconds. */
export const readMsMax = 5000;

/** The first UUIDv7 of a moment. */
export const idAt = (moment: Date): Uuid => {
  const hex = Math.max(0, moment.getTime()).toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-0000-0000-000000000000`;
};

/** The apps whose records somebody may see; `undefined` for all. */
export const visibleApps = async (db: Db, { seesAll, accountId }: Principal): Promise<Uuid[] | undefined> =>
  seesAll ? undefined : listVisibleAppIds(db, accountId);

/** SQLSTATE of a statement that was ended for its time. */
export const isTimeout = (error: unknown) =>
  error instanceof Error && "code" in error && error.code === "57014";

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

  /**
   * The newest calls that match, in stretches of time that double, from the newest back: what is common is found in the first of them
   * without a look at the others, and what is rare is looked for by the indexes of each, however the database guesses.
   */
  const walk = async (tx: Db, filter: RequestFilter): Promise<RequestRow[]> => {
    const deadline = performance.now() + readMsMax;
    const now = clock.now().getTime();
    const start = filter.from === undefined ? 0 : timeOf(filter.from);
    const rows: RequestRow[] = [];
    const to = filter.before ?? filter.to;
    let end = to === undefined ? undefined : timeOf(to) + (to === filter.before ? 1 : 0);
    const byRange = [filter.costMin, filter.durationMsMin, filter.ttftMsMin].some((it) => it !== undefined);
    const indexed = [filter.appId, filter.user, filter.session, filter.status, filter.visible];
    const byStretch = indexed.every((it) => it === undefined);
    // The start of the part of content that is not over.
    const partAt = now - (now % partMs);
    for (let length = filter.text === undefined ? stretchMs : textStretchMs, today = false; ; ) {
      const until = end ?? now;
      const since =
        filter.text !== undefined && until > partAt ? Math.max(until - length, partAt) : until - length;
      const last = since <= start || length > lengthMax;
      // What the first stretch has not enough of is rare: the rest of today is read where it may be, and of the days before only what
      // the indexes of cost and times name. The database would rather walk back by the id, having no idea of the ends of ranges.
      const collect = filter.text === undefined && length !== stretchMs && (today || byRange);
      await startReading(tx, deadline - performance.now());
      const from = last ? filter.from : idAt(new Date(since));
      const bounds = { ...(from && { from }), ...(end !== undefined && { to: idAt(new Date(end)) }) };
      const { from: _, to: __, ...rest } = filter;
      rows.push(
        ...(await listRequest(tx, {
          ...rest,
          ...bounds,
          collect,
          over: until <= partAt,
          rare: collect && today && byStretch,
          limit: filter.limit - rows.length,
        })),
      );
      if (last || rows.length >= filter.limit) return rows;
      end = since;
      // The rest of the day is looked at alone: today has fewer indexes than the days before it.
      today = filter.text === undefined && since % dayMs !== 0;
      if (today) length = since % dayMs;
      else length = filter.text === undefined && length < dayMs ? dayMs : 2 * length;
    }
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
          const visible = await visibleApps(tx, principal);
          if (visible?.length === 0) return { items: [], nextCursor: null };
          const filter = { ...rest, ...times, visible, limit: query.limit + 1 };
          return pageOf(await walk(tx, filter), query.limit);
        });
      } catch (error) {
        throw isTimeout(error) ? new ValidateError({ from: [{ key: "request.too_much" }] }) : error;
      }
    },

    /** A call with its attempts and content. @throws {NotFoundError} none, or not visible to `principal`. */
    async get(principal: Principal, id: Uuid): Promise<RequestDetail> {
      const found = await findRequest(sql, { id, visible: await visibleApps(sql, principal) });
      if (!found) throw new NotFoundError("request.not_found");
      return { ...found, attempts: wholeAttempts(found, found.attempts as readonly StoredAttempt[]) };
    },
  };
}
