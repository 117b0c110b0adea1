import { expect, test } from "bun:test";
import { newId } from "../../src/id.ts";
import { copyIn, Rows } from "../../src/sql/copy.ts";
import { RowReader, RowWriter } from "../../src/sql/row.ts";
import { createDatabase } from "../harness/database.ts";

/** What PostgreSQL and we both read of a row. */
interface Row {
  place: number;
  id: string | null;
  small: number;
  count: number | null;
  flag: boolean;
  amount: string | null;
  at: string;
  word: string | null;
  detail: unknown;
}

const amounts = [
  "0",
  "0.000000000000000001",
  "-0.000000000000000001",
  "0.0001",
  "0.00010001",
  "1",
  "10",
  "9999",
  "10000",
  "12345.678",
  "100000000",
  "-100000000.5",
  "99999999999999999999.999999999999999999",
  null,
];
const words = ["", "a", "你好", "\u{1f600}", "\t\\N\n\\.\r'\"", "x".repeat(4090), "é".repeat(70_000), null];
const times = ["1969-12-31T23:59:59.999Z", "1999-12-31T23:59:59.999Z", "2000-01-01T00:00:00.000Z"];
const counts = [0, 1, -1, 2_147_483_647, -2_147_483_648, null];

const of = <T>(all: readonly T[], place: number): T => all[place % all.length] as T;

/** Rows in which each value meets many others. */
const all: Row[] = Array.from({ length: 1200 }, (_, place) => ({
  place,
  id: place % 7 === 0 ? null : newId(),
  small: of([0, -32_768, 32_767, 200], place),
  count: of(counts, place),
  flag: place % 3 === 0,
  amount: of(amounts, place),
  at: of([...times, new Date(1_764_000_000_000 + place * 977).toISOString()], place),
  word: place % 97 === 0 ? of(words, place) : of(words.slice(0, 6), place),
  detail: place % 5 === 0 ? null : { word: of(words.slice(0, 5), place), list: [place, null] },
}));

const write = (to: RowWriter, row: Row) => {
  to.row(9);
  to.integer(row.place);
  to.uuid(row.id);
  to.smallint(row.small);
  to.integer(row.count);
  to.boolean(row.flag);
  to.numeric(row.amount);
  to.timestamptz(row.at);
  to.text(row.word);
  to.json(row.detail === null ? null : JSON.stringify(row.detail));
};

const rowOf = (from: RowReader): Row => {
  expect(from.row()).toBe(9);
  return {
    place: from.integer() as number,
    id: from.uuid(),
    small: from.integer() as number,
    count: from.integer(),
    flag: from.boolean(),
    amount: from.numeric(),
    at: from.timestamptz() as string,
    word: from.text(),
    detail: from.json(),
  };
};

const rowsOf = (some: readonly Row[]): Rows => {
  const rows = new Rows();
  const writer = new RowWriter();
  for (const row of some) {
    writer.reset();
    write(writer, row);
    rows.add(writer);
  }
  return rows;
};

test("rows are to PostgreSQL what they were written as, and are read back as that", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  await sql`create table odd (place integer, id uuid, small smallint, count integer, flag boolean,
    amount numeric(38, 18), at timestamptz, word text, detail jsonb)`;
  const rows = rowsOf(all);
  await copyIn(sql`copy odd from stdin with (format binary)`, rows);
  const stored = await sql<Row[]>`
    select place, id, small, count, flag, trim_scale(amount)::text as amount,
      to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at, word, detail
    from odd order by place`;
  expect([...stored]).toEqual(all);
  const read: Row[] = [];
  for (const reader of rows.readers()) read.push(rowOf(reader));
  expect(read).toEqual(all);
});

test("a number that is none of the column's is refused, and not cut to one that is", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  await sql`create table odd (small smallint, count integer)`;
  for (const [small, count] of [
    [0, 2_147_483_648],
    [0, -2_147_483_649],
    [0, 0.5],
    [0, Number.NaN],
    [32_768, 0],
    [-32_769, 0],
  ] as const) {
    const [rows, writer] = [new Rows(), new RowWriter()];
    writer.row(2);
    writer.smallint(small);
    writer.integer(count);
    rows.add(writer);
    await expect(copyIn(sql`copy odd from stdin with (format binary)`, rows)).rejects.toThrow(
      expect.objectContaining({ code: "22P03" }),
    );
    for (const reader of rows.readers())
      expect([reader.row(), reader.integer(), reader.integer()]).toEqual([2, small, count]);
  }
  expect(await sql`select * from odd`).toHaveLength(0);
});

test("memory that rows were in serves the next ones, and what is read of those is theirs", () => {
  const rows = rowsOf(all);
  const size = () => [...rows.pieces()].reduce((total, { length }) => total + length, 0);
  const before = size();
  rows.clear();
  expect([rows.empty, size()]).toEqual([true, 0]);
  const writer = new RowWriter();
  for (const row of [...all].reverse()) {
    writer.reset();
    write(writer, row);
    rows.add(writer);
  }
  expect(size()).toBe(before);
  const read: Row[] = [];
  for (const reader of rows.readers()) read.push(rowOf(reader));
  expect(read).toEqual([...all].reverse());
});

test("what stops in the middle of a row is told, wherever it stops", () => {
  const writer = new RowWriter();
  write(writer, all[1] as Row);
  for (let length = 0; length < writer.length; length++) {
    const reader = new RowReader(writer.bytes.subarray(0, length));
    expect(() => rowOf(reader)).toThrow(RangeError);
  }
});
