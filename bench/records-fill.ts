import type { Sql } from "../src/database/pool.ts";
import { ensurePartitionMany, indexPartition, indexTexts } from "../src/sql/partition.ts";
import { insertRequestContentMany } from "../src/sql/request.ts";

/** How much there shall be. */
export interface Amount {
  rows: number;
  contents: number;
  days: number;
  /** The last day, as `2026-11-24`. */
  today: string;
}

/** Days of which there is content. */
const contentDays = 7;
/** How many apps there are, and how many keys each has. */
export const apps = 20;
const keysPerApp = 5;
/** How many end users an app has. */
export const usersPerApp = 500;
export const models = 8;

/** The id of an app, and of the account that it belongs to. */
export const appId = (number: number) => `a0000000-0000-7000-8000-${String(number).padStart(12, "0")}`;
export const keyId = (number: number) => `b0000000-0000-7000-8000-${String(number).padStart(12, "0")}`;
export const pick = (count: number) => Math.floor(Math.random() * count);

/** The day so many days before another. */
export const dayBefore = (today: string, back: number): string =>
  new Date(Date.parse(today) - back * 86_400_000).toISOString().slice(0, 10);

/**
 * A day's calls: apps, keys, models and users of very different share (square of a random number), four calls in five with a user
 * and one in five with a session, log-normal times and tokens, 2 % failed, 1 % cancelled, one in ten thousand interrupted, 0.5 %
 * without a price, each with one attempt.
 */
async function insertDay(sql: Sql, day: string, rows: number): Promise<void> {
  await sql`
    insert into request
    select overlay(gen_random_uuid()::text placing left(uuid_at(moment)::text, 13) || '-7' from 1 for 15)::uuid, moment,
      app, 1, key, app,
      case when random() < 0.8 then 'user-' || number / ${keysPerApp}::int || '-' || floor(${usersPerApp}::int * random() ^ 2)::int end,
      case when random() < 0.2 then 'session-' || ${day}::text || '-' || n / 20 end,
      'chat', 'app', 'model-' || model, 'provider-' || model / 2,
      case when chance < 0.02 then 'error' when chance < 0.03 then 'cancelled' when chance < 0.0301 then 'interrupted' else 'ok' end,
      case when chance < 0.02 then 502 when chance < 0.03 then 499 else 200 end,
      case when chance < 0.02 then 'timeout_idle' end, case when chance >= 0.02 then 'stop' end, n % 2 = 0, false,
      ttft, least(ttft + took, 600000), prompt, prompt / 5, 0, completion, 0, 'provider',
      case when priced then cost end, case when priced then currency end, '192.0.2.0/24',
      jsonb_build_array(jsonb_build_object(
        'provider', 'provider-' || model / 2, 'model', 'vendor/model-' || model, 'started_ms', 3, 'status', 'ok',
        'status_code', 200, 'error_code', null, 'finish_reason', 'stop', 'ttft_ms', ttft, 'duration_ms', took,
        'prompt_tokens', prompt, 'cached_tokens', prompt / 5, 'cache_write_tokens', 0, 'completion_tokens', completion,
        'reasoning_tokens', 0, 'usage_source', 'provider', 'cost', cost::text, 'currency', currency))
    from (
      select *, (prompt * 4 + completion * 16)::numeric * (model + 1) / 1000000 as cost, chance < 0.995 as priced,
        case when model >= 6 then 'USD' else 'CNY' end as currency
      from (
        select n, number,
          ${day}::date::timestamp at time zone 'UTC' + n * (interval '86399 seconds' / ${rows}::int) as moment,
          ('a0000000-0000-7000-8000-' || lpad((number / ${keysPerApp}::int)::text, 12, '0'))::uuid as app,
          ('b0000000-0000-7000-8000-' || lpad(number::text, 12, '0'))::uuid as key,
          floor(${models}::int * random() ^ 2)::int as model, random() as chance, exp(random_normal(6.0, 0.6))::int as ttft,
          exp(random_normal(7.5, 0.9))::int as took, least(exp(random_normal(6.2, 1)), 200000)::int as prompt,
          exp(random_normal(5.3, 0.8))::int as completion
        from (
          select n, floor(${apps * keysPerApp}::int * random() ^ 2)::int as number from generate_series(1, ${rows}::int) n
        ) as numbered
      ) as drawn
    ) as priced`;
}

/** Speaks sentences of a few thousand words in two scripts, the common ones more often. */
function createSpeaker(): (sentences: number) => string {
  const few = (count: number) => Math.floor(count * Math.random() ** 2);
  const syllable = () => `${"bcdfghjklmnprstvw"[pick(17)]}${"aeiou"[pick(5)]}`;
  const words = Array.from({ length: 3000 }, (_, n) =>
    Array.from({ length: 1 + (n % 4) }, syllable).join(""),
  );
  const signs = Array.from({ length: 800 }, () => String.fromCharCode(0x4e00 + pick(8000)));
  const sentence = () =>
    Math.random() < 0.75
      ? `${Array.from({ length: 12 }, () => words[few(words.length)]).join(" ")}.`
      : `${Array.from({ length: 25 }, () => signs[few(signs.length)]).join("")}。`;
  const all = Array.from({ length: 20_000 }, sentence);
  return (sentences) => Array.from({ length: sentences }, () => all[pick(all.length)]).join(" ");
}

