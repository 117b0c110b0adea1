/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  // Trigrams cannot find a text of two signs, which are a word in Chinese. The pairs of signs of a text, in small letters as "ilike"
  // compares them, each as one number: what has the same number by chance is told apart by the text itself. The cost keeps it from
  // being asked before everything that is cheaper where there is no index of it.
  await sql`
    create function sign_pairs(value text) returns integer[] language sql immutable strict parallel safe cost 10000 as $$
      with signs as (select string_to_array(lower(value), null) as all)
      select array_agg(ascii(one) << 15 # ascii(next)) from signs, unnest(signs.all, signs.all[2:]) as pair (one, next)
      where next is not null
    $$`;
  // As before, and the pairs of signs after the trigrams. Nothing is to be learned about them: whoever looks for one finds few.
  await sql`
    create or replace function index_texts(moment timestamptz) returns boolean language plpgsql as $$
    declare
      name text;
    begin
      if not pg_try_advisory_xact_lock(hashtextextended('llmops texts', 0)) then return false; end if;
      select relname into name
      from pg_partition_tree('request_content') join pg_class on pg_class.oid = relid,
        lateral substring(relname from '_([0-9]{8}(_[0-9]{2})?)$') as start
      where isleaf and (to_regclass(relname || '_text') is null or to_regclass(relname || '_pairs') is null)
        and start <= case when length(start) > 8
          then to_char((moment - interval '2 hours') at time zone 'UTC', 'YYYYMMDD_HH24')
          else to_char((moment - interval '1 day') at time zone 'UTC', 'YYYYMMDD') end
      order by relname desc limit 1;
      if name is null then return false; end if;
      execute format(
        'create index if not exists %I on %I using gin ((coalesce(question, %L) || coalesce(answer, %L)) gin_trgm_ops)',
        name || '_text', name, '', '');
      execute format(
        'create index if not exists %I on %I using gin (sign_pairs(coalesce(question, %L) || coalesce(answer, %L)))',
        name || '_pairs', name, '', '');
      execute format('alter index %I alter column 1 set statistics 12', name || '_text');
      execute format('alter index %I alter column 1 set statistics 0', name || '_pairs');
      execute format('alter table %I alter column question set statistics 12, alter column answer set statistics 12', name);
      execute format('analyze %I', name);
      return true;
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
        where relnamespace = 'public'::regnamespace and relname ~ '^request_content_[0-9]{8}(_[0-9]{2})?_pairs$'
      loop
        execute format('drop index %s', name);
      end loop;
    end $$`;
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
  await sql`drop function sign_pairs(text)`;
}
