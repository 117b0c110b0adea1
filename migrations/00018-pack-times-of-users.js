/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  // Thousands of users are read at once, of whom each row has a kilobyte of histograms, most of it zeros. What has come together is
  // packed into a fifth of that by the service, from time to time; what comes after it is added to the numbers as before.
  await sql`alter table usage add column times bytea`;
}

/** @param {import("postgres").TransactionSql} sql */
export async function down(sql) {
  // Takes the packed ones apart: the first bucket and how many there are, two bytes each, then twice what is in each, odd where it is
  // less than nothing, in groups of seven bits, the lowest first.
  await sql`
    create function pg_temp.unpacked(times bytea) returns numeric[] language plpgsql as $$
    declare
      histograms numeric[] := '{}';
      place integer := 0;
      low integer;
      length integer;
      number bigint;
      unit bigint;
      byte integer;
      sum numeric;
    begin
      for histogram in 1..2 loop
        low := 256 * get_byte(times, place) + get_byte(times, place + 1);
        length := 256 * get_byte(times, place + 2) + get_byte(times, place + 3);
        place := place + 4;
        sum := 0;
        for bucket in low..low + length - 1 loop
          number := 0;
          unit := 1;
          loop
            byte := get_byte(times, place);
            place := place + 1;
            number := number + (byte & 127) * unit;
            exit when byte < 128;
            unit := unit * 128;
          end loop;
          number := case when number % 2 = 0 then number / 2 else -(number + 1) / 2 end;
          sum := sum + (number || 'e' || 12 * bucket)::numeric;
        end loop;
        histograms := histograms || sum;
      end loop;
      return histograms;
    end $$`;
  await sql`
    update usage set ttft = ttft + histograms[1], duration = duration + histograms[2]
    from (
      select grain, starts_at, cut, app_id, key_id, model, provider, end_user, currency, pg_temp.unpacked(times) as histograms
      from usage where times is not null
    ) as packed
    where (usage.grain, usage.starts_at, usage.cut, usage.app_id, usage.key_id, usage.model, usage.provider, usage.end_user,
        usage.currency)
      = (packed.grain, packed.starts_at, packed.cut, packed.app_id, packed.key_id, packed.model, packed.provider,
        packed.end_user, packed.currency)`;
  await sql`drop function pg_temp.unpacked`;
  await sql`alter table usage drop column times`;
}
