import type { Principal } from "../auth/principal.ts";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import { ValidateError } from "../errors/app-error.ts";
import { nilUuid, type Uuid } from "../id.ts";
import { emptyTimes, type Histogram, quantiles, readTimes, type Times } from "../metering/histogram.ts";
import { sum } from "../metering/money.ts";
import { startReading } from "../sql/reading.ts";
import { listUsage, placeOf, type UsageFilter, type UsageKey, type UsageSums } from "../sql/usage.ts";
import { isTimeout, readMsMax, visibleApps } from "./request.ts";

export type { UsageGroup } from "../sql/usage.ts";

/** What to sum up; without times the last 30 days. */
export type UsageQuery = Omit<UsageFilter, "visible" | "from" | "to" | "months" | "after" | "limit"> & {
  from?: Date;
  to?: Date;
};

/** Quantiles of a time, in milliseconds, within 2 %; `null` where no call had it. */
export interface Quantiles {
  p50: number | null;
  p95: number | null;
  p99: number | null;
}

/** A stretch of time of which sums are still to be read, without those of its first period up to a place. */
export interface UsageRest {
  from: Date;
  to: Date;
  after?: readonly string[] | undefined;
}

/** Sums of one period and group. */
export interface Usage {
  key: Omit<UsageKey, "account_id"> & { account_id?: Uuid | null };
  calls: number;
  errors: number;
  cacheHits: number;
  estimatedCalls: number;
  unpricedCalls: number;
  promptTokens: number;
  cachedTokens: number;
  cacheWriteTokens: number;
  completionTokens: number;
  reasoningTokens: number;
  /** Exact decimals. */
  costs: { currency: string; cost: string }[];
  ttftMs: Quantiles;
  durationMs: Quantiles;
}

const dayMs = 86_400_000;
/** Longest time for each period, in days, and the time without any. */
const daysMax = { hour: 31, day: 400, month: 1830 } as const;
const daysDefault = 30;
/** Most rows of one answer. */
const rowsMax = 10_000;
/** Rows that are read at once for a download. */
const pageRows = 500;

/** The start of the period (UTC) that a time is in, or of one that is some periods on. */
function periodOf(by: UsageFilter["by"], time: Date, on = 0): Date {
  const [year, month, day, hour] = [
    time.getUTCFullYear(),
    time.getUTCMonth(),
    time.getUTCDate(),
    time.getUTCHours(),
  ];
  if (by === "month") return new Date(Date.UTC(year, month + on));
  if (by === "day") return new Date(Date.UTC(year, month, day + on));
  return new Date(Date.UTC(year, month, day, hour + on));
}

/** The first start of a month from a time on. */
const monthFrom = (time: Date): Date => periodOf("month", new Date(time.getTime() - 1), 1);

/** Amounts by currency as sums by currency, in the order of their names. */
function costsOf(amounts: string | null): Usage["costs"] {
  if (amounts === null) return [];
  const costs: Usage["costs"] = [];
  const parts = amounts.split(" ");
  for (let place = 1; place < parts.length; place += 2) {
    const [currency = "", cost = ""] = [parts[place - 1], parts[place]];
    const known = costs.find((it) => it.currency === currency);
    if (known) known.cost = sum([known.cost, cost]);
    else costs.push({ currency, cost });
  }
  return costs.length > 1 ? costs.sort((a, b) => (a.currency < b.currency ? -1 : 1)) : costs;
}

const shares = [0.5, 0.95, 0.99];
const quantilesOf = (histogram: Histogram): Quantiles => {
  const [p50 = null, p95 = null, p99 = null] = quantiles(histogram, shares);
  return { p50, p95, p99 };
};

/** A row as an entry: numbers, quantiles, and nobody where no account is known. */
function toUsage({ key, times: bytes, costs, counts }: UsageSums, times: Times): Usage {
  readTimes(times, bytes);
  const [ttft, duration] = times;
  const [
    calls = 0,
    errors = 0,
    cacheHits = 0,
    estimatedCalls = 0,
    unpricedCalls = 0,
    promptTokens = 0,
    cachedTokens = 0,
    cacheWriteTokens = 0,
    completionTokens = 0,
    reasoningTokens = 0,
  ] = counts.split(" ").map(Number);
  return {
    key: key.account_id === nilUuid ? { ...key, account_id: null } : key,
    calls,
    errors,
    cacheHits,
    estimatedCalls,
    unpricedCalls,
    promptTokens,
    cachedTokens,
    cacheWriteTokens,
    completionTokens,
    reasoningTokens,
    costs: costsOf(costs),
    ttftMs: quantilesOf(ttft),
    durationMs: quantilesOf(duration),
  };
}

