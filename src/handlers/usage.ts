import type { Principal } from "../auth/principal.ts";
import { type Envelope, success } from "../errors/envelope.ts";
import type { Uuid } from "../id.ts";
import type { Quantiles, Usage, UsageGroup, UsageQuery, UsageService } from "../services/usage.ts";
import { download, type ExportFormat } from "./download.ts";

interface Needs {
  usage: UsageService;
}

/** What a caller may ask for, as the query has it. */
export interface UsageFilterQuery {
  by?: "hour" | "day" | "month";
  /** Names of groups, separated by commas. */
  group?: string;
  app_id?: Uuid;
  key_id?: Uuid;
  model?: string;
  provider?: string;
  user?: string;
  account_id?: Uuid;
  from?: string;
  to?: string;
}

/** Sums as callers see them. Only the groups that were asked for are there. */
export interface WireUsage {
  period: string;
  app_id?: Uuid;
  key_id?: Uuid;
  model?: string;
  provider?: string;
  user?: string;
  account_id?: Uuid | null;
  calls: number;
  errors: number;
  /** Share of the calls that failed, 0 to 1. */
  error_rate: number;
  cache_hits: number;
  estimated_calls: number;
  unpriced_calls: number;
  prompt_tokens: number;
  cached_tokens: number;
  cache_write_tokens: number;
  completion_tokens: number;
  reasoning_tokens: number;
  costs: { currency: string; cost: string }[];
  ttft_ms: Quantiles;
  duration_ms: Quantiles;
}

const rounded = ({ p50, p95, p99 }: Quantiles): Quantiles => {
  const round = (ms: number | null) => (ms === null ? null : Math.round(ms * 10) / 10);
  return { p50: round(p50), p95: round(p95), p99: round(p99) };
};

const toWireUsage = (it: Usage): WireUsage => ({
  ...it.key,
  period: it.key.period.toISOString(),
  calls: it.calls,
  errors: it.errors,
  error_rate: it.calls === 0 ? 0 : it.errors / it.calls,
  cache_hits: it.cacheHits,
  estimated_calls: it.estimatedCalls,
  unpriced_calls: it.unpricedCalls,
  prompt_tokens: it.promptTokens,
  cached_tokens: it.cachedTokens,
  cache_write_tokens: it.cacheWriteTokens,
  completion_tokens: it.completionTokens,
  reasoning_tokens: it.reasoningTokens,
  costs: it.costs,
  ttft_ms: rounded(it.ttftMs),
  duration_ms: rounded(it.durationMs),
});

const toQuery = (it: UsageFilterQuery): UsageQuery => ({
  by: it.by ?? "day",
  groups: [...new Set(it.group?.split(",") ?? [])] as UsageGroup[],
  ...(it.app_id !== undefined && { appId: it.app_id }),
  ...(it.key_id !== undefined && { keyId: it.key_id }),
  ...(it.model !== undefined && { model: it.model }),
  ...(it.provider !== undefined && { provider: it.provider }),
  ...(it.user !== undefined && { user: it.user }),
  ...(it.account_id !== undefined && { accountId: it.account_id }),
  ...(it.from !== undefined && { from: new Date(it.from) }),
  ...(it.to !== undefined && { to: new Date(it.to) }),
});

/** `GET /usage` */
export async function listUsage(
  { usage }: Needs,
  { principal, query }: { principal: Principal; query: UsageFilterQuery },
): Promise<Envelope<{ items: WireUsage[] }>> {
  return success("", { items: (await usage.list(principal, toQuery(query))).map(toWireUsage) });
}

/** A table has no room for lists: a row for each currency, the times in columns of their own. */
const toRows = ({ costs, ttft_ms, duration_ms, ...rest }: WireUsage) => {
  const times = Object.fromEntries(
    Object.entries({ ttft_ms, duration_ms }).flatMap(([name, quantiles]) =>
      Object.entries(quantiles).map(([q, ms]) => [`${name}_${q}`, ms]),
    ),
  );
  const [first = { currency: "", cost: "" }, ...more] = costs;
  // What another currency was spent besides is no further call.
  return [
    { ...rest, ...times, ...first },
    ...more.map((cost) => ({ ...rest, calls: 0, errors: 0, ...cost })),
  ];
};

const usageColumns = [
  "period",
  "app_id",
  "key_id",
  "model",
  "provider",
  "user",
  "account_id",
  "calls",
  "errors",
  "error_rate",
  "cache_hits",
  "estimated_calls",
  "unpriced_calls",
  "prompt_tokens",
  "cached_tokens",
  "cache_write_tokens",
  "completion_tokens",
  "reasoning_tokens",
  "currency",
  "cost",
  "ttft_ms_p50",
  "ttft_ms_p95",
  "ttft_ms_p99",
  "duration_ms_p50",
  "duration_ms_p95",
  "duration_ms_p99",
];

/** `GET /usage/export`: everything that matches, page by page as it is read. The first page is there before the answer. */
export async function exportUsage(
  { usage }: Needs,
  { principal, query, format }: { principal: Principal; query: UsageFilterQuery; format: ExportFormat },
): Promise<Response> {
  const filter = toQuery(query);
  const first = await usage.page(principal, filter);
  const pages = async function* () {
    for (let page = first; ; ) {
      yield page.items
        .map(toWireUsage)
        .flatMap((item): object[] => (format === "csv" ? toRows(item) : [item]));
      if (page.rest === null) return;
      page = await usage.page(principal, filter, page.rest);
    }
  };
  return download(pages(), { format, name: "usage", columns: usageColumns });
}
