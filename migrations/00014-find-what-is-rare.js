/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  // What is very rare was looked for in all of today. An index that says of each 256 KiB which costs, times and names there are costs
  // the writers next to nothing: a stretch is summed up once it is full, by autovacuum. created_at is in it for the planner's sake,
  // who takes such an index for as good as the most orderly of the columns that are asked for.
  await sql`
    create function summarise_partition(name text) returns void language plpgsql as $$
    begin
      execute format(
        'create index if not exists %I on %I using brin (created_at, cost, ttft_ms, duration_ms,
          key_id uuid_bloom_ops (n_distinct_per_range = 128), model text_bloom_ops (n_distinct_per_range = 64),
          model_used text_bloom_ops (n_distinct_per_range = 64), provider text_bloom_ops (n_distinct_per_range = 32),
          api text_bloom_ops (n_distinct_per_range = 16)) with (pages_per_range = 32, autosummarize = on)',
        name || '_brief', name);
    end $$`;
  await sql`
    create or replace function ensure_partition(parent text, day date) returns boolean language plpgsql as $$
    declare
      name text := parent || to_char(day, '_YYYYMMDD');
      lower uuid := uuid_at(day::timestamp at time zone 'UTC');
      upper uuid := uuid_at((day + 1)::timestamp at time zone 'UTC');
      parts boolean := parent = 'request_content';
      part timestamp;
    begin
      if to_regclass(name) is not null then return false; end if;
      execute format(
        'create table %I (like %I including defaults including constraints including indexes) %s',
        name, parent, case when parts then 'partition by range (id)' end);
      if parent = 'request' then
        execute format('create index %I on %I (end_user, id desc) where end_user is not null', name || '_user', name);
        execute format('create index %I on %I (session, id desc) where session is not null', name || '_session', name);
        execute format('create index %I on %I (status, id desc) where status <> %L', name || '_status', name, 'ok');
        perform summarise_partition(name);
      end if;
      if parts then
        for part in select generate_series(day::timestamp, day + interval '22 hours', interval '2 hours') loop
          execute format(
            'create table %I partition of %I for values from (%L) to (%L)', parent || to_char(part, '_YYYYMMDD_HH24'), name,
            uuid_at(part at time zone 'UTC'), uuid_at((part + interval '2 hours') at time zone 'UTC'));
        end loop;
      end if;
      execute format(
        'with moved as (delete from %I where id >= %L and id < %L returning *) insert into %I select * from moved',
        parent || '_default', lower, upper, name);
      execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, name, lower, upper);
      return true;
    end $$`;
  // As before, but with a dozen texts in its statistics in place of a hundred: the planner compares the text that is looked for with
  // each of them, in each part, which took longer than everything else.
  await sql`
    create or replace function index_texts(moment timestamptz) returns boolean language plpgsql as $$
    declare
      name text;
    begin
      if not pg_try_advisory_xact_lock(hashtextextended('llmops texts', 0)) then return false; end if;
      select relname into name
      from pg_partition_tree('request_content') join pg_class on pg_class.oid = relid,
        lateral substring(relname from '_([0-9]{8}(_[0-9]{2})?)$') as start
      where isleaf and to_regclass(relname || '_text') is null
        and start <= case when length(start) > 8
          then to_char((moment - interval '2 hours') at time zone 'UTC', 'YYYYMMDD_HH24')
          else to_char((moment - interval '1 day') at time zone 'UTC', 'YYYYMMDD') end
      order by relname desc limit 1;
      if name is null then return false; end if;
      execute format(
        'create index %I on %I using gin ((coalesce(question, %L) || coalesce(answer, %L)) gin_trgm_ops)',
        name || '_text', name, '', '');
      execute format('alter index %I alter column 1 set statistics 12', name || '_text');
      execute format('alter table %I alter column question set statistics 12, alter column answer set statistics 12', name);
      execute format('analyze %I', name);
      return true;
    end $$`;
  // The days that are not over, or have no indexes for reading yet.
  await sql`
    do $$
    declare
      name text;
    begin
      for name in
        select relname from pg_inherits join pg_class c on c.oid = inhrelid
        where inhparent = 'request'::regclass and relname ~ '^request_[0-9]{8}$' and to_regclass(relname || '_duration') is null
      loop
        perform summarise_partition(name);
      end loop;
    end $$`;
}

/** @param {import("postgres").TransactionSql} sql */
export async function down(sql) {
  await sql`
    do $$
    declare
      name regclass;
    begin
      for name in
        select indexrelid::regclass from pg_index join pg_class c on c.oid = indexrelid
        where relnamespace = 'public'::regnamespace and relname ~ '^request_[0-9]{8}_brief$'
      loop
        execute format('drop index %s', name);
      end loop;
    end $$`;
  await sql`
    create or replace function ensure_partition(parent text, day date) returns boolean language plpgsql as $$
    declare
      name text := parent || to_char(day, '_YYYYMMDD');
      lower uuid := uuid_at(day::timestamp at time zone 'UTC');
      upper uuid := uuid_at((day + 1)::timestamp at time zone 'UTC');
      parts boolean := parent = 'request_content';
      part timestamp;
    begin
      if to_regclass(name) is not null then return false; end if;
      execute format(
        'create table %I (like %I including defaults including constraints including indexes) %s',
        name, parent, case when parts then 'partition by range (id)' end);
      if parent = 'request' then
        execute format('create index %I on %I (end_user, id desc) where end_user is not null', name || '_user', name);
        execute format('create index %I on %I (session, id desc) where session is not null', name || '_session', name);
        execute format('create index %I on %I (status, id desc) where status <> %L', name || '_status', name, 'ok');
      end if;
      if parts then
        for part in select generate_series(day::timestamp, day + interval '22 hours', interval '2 hours') loop
          execute format(
            'create table %I partition of %I for values from (%L) to (%L)', parent || to_char(part, '_YYYYMMDD_HH24'), name,
            uuid_at(part at time zone 'UTC'), uuid_at((part + interval '2 hours') at time zone 'UTC'));
        end loop;
      end if;
      execute format(
        'with moved as (delete from %I where id >= %L and id < %L returning *) insert into %I select * from moved',
        parent || '_default', lower, upper, name);
      execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, name, lower, upper);
      return true;
    end $$`;
  await sql`drop function summarise_partition(text)`;
  await sql`
    create or replace function index_texts(moment timestamptz) returns boolean language plpgsql as $$
    declare
      name text;
    begin
      if not pg_try_advisory_xact_lock(hashtextextended('llmops texts', 0)) then return false; end if;
      select relname into name
      from pg_partition_tree('request_content') join pg_class on pg_class.oid = relid,
        lateral substring(relname from '_([0-9]{8}(_[0-9]{2})?)$') as start
      where isleaf and to_regclass(relname || '_text') is null
        and start <= case when length(start) > 8
          then to_char((moment - interval '2 hours') at time zone 'UTC', 'YYYYMMDD_HH24')
          else to_char((moment - interval '1 day') at time zone 'UTC', 'YYYYMMDD') end
      order by relname desc limit 1;
      if name is null then return false; end if;
      execute format(
        'create index %I on %I using gin ((coalesce(question, %L) || coalesce(answer, %L)) gin_trgm_ops)',
        name || '_text', name, '', '');
      execute format('analyze %I', name);
      return true;
    end $$`;
}
