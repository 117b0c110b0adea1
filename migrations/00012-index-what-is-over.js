/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  // A day of content is cut into parts of two hours: without its index of trigrams a text is searched for at some 20 microseconds
  // a call, and that index costs a millisecond for each call that is written to it, but a fifth of that for all at once. Calls are
  // looked for by user, session and failure while they are new: these indexes are there from the start, the others later.
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
  // As before, and what is looked for by the name that was asked for, by provider, route, times and cost; then the statistics
  // by which the indexes are chosen, since what is over does not change enough to be looked at again by itself.
  await sql`drop function index_partition(date, boolean)`;
  await sql`
    create function index_partition(day date) returns void language plpgsql as $$
    declare
      calls text := 'request' || to_char(day, '_YYYYMMDD');
    begin
      if to_regclass(calls) is null or to_regclass(calls || '_duration') is not null then return; end if;
      execute format('create index if not exists %I on %I (key_id, id desc)', calls || '_key', calls);
      execute format('create index if not exists %I on %I (model_used, id desc)', calls || '_model', calls);
      execute format(
        'create index if not exists %I on %I (end_user, id desc) where end_user is not null', calls || '_user', calls);
      execute format(
        'create index if not exists %I on %I (session, id desc) where session is not null', calls || '_session', calls);
      execute format(
        'create index if not exists %I on %I (status, id desc) where status <> %L', calls || '_status', calls, 'ok');
      execute format('create index %I on %I (model, id desc)', calls || '_asked', calls);
      execute format('create index %I on %I (provider, id desc)', calls || '_provider', calls);
      execute format('create index %I on %I (api, id desc) where api <> %L', calls || '_api', calls, 'chat');
      execute format('create index %I on %I (cost)', calls || '_cost', calls);
      execute format('create index %I on %I (ttft_ms)', calls || '_ttft', calls);
      execute format('create index %I on %I (duration_ms)', calls || '_duration', calls);
      execute format('analyze %I', calls);
    end $$`;
  // Indexes the texts of the newest part that is over and has no index yet; says whether there was one. One process at a time.
  await sql`
    create function index_texts(moment timestamptz) returns boolean language plpgsql as $$
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

/** @param {import("postgres").TransactionSql} sql */
export async function down(sql) {
  // Days that are cut into parts stay so: the functions before know no difference but for the index of texts.
  await sql`
    do $$
    declare
      name regclass;
    begin
      for name in
        select indexrelid::regclass from pg_index join pg_class c on c.oid = indexrelid
        where relnamespace = 'public'::regnamespace
          and relname ~ '^request_[0-9]{8}_(asked|provider|api|cost|ttft|duration)$'
      loop
        execute format('drop index %s', name);
      end loop;
    end $$`;
  await sql`drop function index_texts(timestamptz)`;
  await sql`drop function index_partition(date)`;
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
  await sql`
    create or replace function ensure_partition(parent text, day date) returns boolean language plpgsql as $$
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
}
