import { nilUuid, type Uuid } from "../id.ts";
import type { Db } from "./db.ts";
import { usageCounts } from "./usage-rollup.ts";

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

/** Sums of one period and group, in as few texts as there can be: there may be thousands of rows. */
export interface UsageSums {
  key: UsageKey;
  /** The sums of {@link usageCounts}, in that order. */
  counts: string;
  /** What each row cost: currency, a space, exact decimal, and a space before the next; `null` without any. */
  costs: string | null;
  /** Histograms of the times to the first piece and of whole calls, as `numeric_send` writes numbers; then pairs of packed ones. */
  times: Uint8Array;
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
export const placeOf = ({ key }: UsageSums, groups: readonly UsageGroup[]): string[] =>
  groups.map((group) => String(key[groupColumn[group].name]));

/** Fragments one after the other. */
const joined = (db: Db, parts: readonly ReturnType<Db>[]): ReturnType<Db> =>
  parts.reduce((all, part) => db`${all}${part}`, db``);

/**
 * Lists sums by period and groups, oldest first, with what they cost. Uses the primary key, which begins with the grain and the
 * time. By the day the service is read without its keys, where they are not asked for.
 */
export async function listUsage(db: Db, it: UsageFilter): Promise<UsageSums[]> {
  const when = (given: unknown, condition: () => ReturnType<Db>) =>
    given === undefined ? db`` : condition();
  const byUser = it.groups.includes("user") || it.user !== undefined;
  const byAccount = it.groups.includes("account") || it.accountId !== undefined;
  const byKey = it.groups.includes("key") || it.keyId !== undefined;
  const each = (part: (group: UsageGroup, place: number) => ReturnType<Db>) =>
    joined(db, it.groups.map(part));
  // Columns are grouped and sorted by their places: the period is the first.
  const places = joined(
    db,
    [db`, 2`, db`, 3`, db`, 4`].slice(0, it.groups.length) as unknown as ReturnType<Db>[],
  );
  const commas = (parts: readonly ReturnType<Db>[]) =>
    joined(
      db,
      parts.map((part, place) => (place === 0 ? part : db`, ${part}`)),
    );
  const columns = commas(it.groups.map((group) => groupColumn[group].column(db)));
  // Few groups are summed by currency first, with "sum", which is the faster one, but takes kilobytes for each group. Where there
  // may be thousands of them, one step costs less than two.
  const many = byUser || it.groups.length > 1;
  const values = db`${commas(
    [...usageCounts, "cost", "ttft", "duration"].map((name) =>
      many ? db`u.${db(name)}` : db`sum(u.${db(name)}) as ${db(name)}`,
    ),
  )}, ${many ? db`u.times` : db`string_agg(u.times, '') as times`}`;
  const rows = (grain: "hour" | "day" | "month", { from, to }: { from: Date; to: Date }) => db`(
    u.grain = ${grain} and u.starts_at >= ${from} and u.starts_at < ${to}
    and u.cut = ${byUser ? "user" : grain === "day" && !byKey ? "app" : "service"})`;
  // Most of what is packed has nothing beside it, which is left out faster than it is added up.
  const sent = (column: ReturnType<Db>) =>
    db`numeric_send(coalesce(histogram_sum(${column}) filter (where ${column} <> 0), 0))`;
  const month = db`case u.grain when 'month' then u.starts_at else date_trunc('month', u.starts_at, 'UTC') end`;
  const sums: ReturnType<Db> = db`
    select period ${each((group) => db`, ${db(groupColumn[group].name)}`)},
      concat_ws(' ', ${commas(usageCounts.map((name) => db`sum(${db(name)})`))}) as counts,
      string_agg(currency || ' ' || trim_scale(cost), ' ') filter (where currency <> '') as costs,
      ${sent(db`ttft`)} || ${sent(db`duration`)} || coalesce(string_agg(times, ''), '') as times
    from (
      select ${it.by === "month" ? month : db`u.starts_at`} as period
        ${each((group) => db`, ${groupColumn[group].column(db)} as ${db(groupColumn[group].name)}`)}, u.currency, ${values}
      from usage u ${byAccount ? db`left join app on app.id = u.app_id` : db``}
      where ${
        it.by === "month"
          ? db`(${rows("month", it.months)}
              or ${rows("day", { from: it.from, to: it.months.from })}
              or ${rows("day", { from: it.months.to, to: it.to })})`
          : rows(it.by, it)
      }
        ${when(it.visible, () => db`and u.app_id = any(${it.visible as Uuid[]})`)}
        ${when(it.appId, () => db`and u.app_id = ${it.appId as Uuid}`)}
        ${when(it.keyId, () => db`and u.key_id = ${it.keyId as Uuid}`)}
        ${when(it.model, () => db`and u.model = ${it.model as string}`)}
        ${when(it.provider, () => db`and u.provider = ${it.provider as string}`)}
        ${when(it.user, () => db`and u.end_user = ${it.user as string}`)}
        ${when(it.accountId, () => db`and app.account_id = ${it.accountId as Uuid}`)}
        ${when(it.after, () => db`and (${columns}) > (${commas((it.after ?? []).map((value) => db`${value}`))})`)}
        ${many ? db`` : db`group by 1 ${places}, u.currency`}
    ) as part
    group by 1 ${places} order by 1 ${places} limit ${it.limit}`;
  return readSums(db, it.groups, sums);
}

/**
 * Reads sums as one row, in which all histograms stand one after the other as they are: a row for each costs the driver more than
 * the database, and so does a text of what is no text. Only a binary cursor hands bytes out as bytes.
 */
async function readSums(db: Db, groups: readonly UsageGroup[], sums: ReturnType<Db>): Promise<UsageSums[]> {
  const names = groups.map((group) => groupColumn[group].name);
  const columns = joined(
    db,
    names.map((name) => db`, ${db(name)}::text`),
  );
  await db`
    declare sums no scroll binary cursor for
    select json_agg(array[length(times)::text, counts, costs, period::text ${columns}])::text, string_agg(times, '')
    from (${sums}) as sums`;
  const [row] = await db`fetch all from sums`.simple().raw();
  const [places, times] = row as unknown as [Buffer | null, Buffer];
  if (places === null) return [];
  let at = 0;
  return (JSON.parse(places.toString()) as PackedSums[]).map(([length, counts, costs, period, ...values]) => {
    at += Number(length);
    const key: Record<string, unknown> = { period: new Date(period) };
    for (const [place, name] of names.entries()) key[name] = values[place];
    return { key: key as unknown as UsageKey, counts, costs, times: times.subarray(at - Number(length), at) };
  });
}

/** How long its histograms are, counts, costs, period, and the values of the groups. */
type PackedSums = [length: string, counts: string, costs: string | null, period: string, ...string[]];
