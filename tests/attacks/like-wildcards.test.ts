import { expect, test } from "bun:test";
import { as, logIn, startProduction } from "./kit.ts";

const names = [
  "plain",
  "50% off",
  "under_score",
  "back\\slash",
  "a.c",
  "[abc]",
  "(a+)+$",
  "' or 1=1",
  "日本語",
  "ABC",
];

test("only names that hold the very text are found, whatever it means to LIKE or to a regular expression", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  for (const name of names) await as(app, owner)("POST", "/app", { name });
  const found = async (search: string) => {
    const { code, data } = await as(app, owner)("GET", `/app?search=${encodeURIComponent(search)}`);
    expect([search, code]).toEqual([search, "SUCCESS"]);
    return (data.items as { name: string }[]).map(({ name }) => name).reverse();
  };
  for (const search of [
    "%",
    "_",
    "\\",
    "%%",
    "__",
    "a.c",
    ".",
    "[abc]",
    "(a+)+$",
    "'",
    "日",
    "abc",
    ".*",
    "^",
    "\\%",
    "a%c",
    "a_c",
    "%' or '1'='1",
  ]) {
    const expected = names.filter((name) => name.toLowerCase().includes(search.toLowerCase()));
    expect([search, await found(search)]).toEqual([search, expected]);
  }
});

/** What is dear to a matcher that tries again from every place. */
const dear = [
  "%a".repeat(127),
  "_%".repeat(127),
  `${"a".repeat(254)}b`,
  "(a+)+".repeat(51),
  `${"%".repeat(254)}b`,
  "\\".repeat(255),
];

test("a pattern of 255 characters over 20,000 long names costs what a plain search costs, and finds nothing", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  await app.database.sql`
    insert into app (id, account_id, name, created_at, updated_at)
    select gen_random_uuid(), ${owner.id}, repeat('a', 255), now(), now() from generate_series(1, 20000)`;
  for (const search of dear) {
    const { code, data } = await as(app, owner)("GET", `/app?search=${encodeURIComponent(search)}`);
    expect([search, code, data.items]).toEqual([search, "SUCCESS", []]);
  }
  // Work, not time: no statement matches a pattern; the server is asked for a text's place in another.
  const [source] = await app.database.sql<{ found: number }[]>`
    select strpos(repeat('a', 255), ${dear[0] ?? ""}) as found`;
  expect(source?.found).toBe(0);
  const statements = new Bun.Glob("src/sql/*.ts").scanSync();
  for (const file of statements) {
    const text = await Bun.file(file).text();
    expect([file, /\b(?:i?like|similar\s+to)\s+\$\{|[^!=<>]~\*?\s*\$\{|regexp_/i.test(text)]).toEqual([
      file,
      false,
    ]);
  }
}, 60_000);

test("VALIDATE_ERROR is answered to a longer pattern", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const { code, data } = await as(app, owner)("GET", `/app?search=${"a".repeat(256)}`);
  expect([code, Object.keys(data)]).toEqual(["VALIDATE_ERROR", ["search"]]);
});
