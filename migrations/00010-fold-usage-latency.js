/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  // A histogram is one number: each call adds ten to the power of 12 times its bucket, so that every bucket has twelve digits
  // for itself, and PostgreSQL adds whole histograms up as fast as numbers. With a row for each bucket, a month was millions
  // of them. Rows stay as they are up to a page, since reading a thousand compressed ones takes longer than their bytes.
  await sql`
    alter table usage
      add column ttft numeric not null default 0,
      add column duration numeric not null default 0,
      drop constraint usage_grain_check,
      add constraint usage_grain_check check (grain in ('hour', 'day', 'month')),
      set (toast_tuple_target = 8160)`;
  // As "sum" does, whose state takes kilobytes for each group.
  await sql`
    create aggregate histogram_sum(numeric) (
      sfunc = numeric_add, stype = numeric, combinefunc = numeric_add, parallel = safe
    )`;
  // The times of a place do not know the currency: they go to the row with the most calls.
  await sql`
    update usage set ttft = histogram.ttft, duration = histogram.duration
    from (
      select distinct on (grain, starts_at, cut, app_id, key_id, model, provider, end_user) *
      from usage order by grain, starts_at, cut, app_id, key_id, model, provider, end_user, calls desc
    ) as fullest
    join (
      select grain, starts_at, cut, app_id, key_id, model, provider, end_user,
        coalesce(histogram_sum((calls || 'e' || 12 * bucket)::numeric) filter (where metric = 'ttft'), 0) as ttft,
        coalesce(histogram_sum((calls || 'e' || 12 * bucket)::numeric) filter (where metric = 'duration'), 0) as duration
      from usage_latency group by grain, starts_at, cut, app_id, key_id, model, provider, end_user
    ) as histogram using (grain, starts_at, cut, app_id, key_id, model, provider, end_user)
    where (usage.grain, usage.starts_at, usage.cut, usage.app_id, usage.key_id, usage.model, usage.provider, usage.end_user,
        usage.currency)
      = (fullest.grain, fullest.starts_at, fullest.cut, fullest.app_id, fullest.key_id, fullest.model, fullest.provider,
        fullest.end_user, fullest.currency)`;
  await sql`drop table usage_latency`;
  // Sums by the month as well: a thirtieth of the rows for those who ask by the month.
  await sql`
    insert into usage
    select 'month', date_trunc('month', starts_at, 'UTC'), cut, app_id, key_id, model, provider, end_user, currency,
      sum(calls), sum(errors), sum(cache_hits), sum(estimated_calls), sum(unpriced_calls), sum(prompt_tokens),
      sum(cached_tokens), sum(cache_write_tokens), sum(completion_tokens), sum(reasoning_tokens), sum(cost),
      histogram_sum(ttft), histogram_sum(duration)
    from usage where grain = 'day' group by 2, 3, 4, 5, 6, 7, 8, 9`;
}

/** @param {import("postgres").TransactionSql} sql */
export async function down(sql) {
  await sql`
    create table usage_latency (
      grain text not null check (grain in ('hour', 'day')),
      starts_at timestamptz not null,
      cut text not null check (cut in ('service', 'user')),
      app_id uuid not null,
      key_id uuid not null,
      model text not null,
      provider text not null,
      end_user text not null,
      metric text not null check (metric in ('ttft', 'duration')),
      bucket smallint not null,
      calls bigint not null,
      primary key (grain, starts_at, cut, app_id, key_id, model, provider, end_user, metric, bucket)
    ) with (fillfactor = 70)`;
  await sql`delete from usage where grain = 'month'`;
  await sql`
    insert into usage_latency
    select grain, starts_at, cut, app_id, key_id, model, provider, end_user, metric, bucket, calls
    from (
      select grain, starts_at, cut, app_id, key_id, model, provider, end_user,
        histogram_sum(ttft) as ttft, histogram_sum(duration) as duration
      from usage group by 1, 2, 3, 4, 5, 6, 7, 8
    ) as place,
      lateral (values ('ttft', ttft), ('duration', duration)) as timed (metric, histogram),
      lateral generate_series(0, (length(histogram::text) - 1) / 12) as bucket,
      lateral (select mod(div(histogram, ('1e' || 12 * bucket)::numeric), 1e12)::bigint as calls) as counted
    where calls > 0`;
  await sql`drop aggregate histogram_sum(numeric)`;
  await sql`
    alter table usage
      drop column ttft,
      drop column duration,
      drop constraint usage_grain_check,
      add constraint usage_grain_check check (grain in ('hour', 'day')),
      reset (toast_tuple_target)`;
}
