import type { Principal } from "../auth/principal.ts";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import { ValidateError } from "../errors/app-error.ts";
import { quantile } from "../metering/histogram.ts";
import {
  listUsage,
  listUsageLatency,
  type UsageBucket,
  type UsageFilter,
  type UsageKey,
  type UsageSums,
} from "../sql/usage.ts";
import { visibleApps } from "./request.ts";

export type { UsageGroup } from "../sql/usage.ts";

/** What to sum up; without times the last 30 days. */
export type UsageQuery = Omit<UsageFilter, "visible" | "from" | "to" | "limit"> & { from?: Date; to?: Date };

/** Quantiles of a time, in milliseconds, within 2 %; `null` where no call had it. */
export interface Quantiles {
  p50: number | null;
  p95: number | null;
  p99: number | null;
}

/** Sums of one period and group. */
export interface Usage {
  key: UsageKey;
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

/** What tells one period and group from all others. */
const keyOf = (row: UsageKey): UsageKey => {
  const { period, app_id, key_id, model, provider, user, account_id } = row;
  return Object.fromEntries(
    Object.entries({ period, app_id, key_id, model, provider, user, account_id }).filter(
      ([, value]) => value !== undefined,
    ),
  ) as unknown as UsageKey;
};

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

  return {
    /** Sums by period and group, oldest first. @throws {ValidateError} see above, or more than 10,000 rows. */
    async list(principal: Principal, query: UsageQuery): Promise<Usage[]> {
      const filter: UsageFilter = {
        ...query,
        ...checked(query),
        visible: await visibleApps(sql, principal),
        limit: rowsMax + 1,
      };
      const [sums, buckets] = await Promise.all([listUsage(sql, filter), listUsageLatency(sql, filter)]);
      if (sums.length > rowsMax)
        throw new ValidateError({ group: [{ key: "usage.too_many", params: { max: rowsMax } }] });
      return fold(sums, buckets);
    },
  };
}

/** The rows of all currencies, and the histograms, as one entry for each period and group. */
function fold(sums: readonly UsageSums[], buckets: readonly UsageBucket[]): Usage[] {
  const entries = new Map<string, Usage>();
  const histograms = new Map<string, Map<number, number>>();
  for (const row of buckets) {
    const place = `${JSON.stringify(keyOf(row))}${row.metric}`;
    const histogram = histograms.get(place) ?? new Map<number, number>();
    histogram.set(row.bucket, Number(row.calls));
    histograms.set(place, histogram);
  }
  const quantiles = (place: string): Quantiles => {
    const histogram = histograms.get(place) ?? new Map<number, number>();
    return { p50: quantile(histogram, 0.5), p95: quantile(histogram, 0.95), p99: quantile(histogram, 0.99) };
  };
  for (const row of sums) {
    const key = keyOf(row);
    const place = JSON.stringify(key);
    const entry = entries.get(place) ?? {
      key,
      calls: 0,
      errors: 0,
      cacheHits: 0,
      estimatedCalls: 0,
      unpricedCalls: 0,
      promptTokens: 0,
      cachedTokens: 0,
      cacheWriteTokens: 0,
      completionTokens: 0,
      reasoningTokens: 0,
      costs: [],
      ttftMs: quantiles(`${place}ttft`),
      durationMs: quantiles(`${place}duration`),
    };
    entries.set(place, entry);
    entry.calls += Number(row.calls);
    entry.errors += Number(row.errors);
    entry.cacheHits += Number(row.cache_hits);
    entry.estimatedCalls += Number(row.estimated_calls);
    entry.unpricedCalls += Number(row.unpriced_calls);
    entry.promptTokens += Number(row.prompt_tokens);
    entry.cachedTokens += Number(row.cached_tokens);
    entry.cacheWriteTokens += Number(row.cache_write_tokens);
    entry.completionTokens += Number(row.completion_tokens);
    entry.reasoningTokens += Number(row.reasoning_tokens);
    if (row.currency !== "") entry.costs.push({ currency: row.currency, cost: row.cost });
  }
  return [...entries.values()];
}
