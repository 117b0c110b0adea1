/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  // One row per call, written once, in partitions of a day. The id is a UUIDv7: it begins with the time, so that ranges
  // of ids are days, and a row that is written twice, whenever that is, meets itself in the same partition.
  await sql`
    create table request (
      id uuid primary key,
      created_at timestamptz not null,
      app_id uuid not null,
      app_version integer not null,
      key_id uuid,
      account_id uuid,
      end_user text,
      session text,
      api text not null,
      model text not null,
      model_used text,
      provider text,
      status text not null check (status in ('ok', 'error', 'cancelled', 'interrupted')),
      status_code smallint not null,
      error_code text,
      finish_reason text,
      stream boolean not null,
      cache_hit boolean not null default false,
      ttft_ms integer,
      duration_ms integer not null,
      prompt_tokens integer not null default 0,
      cached_tokens integer not null default 0,
      cache_write_tokens integer not null default 0,
      completion_tokens integer not null default 0,
      reasoning_tokens integer not null default 0,
      usage_source text not null check (usage_source in ('provider', 'estimate', 'none')),
      cost numeric(38, 18),
      currency text,
      ip_prefix text not null,
      attempts jsonb not null default '[]'
    ) partition by range (id)`;
  await sql`create index request_app_id on request (app_id, id desc)`;
  await sql`create table request_default partition of request default`;

  // What was asked and answered, as JSON texts; kept for a shorter time than the row above.
  await sql`
    create table request_content (
      id uuid primary key,
      app_id uuid not null,
      question text,
      answer text,
      truncated boolean not null default false
    ) partition by range (id)`;
  await sql`create table request_content_default partition of request_content default`;

  // The first UUIDv7 of a moment.
  await sql`
    create function uuid_at(moment timestamptz) returns uuid language sql immutable strict parallel safe as $$
      select (lpad(to_hex((extract(epoch from moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
    $$`;
  // A text as a pattern for "like" that means itself.
  await sql`
    create function like_literal(value text) returns text language sql immutable strict parallel safe as $$
      select replace(replace(replace(value, e'\\\\', e'\\\\\\\\'), '%', e'\\\\%'), '_', e'\\\\_')
    $$`;
  // Makes the partition of a day, and takes into it what has come for that day already. Says whether there was anything to do.
  await sql`
    create function ensure_partition(parent text, day date) returns boolean language plpgsql as $$
    declare
      name text := parent || to_char(day, '_YYYYMMDD');
      lower uuid := uuid_at(day::timestamp at time zone 'UTC');
      upper uuid := uuid_at((day + 1)::timestamp at time zone 'UTC');
    begin
      if to_regclass(name) is not null then return false; end if;
      execute format('create table %I (like %I including defaults including constraints including indexes)', name, parent);
      execute format(
        'with moved as (delete from %I where id >= %L and id < %L returning *) insert into %I select * from moved',
        parent || '_default', lower, upper, name);
      execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, name, lower, upper);
      return true;
    end $$`;
  // Drops the partitions of the days before one; returns how many.
  await sql`
    create function drop_partitions(parent text, before date) returns integer language plpgsql as $$
    declare
      name text;
      dropped integer := 0;
    begin
      for name in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = parent::regclass and c.relname ~ '_[0-9]{8}$'
          and to_date(right(c.relname, 8), 'YYYYMMDD') < before
      loop
        execute format('drop table %I', name);
        dropped := dropped + 1;
      end loop;
      execute format('delete from %I where id < %L', parent || '_default', uuid_at(before::timestamp at time zone 'UTC'));
      return dropped;
    end $$`;
  // Indexes for reading, which a day gets when it is over: until then writing is cheap, and one day is quickly read.
  await sql`
    create function index_partition(day date, texts boolean) returns void language plpgsql as $$
    declare
      calls text := 'request' || to_char(day, '_YYYYMMDD');
      content text := 'request_content' || to_char(day, '_YYYYMMDD');
    begin
      if to_regclass(calls) is not null and to_regclass(calls || '_key') is null then
        execute format('create index %I on %I (key_id, id desc)', calls || '_key', calls);
        execute format('create index %I on %I (model_used, id desc)', calls || '_model', calls);
        execute format('create index %I on %I (end_user, id desc) where end_user is not null', calls || '_user', calls);
        execute format('create index %I on %I (session, id desc) where session is not null', calls || '_session', calls);
        execute format('create index %I on %I (status, id desc) where status <> %L', calls || '_status', calls, 'ok');
      end if;
      if texts and to_regclass(content) is not null and to_regclass(content || '_text') is null then
        execute format(
          'create index %I on %I using gin ((coalesce(question, %L) || coalesce(answer, %L)) gin_trgm_ops)',
          content || '_text', content, '', '');
      end if;
    end $$`;

  // Sums by the hour and by the day (UTC), once for the service ('service': by app, key, model and provider) and once
  // for people ('user': by app and end user, the other names empty). An unpriced call has an empty currency.
  const dimensions = sql`
      grain text not null check (grain in ('hour', 'day')),
      starts_at timestamptz not null,
      cut text not null check (cut in ('service', 'user')),
      app_id uuid not null,
      key_id uuid not null,
      model text not null,
      provider text not null,
      end_user text not null`;
  await sql`
    create table usage (
      ${dimensions},
      currency text not null,
      calls bigint not null default 0,
      errors bigint not null default 0,
      cache_hits bigint not null default 0,
      estimated_calls bigint not null default 0,
      unpriced_calls bigint not null default 0,
      prompt_tokens bigint not null default 0,
      cached_tokens bigint not null default 0,
      cache_write_tokens bigint not null default 0,
      completion_tokens bigint not null default 0,
      reasoning_tokens bigint not null default 0,
      cost numeric(38, 18) not null default 0,
      primary key (grain, starts_at, cut, app_id, key_id, model, provider, end_user, currency)
    ) with (fillfactor = 70)`;
  // Histograms with logarithmic buckets: how many calls took a time that falls into the bucket.
  await sql`
    create table usage_latency (
      ${dimensions},
      metric text not null check (metric in ('ttft', 'duration')),
      bucket smallint not null,
      calls bigint not null,
      primary key (grain, starts_at, cut, app_id, key_id, model, provider, end_user, metric, bucket)
    ) with (fillfactor = 70)`;
}

/** @param {import("postgres").TransactionSql} sql */
export async function down(sql) {
  await sql`drop table request, request_content, usage, usage_latency`;
  await sql`drop function index_partition, drop_partitions, ensure_partition, like_literal, uuid_at`;
}
