/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  // When a clock of the time zone first shows a time. One that is set back shows it twice, and PostgreSQL then means the second.
  await sql`
    create function first_moment(shown timestamp, time_zone text) returns timestamptz language plpgsql stable as $$
    declare
      found timestamptz := shown at time zone time_zone;
    begin
      if (found - interval '1 hour') at time zone time_zone = shown then return found - interval '1 hour'; end if;
      return found;
    end $$`;
  // As before, but a day that begins twice, as in Havana and on the Azores in autumn, begins the first time.
  await sql`
    create or replace function budget_period_at(period text, time_zone text, moment timestamptz,
      out starts_at timestamptz, out ends_at timestamptz)
    language plpgsql stable as $$
    declare
      day timestamp := date_trunc(case period when 'forever' then 'day' else period end, moment at time zone time_zone);
    begin
      if period = 'forever' then
        starts_at := 'epoch';
      else
        starts_at := first_moment(day, time_zone);
        ends_at := first_moment(day + ('1 ' || period)::interval, time_zone);
      end if;
    end $$`;
}

/** @param {import("postgres").TransactionSql} sql */
export async function down(sql) {
  await sql`
    create or replace function budget_period_at(period text, time_zone text, moment timestamptz,
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
  await sql`drop function first_moment`;
}
