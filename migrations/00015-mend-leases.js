/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  // As before, but what a process has spent beyond its lease, which leaves that below zero until the process asks again, makes no
  // room for others: it is part of what was spent already. And what is told to have been spent more than a window from now does
  // not count: the clock was set back, or the cells are those of a shorter window.
  await sql`
    create or replace function lease_rate(me uuid, counter text, op_id uuid, bound bigint, window_ms integer,
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
            where (each.cell + 1) * cell_ms + window_ms > now_ms and each.cell * cell_ms < now_ms + window_ms
            group by each.cell) merged;
        update rate_counter set cells = row.cells, amounts = row.amounts, used_at = clock_timestamp() where name = counter;
      end if;
      used := coalesce((
        select sum(each.amount) from unnest(row.cells, row.amounts) as each (cell, amount)
        where (each.cell + 1) * cell_ms + window_ms > now_ms), 0);
      held := own.amount + coalesce((
        select sum(greatest(l.amount, 0)) from rate_lease l join lease_holder h on h.id = l.holder_id
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
  await sql`
    create or replace function lease_budget(me uuid, budget_key uuid, who text, op_id uuid, starts timestamptz,
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
      held := (select sum(case when l.holder_id = me then l.amount else greatest(l.amount, 0) end) from budget_lease l
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
  await sql`
    create or replace function lease_rate(me uuid, counter text, op_id uuid, bound bigint, window_ms integer,
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
  await sql`
    create or replace function lease_budget(me uuid, budget_key uuid, who text, op_id uuid, starts timestamptz,
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
