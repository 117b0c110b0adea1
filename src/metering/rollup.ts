import { nilUuid } from "../id.ts";
import type { UsageLatencyRow, UsageRow } from "../sql/usage-rollup.ts";
import { bucketOf } from "./histogram.ts";
import { formatDecimal, parseDecimal, rescale } from "./money.ts";
import type { CallRecord } from "./record.ts";

/** Sums as they are added to the tables, in the order in which rows are to be locked. */
export interface Rollup {
  usage: UsageRow[];
  latency: UsageLatencyRow[];
}

const grains = ["hour", "day"] as const;

/** The start of the hour, or of the day, of a time (UTC). */
const startOf = (iso: string, grain: "hour" | "day"): string =>
  grain === "hour" ? `${iso.slice(0, 13)}:00:00.000Z` : `${iso.slice(0, 10)}T00:00:00.000Z`;

/** Where a call counts: once for the service, and once for its end user where it names one. */
const cutsOf = ({ key_id, model, model_used, provider, end_user }: CallRecord) => {
  const service = {
    cut: "service" as const,
    key_id: key_id ?? nilUuid,
    model: model_used ?? model,
    provider: provider ?? "",
    end_user: "",
  };
  if (end_user === null) return [service];
  return [service, { cut: "user" as const, key_id: nilUuid, model: "", provider: "", end_user }];
};

/** The call's costs by currency: its own, and those of attempts in another. */
export function costsOf({
  attempts,
  currency,
  cost,
}: Pick<CallRecord, "attempts" | "currency" | "cost">): Map<string, string[]> {
  const costs = new Map<string, string[]>([[currency ?? "", cost === null ? [] : [cost]]]);
  for (const attempt of attempts) {
    if (attempt.currency === null || attempt.currency === currency || attempt.cost === null) continue;
    costs.set(attempt.currency, [...(costs.get(attempt.currency) ?? []), attempt.cost]);
  }
  return costs;
}

/** Adds to a sum that is kept as an exact decimal. */
const plus = (a: string, b: string, sign: number): string => {
  const [x, y] = [parseDecimal(a), parseDecimal(b)];
  const scale = Math.max(x.scale, y.scale);
  const added = rescale(y, scale).units * BigInt(sign);
  return formatDecimal({ units: rescale(x, scale).units + added, scale });
};

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

/**
 * Folds calls into the sums of their hours and days; with `sign` -1 into what takes them out again. Sorted by key, so that
 * processes that write at the same time lock the rows in the same order.
 */
export function rollUp(records: readonly CallRecord[], sign: 1 | -1 = 1): Rollup {
  const usage = new Map<string, UsageRow>();
  const latency = new Map<string, UsageLatencyRow>();
  for (const record of records) {
    const costs = costsOf(record);
    for (const grain of grains) {
      for (const cut of cutsOf(record)) {
        const at = { grain, starts_at: startOf(record.created_at, grain), app_id: record.app_id, ...cut };
        const key = [
          grain,
          at.starts_at,
          at.cut,
          at.app_id,
          at.key_id,
          at.model,
          at.provider,
          at.end_user,
        ].join("\n");
        for (const [currency, amounts] of costs) {
          const own = currency === (record.currency ?? "");
          const row = usage.get(`${key}\n${currency}`) ?? emptyUsage({ ...at, currency });
          usage.set(`${key}\n${currency}`, row);
          if (own) addCall(row, record, sign);
          for (const amount of amounts) row.cost = plus(row.cost, amount, sign);
        }
        for (const metric of ["ttft", "duration"] as const) {
          const ms = metric === "ttft" ? record.ttft_ms : record.duration_ms;
          if (ms === null) continue;
          const bucket = bucketOf(ms);
          const place = `${key}\n${metric}\n${String(bucket).padStart(4, "0")}`;
          const row = latency.get(place) ?? { ...at, metric, bucket, calls: 0 };
          row.calls += sign;
          latency.set(place, row);
        }
      }
    }
  }
  const sorted = <T>(rows: Map<string, T>) =>
    [...rows].sort(([a], [b]) => compare(a, b)).map(([, row]) => row);
  return { usage: sorted(usage), latency: sorted(latency) };
}

const emptyUsage = (
  at: Pick<
    UsageRow,
    "grain" | "starts_at" | "cut" | "app_id" | "key_id" | "model" | "provider" | "end_user" | "currency"
  >,
): UsageRow => ({
  ...at,
  calls: 0,
  errors: 0,
  cache_hits: 0,
  estimated_calls: 0,
  unpriced_calls: 0,
  prompt_tokens: 0,
  cached_tokens: 0,
  cache_write_tokens: 0,
  completion_tokens: 0,
  reasoning_tokens: 0,
  cost: "0",
});

function addCall(row: UsageRow, record: CallRecord, sign: 1 | -1): void {
  row.calls += sign;
  if (record.status === "error" || record.status === "interrupted") row.errors += sign;
  if (record.cache_hit) row.cache_hits += sign;
  if (record.usage_source === "estimate") row.estimated_calls += sign;
  if (record.cost === null && record.prompt_tokens + record.completion_tokens > 0) row.unpriced_calls += sign;
  row.prompt_tokens += sign * record.prompt_tokens;
  row.cached_tokens += sign * record.cached_tokens;
  row.cache_write_tokens += sign * record.cache_write_tokens;
  row.completion_tokens += sign * record.completion_tokens;
  row.reasoning_tokens += sign * record.reasoning_tokens;
}