/** Content of some 900 characters for a share of a day's calls; one in ten thousand has the rare words, a third the common ones. */
async function insertContent(
  sql: Sql,
  day: string,
  { share, say }: { share: number; say: (sentences: number) => string },
): Promise<void> {
  const calls = await sql<{ id: string; app_id: string }[]>`
    select id, app_id from request
    where id >= uuid_at(${day}::date::timestamp at time zone 'UTC')
      and id < uuid_at((${day}::date + 1)::timestamp at time zone 'UTC') and random() < ${share}::float8`;
  const rows = calls.map(({ id, app_id }, n) => () => {
    const asked = say(3) + (n % 10_007 === 1 ? " rhinoceros 独角兽" : "");
    const answered = say(9) + (n % 3 === 0 ? " Please mind the warranty. 保修" : "");
    return {
      id,
      app_id,
      question: { model: "app", messages: [{ role: "user", content: asked }] },
      answer: {
        choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", content: answered } }],
      },
    };
  });
  for (let at = 0; at < rows.length; at += 1000) {
    const batch = rows.slice(at, at + 1000).map((row) => row());
    await insertRequestContentMany(sql, JSON.stringify(batch));
  }
}

/** A day's sums by the hour, as the flush makes them. */
async function insertHours(sql: Sql, day: string): Promise<void> {
  const one = (ms: ReturnType<Sql>) => sql`
    ('1e' || 12 * case when ${ms} < 1 then 0 else 1 + floor(ln(least(${ms}, 3600000)) / ln(1.04) + 1e-9)::int end)::numeric`;
  for (const [cut, place, rows] of [
    ["service", sql`key_id, coalesce(model_used, model), coalesce(provider, ''), ''`, sql`true`],
    ["user", sql`'00000000-0000-0000-0000-000000000000'::uuid, '', '', end_user`, sql`end_user is not null`],
  ] as const) {
    await sql`
      insert into usage
      select 'hour', date_trunc('hour', created_at, 'UTC'), ${cut}, app_id, ${place}, coalesce(currency, ''), count(*),
        count(*) filter (where status in ('error', 'interrupted')), 0, 0, count(*) filter (where cost is null),
        sum(prompt_tokens), sum(cached_tokens), 0, sum(completion_tokens), 0, coalesce(sum(cost), 0),
        histogram_sum(${one(sql`ttft_ms`)}), histogram_sum(${one(sql`duration_ms`)})
      from request
      where id >= uuid_at(${day}::date::timestamp at time zone 'UTC')
        and id < uuid_at((${day}::date + 1)::timestamp at time zone 'UTC') and ${rows}
      group by 2, 4, 5, 6, 7, 8, 9`;
  }
}

/** The hours' sums by a coarser grain. */
async function insertCoarser(sql: Sql, from: string, to: string): Promise<void> {
  await sql`
    insert into usage
    select ${to}::text, date_trunc(${to}::text, starts_at, 'UTC'), cut, app_id, key_id, model, provider, end_user, currency,
      sum(calls), sum(errors), sum(cache_hits), sum(estimated_calls), sum(unpriced_calls), sum(prompt_tokens),
      sum(cached_tokens), sum(cache_write_tokens), sum(completion_tokens), sum(reasoning_tokens), sum(cost),
      histogram_sum(ttft), histogram_sum(duration)
    from usage where grain = ${from} group by 2, 3, 4, 5, 6, 7, 8, 9`;
}

/** The days' sums of apps, whichever of their keys was used. */
async function insertApps(sql: Sql): Promise<void> {
  await sql`
    insert into usage
    select grain, starts_at, 'app', app_id, '00000000-0000-0000-0000-000000000000', model, provider, '', currency,
      sum(calls), sum(errors), sum(cache_hits), sum(estimated_calls), sum(unpriced_calls), sum(prompt_tokens),
      sum(cached_tokens), sum(cache_write_tokens), sum(completion_tokens), sum(reasoning_tokens), sum(cost),
      histogram_sum(ttft), histogram_sum(duration)
    from usage where grain = 'day' and cut = 'service' group by grain, starts_at, app_id, model, provider, currency`;
}

/**
 * Fills the tables: days of calls, of the last seven of them content, and the sums. What is over gets its indexes as upkeep
 * gives them; the last day is as full as the others, and about to be over.
 */
export async function fill(
  sql: Sql,
  { rows, contents, days, today }: Amount,
  progress: (text: string) => void,
): Promise<void> {
  await sql`truncate request, request_content, usage`;
  await sql`delete from app`;
  await sql`set synchronous_commit = off`;
  await sql`set work_mem = '128MB'`;
  for (let number = 0; number < apps; number++) {
    await sql`
      insert into app (id, account_id, name, created_at, updated_at)
      values (${appId(number)}, ${appId(number)}, ${`app ${number}`}, now(), now())`;
  }
  const say = createSpeaker();
  const perDay = Math.ceil(rows / days);
  const share = contents / Math.min(contentDays, days) / perDay;
  for (let back = days - 1; back >= 0; back--) {
    const day = dayBefore(today, back);
    await ensurePartitionMany(sql, [day]);
    await insertDay(sql, day, perDay);
    if (back < contentDays) await insertContent(sql, day, { share, say });
    await insertHours(sql, day);
    if (back > 0) await indexPartition(sql, day);
    progress(`${days - back} of ${days} days`);
  }
  // But for the last part of the last day.
  while (await indexTexts(sql, new Date(Date.parse(today) + 86_400_000 - 1))) progress("texts");
  // All or none: whoever finds sums by the day finds everything.
  await sql`begin`;
  await insertCoarser(sql, "hour", "day");
  await insertCoarser(sql, "day", "month");
  await insertApps(sql);
  await sql`commit`;
  // What autovacuum does within minutes; not the partitioned tables themselves, which it leaves alone.
  progress("vacuum");
  const tables = await sql<{ name: string }[]>`
    select relname as name from pg_class where relkind = 'r' and relname ~ '^(usage$|request_)'`;
  for (const { name } of tables) await sql`vacuum (analyze) ${sql(name)}`;
}
