import type { Uuid } from "../id.ts";
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
  appId?: Uuid;
  keyId?: Uuid;
  model?: string;
  provider?: string;
  user?: string;
  accountId?: Uuid;
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
  account_id?: Uuid | null;
}

/** Sums in one currency; numbers that may be large come as text. */
export interface UsageSums extends UsageKey {
  currency: string;
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
  cost: string;
}

/** How many calls took a time that falls into a bucket. */
export interface UsageBucket extends UsageKey {
  metric: "ttft" | "duration";
  bucket: number;
  calls: string;
}

/** What is selected, and grouped by, for each group. */
const groupColumn: Readonly<Record<UsageGroup, (db: Db) => ReturnType<Db>>> = {
  app: (db) => db`, u.app_id`,
  key: (db) => db`, u.key_id`,
  model: (db) => db`, u.model`,
  provider: (db) => db`, u.provider`,
  user: (db) => db`, u.end_user as user`,
  account: (db) => db`, app.account_id`,
};

const joined = (db: Db, parts: readonly ReturnType<Db>[]): ReturnType<Db> =>
  parts.reduce((all, part) => db`${all}${part}`, db``);

/** What both tables are asked in the same way: the columns that tell sums apart, and the rows. */
function parts(db: Db, it: UsageFilter) {
  const when = (given: unknown, condition: () => ReturnType<Db>) =>
    given === undefined ? db`` : condition();
  const byUser = it.groups.includes("user") || it.user !== undefined;
  const byAccount = it.groups.includes("account") || it.accountId !== undefined;
  return {
    period: db`date_trunc(${it.by}, u.starts_at, 'UTC') as period`,
    columns: joined(
      db,
      it.groups.map((group) => groupColumn[group](db)),
    ),
    // The columns are grouped by their places: the period is the first.
    places: joined(db, [db`, 2`, db`, 3`, db`, 4`].slice(0, it.groups.length) as unknown as ReturnType<Db>[]),
    join: byAccount ? db`left join app on app.id = u.app_id` : db``,
    rows: db`
      where u.grain = ${it.by === "hour" ? "hour" : "day"} and u.cut = ${byUser ? "user" : "service"}
        and u.starts_at >= ${it.from} and u.starts_at < ${it.to}
        ${when(it.visible, () => db`and u.app_id = any(${it.visible as Uuid[]})`)}
        ${when(it.appId, () => db`and u.app_id = ${it.appId as Uuid}`)}
        ${when(it.keyId, () => db`and u.key_id = ${it.keyId as Uuid}`)}
        ${when(it.model, () => db`and u.model = ${it.model as string}`)}
        ${when(it.provider, () => db`and u.provider = ${it.provider as string}`)}
        ${when(it.user, () => db`and u.end_user = ${it.user as string}`)}
        ${when(it.accountId, () => db`and app.account_id = ${it.accountId as Uuid}`)}`,
  };
}

/** Lists sums by period, groups and currency, oldest first. Uses the primary key, which begins with the grain and the time. */
export async function listUsage(db: Db, it: UsageFilter): Promise<UsageSums[]> {
  const { period, columns, places, join, rows } = parts(db, it);
  return db<UsageSums[]>`
    select ${period} ${columns}, currency, sum(calls)::text as calls, sum(errors)::text as errors,
      sum(cache_hits)::text as cache_hits, sum(estimated_calls)::text as estimated_calls,
      sum(unpriced_calls)::text as unpriced_calls, sum(prompt_tokens)::text as prompt_tokens,
      sum(cached_tokens)::text as cached_tokens, sum(cache_write_tokens)::text as cache_write_tokens,
      sum(completion_tokens)::text as completion_tokens, sum(reasoning_tokens)::text as reasoning_tokens,
      trim_scale(sum(cost))::text as cost
    from usage u ${join} ${rows}
    group by 1 ${places}, currency order by 1 ${places}, currency limit ${it.limit}`;
}

/** Lists the histograms of the same periods and groups. */
export async function listUsageLatency(db: Db, it: UsageFilter): Promise<UsageBucket[]> {
  const { period, columns, places, join, rows } = parts(db, it);
  return db<UsageBucket[]>`
    select ${period} ${columns}, metric, bucket, sum(calls)::text as calls
    from usage_latency u ${join} ${rows}
    group by 1 ${places}, metric, bucket`;
}
