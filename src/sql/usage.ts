import { nilUuid, type Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** By what sums can be told apart. */
export type UsageGroup = "app" | "key" | "model" | "provider" | "user" | "account";

/** Which sums: a stretch of time, cut into periods, told apart by groups. */
export interface UsageFilter {
  visible: readonly Uuid[] | undefined;
  by: "hour" | "day" | "month";
  groups: readonly UsageGroup[];
  from: Date;
  to: Date;
  /** The part of it that is whole months, and may be read from their sums. */
  months: { from: Date; to: Date };
  appId?: Uuid;
  keyId?: Uuid;
  model?: string;
  provider?: string;
  user?: string;
  accountId?: Uuid;
  /** The last of the page before: the values of the groups, in order. Pages are of one period. */
  after?: readonly string[];
  limit: number;
}

/** Who or what a sum is of; only the groups that were asked for are there. */
export interface UsageKey {
  period: Date;
  app_id?: Uuid;
  key_id?: Uuid;
  model?: string;
  provider?: string;
  user?: string;
  /** The nil UUID where nobody is known. */
  account_id?: Uuid;
}

/** Sums of one period and group; numbers that may be large come as text. */
export interface UsageSums extends UsageKey {
  calls: string;
  errors: string;
  cache_hits: string;
  estimated_calls: string;
  unpriced_calls: string;
  prompt_tokens: string;
  cached_tokens: string;
  cache_write_tokens: string;
  completion_tokens: string;
  reasoning_tokens: string;
  /** Exact decimals. */
  costs: { currency: string; cost: string }[];
  /** Histograms, as `numeric_send` writes numbers. */
  ttft: Uint8Array;
  duration: Uint8Array;
}

/** The column of each group, and its name in the answer. */
const groupColumn: Readonly<
  Record<UsageGroup, { name: keyof UsageKey; column: (db: Db) => ReturnType<Db> }>
> = {
  app: { name: "app_id", column: (db) => db`u.app_id` },
  key: { name: "key_id", column: (db) => db`u.key_id` },
  model: { name: "model", column: (db) => db`u.model` },
  provider: { name: "provider", column: (db) => db`u.provider` },
  user: { name: "user", column: (db) => db`u.end_user` },
  account: { name: "account_id", column: (db) => db`coalesce(app.account_id, ${nilUuid}::uuid)` },
};

/** The values of the groups of a row, by which it is found again. */
export const placeOf = (row: UsageKey, groups: readonly UsageGroup[]): string[] =>
  groups.map((group) => String(row[groupColumn[group].name]));

/** Fragments one after the other. */
const joined = (db: Db, parts: readonly ReturnType<Db>[]): ReturnType<Db> =>
  parts.reduce((all, part) => db`${all}${part}`, db``);

/**
 * Lists sums by period and groups, oldest first, with what they cost in each currency. Uses the primary key, which begins with
 * the grain and the time.
 */
export async function listUsage(db: Db, it: UsageFilter): Promise<UsageSums[]> {
  const when = (given: unknown, condition: () => ReturnType<Db>) =>
    given === undefined ? db`` : condition();
  const byUser = it.groups.includes("user") || it.user !== undefined;
  const byAccount = it.groups.includes("account") || it.accountId !== undefined;
  const each = (part: (group: UsageGroup, place: number) => ReturnType<Db>) =>
    joined(db, it.groups.map(part));
  const list = (part: (group: UsageGroup, place: number) => ReturnType<Db>) =>
    each((group, place) => (place === 0 ? part(group, place) : db`, ${part(group, place)}`));
  const names = each((group) => db`, ${db(groupColumn[group].name)}`);
  // Columns are grouped and sorted by their places: the period is the first.
  const places = joined(
    db,
    [db`, 2`, db`, 3`, db`, 4`].slice(0, it.groups.length) as unknown as ReturnType<Db>[],
  );
  // "sum" is the faster one, but takes kilobytes for each group: not where there may be thousands of them.
  const histograms =
    byUser || it.groups.length > 1
      ? db`histogram_sum(ttft) as ttft, histogram_sum(duration) as duration`
      : db`sum(ttft) as ttft, sum(duration) as duration`;
  return db<UsageSums[]>`
    select period ${names}, sum(calls)::text as calls, sum(errors)::text as errors, sum(cache_hits)::text as cache_hits,
      sum(estimated_calls)::text as estimated_calls, sum(unpriced_calls)::text as unpriced_calls,
      sum(prompt_tokens)::text as prompt_tokens, sum(cached_tokens)::text as cached_tokens,
      sum(cache_write_tokens)::text as cache_write_tokens, sum(completion_tokens)::text as completion_tokens,
      sum(reasoning_tokens)::text as reasoning_tokens,
      coalesce(
        json_agg(json_build_object('currency', currency, 'cost', trim_scale(cost)::text) order by currency)
          filter (where currency <> ''),
        '[]') as costs,
      numeric_send(histogram_sum(ttft)) as ttft, numeric_send(histogram_sum(duration)) as duration
    from (
      select date_trunc(${it.by}, u.starts_at, 'UTC') as period
        ${each((group) => db`, ${groupColumn[group].column(db)} as ${db(groupColumn[group].name)}`)}, currency,
        sum(calls) as calls, sum(errors) as errors, sum(cache_hits) as cache_hits, sum(estimated_calls) as estimated_calls,
        sum(unpriced_calls) as unpriced_calls, sum(prompt_tokens) as prompt_tokens, sum(cached_tokens) as cached_tokens,
        sum(cache_write_tokens) as cache_write_tokens, sum(completion_tokens) as completion_tokens,
        sum(reasoning_tokens) as reasoning_tokens, sum(cost) as cost, ${histograms}
      from usage u ${byAccount ? db`left join app on app.id = u.app_id` : db``}
      where ${
        it.by === "month"
          ? db`(
            u.grain = 'month' and u.starts_at >= ${it.months.from} and u.starts_at < ${it.months.to}
            or u.grain = 'day' and u.starts_at >= ${it.from} and u.starts_at < ${it.months.from}
            or u.grain = 'day' and u.starts_at >= ${it.months.to} and u.starts_at < ${it.to})`
          : db`u.grain = ${it.by} and u.starts_at >= ${it.from} and u.starts_at < ${it.to}`
      } and u.cut = ${byUser ? "user" : "service"}
        ${when(it.visible, () => db`and u.app_id = any(${it.visible as Uuid[]})`)}
        ${when(it.appId, () => db`and u.app_id = ${it.appId as Uuid}`)}
        ${when(it.keyId, () => db`and u.key_id = ${it.keyId as Uuid}`)}
        ${when(it.model, () => db`and u.model = ${it.model as string}`)}
        ${when(it.provider, () => db`and u.provider = ${it.provider as string}`)}
        ${when(it.user, () => db`and u.end_user = ${it.user as string}`)}
        ${when(it.accountId, () => db`and app.account_id = ${it.accountId as Uuid}`)}
      group by 1 ${places}, currency
    ) as by_currency
    ${when(it.after, () => db`where (${list((group) => db`${db(groupColumn[group].name)}`)}) > (${list((_, place) => db`${it.after?.[place] ?? ""}`)})`)}
    group by 1 ${places} order by 1 ${places} limit ${it.limit}`;
}