/** Rows as entries. */
function toUsages(rows: readonly UsageSums[]): Usage[] {
  const times = emptyTimes();
  return rows.map((row) => toUsage(row, times));
}

/** Adds up the calls, and tells them apart. */
export type UsageService = ReturnType<typeof createUsageService>;

/** Creates the service over a pool. */
export function createUsageService({ sql, clock }: { sql: Sql; clock: Clock }) {
  /** @throws {ValidateError} times or groups that make no sense together. */
  const checked = (query: UsageQuery): { from: Date; to: Date } => {
    const to = query.to ?? new Date(clock.now().getTime() + dayMs);
    const from = query.from ?? new Date(to.getTime() - (daysDefault + 1) * dayMs);
    if (from >= to) throw new ValidateError({ to: [{ key: "request.order" }] });
    if (to.getTime() - from.getTime() > (daysMax[query.by] + 1) * dayMs) {
      throw new ValidateError({ from: [{ key: "usage.too_long", params: { days: daysMax[query.by] } }] });
    }
    const perUser = query.groups.includes("user") || query.user !== undefined;
    const finer = query.groups.some((group) => ["key", "model", "provider"].includes(group));
    if (
      perUser &&
      (finer || query.keyId !== undefined || query.model !== undefined || query.provider !== undefined)
    ) {
      throw new ValidateError({ group: [{ key: "usage.user_alone" }] });
    }
    return { from, to };
  };

  /** The whole months of a stretch of time. Nothing comes after now, so that a month which goes on is whole as well. */
  const monthsOf = (from: Date, to: Date): { from: Date; to: Date } => {
    const end = to > clock.now() ? to : periodOf("month", to);
    const start = monthFrom(from);
    return start < end ? { from: start, to: end } : { from: to, to };
  };

  /** What somebody may see of it. @throws {ValidateError} it takes too long. */
  const read = async (
    principal: Principal,
    filter: Omit<UsageFilter, "visible" | "months">,
  ): Promise<UsageSums[]> => {
    const months = monthsOf(filter.from, filter.to);
    try {
      return await sql.begin("read only", async (tx) => {
        const visible = await visibleApps(tx, principal);
        if (visible?.length === 0) return [];
        await startReading(tx, readMsMax);
        return listUsage(tx, { ...filter, months, visible });
      });
    } catch (error) {
      throw isTimeout(error) ? new ValidateError({ from: [{ key: "request.too_much" }] }) : error;
    }
  };

  return {
    /** Sums by period and group, oldest first. @throws {ValidateError} see above, or more than 10,000 rows. */
    async list(principal: Principal, query: UsageQuery): Promise<Usage[]> {
      const { from, to } = checked(query);
      const rows = await read(principal, { ...query, from, to, limit: rowsMax + 1 });
      if (rows.length > rowsMax)
        throw new ValidateError({ group: [{ key: "usage.too_many", params: { max: rowsMax } }] });
      return toUsages(rows);
    },

    /**
     * A page of the same, of one period, and what is left after it; `rest` is what was left by the page before. However many rows
     * there are, each is read once.
     * @throws {ValidateError} see above.
     */
    async page(
      principal: Principal,
      query: UsageQuery,
      rest: UsageRest = checked(query),
    ): Promise<{ items: Usage[]; rest: UsageRest | null }> {
      const { to } = rest;
      for (let { from, after } = rest; from < to; from = periodOf(query.by, from, 1), after = undefined) {
        const end = new Date(Math.min(periodOf(query.by, from, 1).getTime(), to.getTime()));
        const stretch = { from, to: end, ...(after && { after }) };
        const rows = await read(principal, { ...query, ...stretch, limit: pageRows });
        const last = rows.at(-1);
        if (!last) continue;
        const items = toUsages(rows);
        if (rows.length === pageRows && query.groups.length > 0)
          return { items, rest: { from, to, after: placeOf(last, query.groups) } };
        return { items, rest: end < to ? { from: end, to } : null };
      }
      return { items: [], rest: null };
    },
  };
}
