import { expect, test } from "bun:test";
import { silentLog } from "../../src/log.ts";
import { createPartitionService } from "../../src/services/partition.ts";
import { insertRequestContentMany } from "../../src/sql/request.ts";
import { callAt } from "../harness/call-record.ts";
import { createDatabase } from "../harness/database.ts";

test("a text has all pairs of signs of whatever is found in it, in any case", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const signs = [...'aBkK\u212aiIİıéÉßẞΣσςжЖ保修😀😎ｅＥ 1%_\\"\n.'];
  const texts = Array.from({ length: 16 }, (_, n) =>
    Array.from({ length: 40 }, (_, at) => signs[(n * 7 + at * at * (n + 1)) % signs.length]).join(""),
  );
  const parts = texts.flatMap((text) =>
    [2, 3, 5].flatMap((length) => {
      const part = [...text].slice(length * 3, length * 4).join("");
      return [part, part.toLowerCase(), part.toUpperCase()];
    }),
  );
  const [count] = await sql`
    select count(*)::int as found, count(*) filter (where sign_pairs(one) @> sign_pairs(part))::int as named
    from unnest(${texts}::text[]) as one, unnest(${parts}::text[]) as part
    where one ilike '%' || like_literal(part) || '%'`;
  expect(count?.found).toBeGreaterThan(100);
  expect(count?.named).toBe(count?.found);
  const [none] =
    await sql`select sign_pairs('') as of_none, sign_pairs('保') as of_one, sign_pairs('保修保修') as pairs`;
  expect(none).toMatchObject({ of_none: null, of_one: null });
  expect(new Set(none?.pairs)).toHaveLength(2);
});

test("two signs are found by the index of what is over", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const noon = new Date("2031-05-15T12:00:00.000Z");
  const clock = { now: () => noon };
  const upkeep = createPartitionService({
    sql,
    clock,
    log: silentLog,
    retention: { requestDays: 9, contentDays: 9 },
  }).upkeep;
  await upkeep();
  const rows = Array.from({ length: 50 }, (_, n) => callAt(new Date(noon.getTime() - 4 * 3600_000 + n))).map(
    ({ id, app_id }, n) => ({
      id,
      app_id,
      question: { text: n === 7 ? "请问保修多久" : "请问多久" },
      answer: null,
    }),
  );
  await insertRequestContentMany(sql, JSON.stringify(rows));
  await sql.begin(async (tx) => {
    await tx`set local enable_seqscan = off`;
    const wanted = tx`
      select id from request_content where sign_pairs(coalesce(question, '') || coalesce(answer, '')) @> sign_pairs('保修')`;
    expect((await wanted).map(({ id }) => id)).toEqual([rows[7]?.id]);
    const plan = await tx`
      explain select id from request_content_20310515_08
      where sign_pairs(coalesce(question, '') || coalesce(answer, '')) @> sign_pairs('保修')`;
    expect(JSON.stringify(plan)).toContain("request_content_20310515_08_pairs");
  });
});
