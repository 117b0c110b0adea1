import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** Where sums belong: a grain and its start, and who or what they are of; see the table's migration. */
export interface UsagePlace {
  grain: "hour" | "day" | "month";
  /** ISO 8601. */
  starts_at: string;
  cut: "service" | "app" | "user";
  app_id: Uuid;
  key_id: Uuid;
  model: string;
  provider: string;
  end_user: string;
}

/** What is counted, in the order of the table's columns. */
export const usageCounts = [
  "calls",
  "errors",
  "cache_hits",
  "estimated_calls",
  "unpriced_calls",
  "prompt_tokens",
  "cached_tokens",
  "cache_write_tokens",
  "completion_tokens",
  "reasoning_tokens",
] as const;

/** What is added to one row of sums. */
export interface UsageRow extends UsagePlace, Record<(typeof usageCounts)[number], number> {
  currency: string;
  /** Exact decimal. */
  cost: string;
  /** Histograms as numbers. */
  ttft: string;
  duration: string;
}

/** Adds to the sums. The rows are locked in the order given, which must be the same for everybody. */
export async function insertUsageMany(db: Db, rows: readonly UsageRow[]): Promise<void> {
  await db`
    insert into usage select * from json_populate_recordset(null::usage, ${JSON.stringify(rows)}::text::json)
    on conflict (grain, starts_at, cut, app_id, key_id, model, provider, end_user, currency) do update set
      calls = usage.calls + excluded.calls,
      errors = usage.errors + excluded.errors,
      cache_hits = usage.cache_hits + excluded.cache_hits,
      estimated_calls = usage.estimated_calls + excluded.estimated_calls,
      unpriced_calls = usage.unpriced_calls + excluded.unpriced_calls,
      prompt_tokens = usage.prompt_tokens + excluded.prompt_tokens,
      cached_tokens = usage.cached_tokens + excluded.cached_tokens,
      cache_write_tokens = usage.cache_write_tokens + excluded.cache_write_tokens,
      completion_tokens = usage.completion_tokens + excluded.completion_tokens,
      reasoning_tokens = usage.reasoning_tokens + excluded.reasoning_tokens,
      cost = usage.cost + excluded.cost,
      ttft = usage.ttft + excluded.ttft,
      duration = usage.duration + excluded.duration`;
}
