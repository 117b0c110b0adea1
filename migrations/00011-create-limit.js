/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  // How much may be asked per minute, and at once. An empty subject is everybody's who has none of their own; what is null
  // here is what the less specific says.
  await sql`
    create table rate_limit (
      id uuid primary key,
      scope text not null check (scope in ('key', 'app', 'account', 'user', 'model')),
      subject text not null default '' check (char_length(subject) <= 255),
      end_user text not null default '' check (char_length(end_user) <= 255),
      requests bigint check (requests > 0),
      tokens bigint check (tokens > 0),
      concurrency bigint check (concurrency > 0),
      created_at timestamptz not null,
      updated_at timestamptz not null,
      constraint rate_limit_subject unique (scope, subject, end_user),
      constraint rate_limit_user check (end_user = '' or (scope = 'user' and subject <> ''))
    )`;

  // How much may be spent. A budget of the scope 'user' is one of an app's users, or without a name each of them has it.
  await sql`
    create table budget (
      id uuid primary key,
      name text not null check (char_length(name) between 1 and 255),
      scope text not null check (scope in ('key', 'app', 'account', 'user')),
      subject_id uuid not null,
      end_user text check (char_length(end_user) between 1 and 255),
      period text not null check (period in ('day', 'week', 'month', 'forever')),
      time_zone text not null,
      currency text not null check (currency ~ '^[A-Z]{3}$'),
      amount numeric(38, 18) not null check (amount >= 0),
      hard boolean not null,
      warn_at numeric(4, 3)[] not null default '{}',
      status text not null default '' check (status in ('', 'disabled')),
      created_at timestamptz not null,
      updated_at timestamptz not null,
      deleted_at timestamptz,
      constraint budget_user check (end_user is null or scope = 'user')
    )`;
  await sql`create index budget_subject_id on budget (subject_id)`;

  // What one unit of a currency is worth in another, from a time on.
  await sql`
    create table rate (
      id uuid primary key,
      base text not null check (base ~ '^[A-Z]{3}$'),
      quote text not null check (quote ~ '^[A-Z]{3}$' and quote <> base),
      value numeric(24, 12) not null check (value > 0),
      valid_from timestamptz not null,
      source text not null default '' check (char_length(source) <= 2048),
      created_at timestamptz not null,
      constraint rate_version unique (base, quote, valid_from)
    )`;

  // Every process keeps all of these in memory.
  await sql`
    create function notify_limits() returns trigger language plpgsql as $$
    begin
      perform pg_notify('llmops_access', 'limits');
      return null;
    end $$`;
  for (const table of ["rate_limit", "budget", "rate"]) {
    await sql`
      create trigger ${sql(`${table}_limits`)} after insert or update or delete on ${sql(table)}
      for each statement execute function notify_limits()`;
  }

  // A process that spends, under the id of its journal. It must stop a second before expires_at (slots_until for calls
  // at once), unless it has said by then that it lives.
  await sql`
    create table lease_holder (
      id uuid primary key,
      name text not null,
      started_at timestamptz not null,
      expires_at timestamptz not null,
      slots_until timestamptz not null
    )`;

  // What counted in the last minute, in cells of time; also the lock of everything that is leased of it. And what the
  // processes may still spend of it, or have spent and not said yet.
  await sql`
    create table rate_counter (
      name text primary key,
      cells bigint[] not null default '{}',
      amounts bigint[] not null default '{}',
      used_at timestamptz not null default clock_timestamp()
    ) with (fillfactor = 50)`;
  await sql`
    create table rate_lease (
      name text not null,
      holder_id uuid not null,
      amount bigint not null default 0,
      op uuid,
      granted bigint not null default 0,
      primary key (name, holder_id)
    ) with (fillfactor = 50)`;
  await sql`create index rate_lease_holder_id on rate_lease (holder_id)`;

  // A budget's period, for one user where each has the budget: what its ledger sums up to. And what the processes may still
  // spend of it, or have spent and not written down yet; that stays booked until their journal has been brought in.
  await sql`
    create table budget_period (
      budget_id uuid not null references budget (id),
      end_user text not null,
      starts_at timestamptz not null,
      ends_at timestamptz,
      spent numeric(38, 18) not null default 0,
      exceeded_calls bigint not null default 0,
      exceeded numeric(38, 18) not null default 0,
      primary key (budget_id, end_user, starts_at)
    ) with (fillfactor = 50)`;
  await sql`create index budget_period_starts_at on budget_period (budget_id, starts_at)`;
  await sql`
    create table budget_lease (
      budget_id uuid not null,
      end_user text not null,
      starts_at timestamptz not null,
      holder_id uuid not null,
      amount numeric(38, 18) not null default 0,
      op uuid,
      granted numeric(38, 18) not null default 0,
      written_off numeric(38, 18) not null default 0,
      told numeric(38, 18) not null default 0,
      primary key (budget_id, end_user, starts_at, holder_id),
      foreign key (budget_id, end_user, starts_at) references budget_period (budget_id, end_user, starts_at)
    ) with (fillfactor = 50)`;
  await sql`create index budget_lease_holder_id on budget_lease (holder_id)`;

  // Each amount that was ever booked to a budget. 'call' is what a call cost, 'reprice' what pricing it anew changed,
  // 'write_off' what nobody knows of any more and somebody has given up.
  await sql`
    create table ledger (
      id uuid primary key,
      budget_id uuid not null,
      end_user text not null,
      starts_at timestamptz not null,
      kind text not null check (kind in ('call', 'reprice', 'write_off')),
      request_id uuid,
      holder_id uuid,
      currency text not null,
      cost numeric(38, 18) not null,
      rate numeric(24, 12) not null,
      amount numeric(38, 18) not null,
      bound_exceeded boolean not null default false,
      created_at timestamptz not null,
      foreign key (budget_id, end_user, starts_at) references budget_period (budget_id, end_user, starts_at)
    )`;
  await sql`create index ledger_budget_id on ledger (budget_id, id desc)`;
  await sql`create index ledger_request_id on ledger (request_id)`;
  await sql`
    create trigger ledger_append_only before update or delete or truncate on ledger
    for each statement execute function refuse_change()`;
  await sql`alter table ledger enable always trigger ledger_append_only`;

  // Which budgets a call counts towards, and why it was refused.
  await sql`alter table request add column charges jsonb, add column refusal jsonb`;

  // Says that a process lives. Where it had fallen silent for too long, what it held of the rates is forfeit: lapsed.
  await sql`
    create function beat_lease_holder(me uuid, label text, lease_ms integer, slots_ms integer,
      out lapsed boolean, out slots_lapsed boolean, out now_ms bigint)
    language plpgsql as $$
    declare
      at timestamptz := clock_timestamp();
      was lease_holder;
    begin
      insert into lease_holder values (me, label, at, at, at) on conflict (id) do nothing;
      select * into was from lease_holder where id = me for update;
      at := clock_timestamp();
      lapsed := was.expires_at < at and was.started_at < was.expires_at;
      slots_lapsed := was.slots_until < at and was.started_at < was.slots_until;
      if lapsed then delete from rate_lease where holder_id = me and name not like 'concurrency %'; end if;
      if slots_lapsed then delete from rate_lease where holder_id = me and name like 'concurrency %'; end if;
      update lease_holder set name = label, expires_at = at + lease_ms * interval '1 ms',
        slots_until = at + slots_ms * interval '1 ms' where id = me;
      now_ms := floor(extract(epoch from at) * 1000);
    end $$`;

  // One process's dealings with one counter, all at once: tells what it has spent and when (in cells of time), gives back
  // what it does not need, and asks for more: need at least, want where there is that much, and ahead on top, but of that no
  // more than an eighth of what is left, so that leases shrink as the limit nears. Asked again with the same op, or an
  // older one, which has come late, it does nothing: they are UUIDv7s, of one process each. Each statement here sees what was committed before it began, the lock on the counter's row held: no two
  // processes can count the same room.
  await sql`
    create function lease_rate(me uuid, counter text, op_id uuid, bound bigint, window_ms integer,
      spent_cells bigint[], spent_amounts bigint[], need bigint, want bigint, ahead bigint, back bigint,
      out granted bigint, out used bigint, out held bigint, out wait_ms bigint, out now_ms bigint)
    language plpgsql as $$
    declare
      cell_ms bigint := greatest(window_ms / 256, 1);
      own rate_lease;
      row rate_counter;
      free bigint;
    begin
      loop
        insert into rate_counter (name) values (counter) on conflict (name) do nothing;
        select * into row from rate_counter where name = counter for update;
        exit when found;
      end loop;
      insert into rate_lease (name, holder_id) values (counter, me) on conflict (name, holder_id) do nothing;
      select * into own from rate_lease where name = counter and holder_id = me;
      now_ms := floor(extract(epoch from clock_timestamp()) * 1000);
      if own.op is null or own.op < op_id then
        own.amount := own.amount - back - coalesce((select sum(each) from unnest(spent_amounts) each), 0);
        select coalesce(array_agg(merged.cell order by merged.cell), '{}'),
          coalesce(array_agg(merged.amount order by merged.cell), '{}')
          into row.cells, row.amounts
          from (
            select each.cell, sum(each.amount)::bigint as amount
            from (select * from unnest(row.cells, row.amounts) union all select * from unnest(spent_cells, spent_amounts))
              as each (cell, amount)
            where (each.cell + 1) * cell_ms + window_ms > now_ms
            group by each.cell) merged;
        update rate_counter set cells = row.cells, amounts = row.amounts, used_at = clock_timestamp() where name = counter;
      end if;
      used := coalesce((
        select sum(each.amount) from unnest(row.cells, row.amounts) as each (cell, amount)
        where (each.cell + 1) * cell_ms + window_ms > now_ms), 0);
      held := own.amount + coalesce((
        select sum(l.amount) from rate_lease l join lease_holder h on h.id = l.holder_id
        where l.name = counter and l.holder_id <> me and case when window_ms > 0
          then h.expires_at + window_ms * interval '1 ms' > clock_timestamp()
          else h.slots_until > clock_timestamp() end), 0);
      if own.op >= op_id then
        granted := own.granted;
      else
        free := bound - used - held;
        granted := case when free > 0 and free >= need then least(free, greatest(need, want) + least(ahead, free / 8)) else 0 end;
        held := held + granted;
        update rate_lease l set amount = own.amount + lease_rate.granted, op = op_id, granted = lease_rate.granted
          where l.name = counter and l.holder_id = me;
      end if;
      -- When enough of what counts now will count no more.
      wait_ms := (
        select (after.cell + 1) * cell_ms + window_ms - now_ms
        from (select each.cell, sum(each.amount) over (order by each.cell) as freed
          from unnest(row.cells, row.amounts) as each (cell, amount)
          where (each.cell + 1) * cell_ms + window_ms > now_ms) after
        where after.freed >= need - (bound - used - held) order by after.cell limit 1);
    end $$`;

  // The period of a budget that a moment falls into, by the days of its time zone.
  await sql`
    create function budget_period_at(period text, time_zone text, moment timestamptz,
      out starts_at timestamptz, out ends_at timestamptz)
    language plpgsql stable as $$
    begin
      if period = 'forever' then
        starts_at := 'epoch';
      else
        starts_at := date_trunc(period, moment at time zone time_zone) at time zone time_zone;
        ends_at := (date_trunc(period, moment at time zone time_zone) + ('1 ' || period)::interval) at time zone time_zone;
      end if;
    end $$`;

  // The same for a budget's period. starts is that of the period that is spent from; null asks for the one that is now. One
  // that is over takes back, and grants nothing.
  await sql`
    create function lease_budget(me uuid, budget_key uuid, who text, op_id uuid, starts timestamptz,
      need numeric, want numeric, ahead numeric, back numeric,
      out granted numeric, out spent numeric, out held numeric, out bound numeric,
      out period_start timestamptz, out period_end timestamptz, out written_off numeric)
    language plpgsql as $$
    declare
      rule budget;
      own budget_lease;
      free numeric;
      at timestamptz;
    begin
      select * into rule from budget where id = budget_key;
      if not found then return; end if;
      select p.starts_at, p.ends_at into period_start, period_end
        from budget_period_at(rule.period, rule.time_zone, clock_timestamp()) p;
      at := coalesce(starts, period_start);
      insert into budget_period (budget_id, end_user, starts_at, ends_at) values (budget_key, who, at, period_end)
        on conflict do nothing;
      select p.spent into lease_budget.spent from budget_period p
        where p.budget_id = budget_key and p.end_user = who and p.starts_at = at for update;
      insert into budget_lease (budget_id, end_user, starts_at, holder_id) values (budget_key, who, at, me)
        on conflict do nothing;
      select * into own from budget_lease l
        where l.budget_id = budget_key and l.end_user = who and l.starts_at = at and l.holder_id = me;
      bound := rule.amount;
      held := (select sum(l.amount) from budget_lease l
        where l.budget_id = budget_key and l.end_user = who and l.starts_at = at);
      if own.op >= op_id then
        granted := own.granted;
        written_off := own.told;
        return;
      end if;
      written_off := own.written_off;
      held := held - back;
      free := bound - lease_budget.spent - held;
      granted := case
        when free > 0 and free >= need and at = period_start and rule.deleted_at is null and rule.status = ''
          then least(free, greatest(need, want) + least(ahead, trunc(free / 8, 9))) else 0 end;
      held := held + granted;
      update budget_lease l
        set amount = l.amount - back + lease_budget.granted, op = op_id, granted = lease_budget.granted,
          told = l.written_off, written_off = 0
        where l.budget_id = budget_key and l.end_user = who and l.starts_at = at and l.holder_id = me;
    end $$`;
}

/** @param {import("postgres").TransactionSql} sql */
export async function down(sql) {
  await sql`drop function lease_budget, budget_period_at, lease_rate, beat_lease_holder`;
  await sql`alter table request drop column charges, drop column refusal`;
  await sql`drop table ledger, budget_lease, budget_period, rate_lease, rate_counter, lease_holder, rate, budget, rate_limit`;
  await sql`drop function notify_limits`;
}
