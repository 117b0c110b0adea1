import { expect, test } from "bun:test";
import { toRequest } from "../harness/app.ts";
import { createDatabase, type TestDatabase } from "../harness/database.ts";
import { startAgain } from "./kit.ts";

/** One start of the service over a database, and the token that it printed. */
async function start({ url }: TestDatabase) {
  const context = await startAgain(url);
  return {
    token: context.setupUrl?.split("#")[1],
    link: context.setupUrl,
    async setUp(token: string, email: string): Promise<string> {
      const body = { token, email, password: "a long passphrase" };
      const response = await context.app.fetch(toRequest("POST", "/auth/setup", { body }));
      return ((await response.json()) as { code: string }).code;
    },
    [Symbol.asyncDispose]: () => context[Symbol.asyncDispose](),
  };
}

const emails = async ({ sql }: TestDatabase) =>
  (await sql<{ email: string }[]>`select email from account order by email`).map(({ email }) => email);

test("UNAUTHORIZED is answered to the second visitor, with the token of the first or of another start", async () => {
  await using database = await createDatabase();
  await using one = await start(database);
  await using two = await start(database);
  const { token: first = "" } = one;
  const { token: second = "" } = two;
  expect([first.length, second.length, first === second]).toEqual([43, 43, false]);
  expect(await two.setUp(first, "first@example.com")).toBe("SUCCESS");
  for (const token of [first, second]) {
    for (const each of [one, two]) expect(await each.setUp(token, "thief@example.com")).toBe("UNAUTHORIZED");
  }
  await using three = await start(database);
  expect(three.link).toBeUndefined();
  expect(await three.setUp(second, "thief@example.com")).toBe("UNAUTHORIZED");
  expect(await emails(database)).toEqual(["first@example.com"]);
});

test("one of many visitors who come at the same moment becomes the owner", async () => {
  await using database = await createDatabase();
  await using one = await start(database);
  await using two = await start(database);
  const visits = Array.from({ length: 10 }, (_, i) => {
    const at = i % 2 === 0 ? one : two;
    return at.setUp((i % 3 === 0 ? one.token : two.token) ?? "", `visitor${i}@example.com`);
  });
  const codes = (await Promise.all(visits)).sort();
  expect(codes).toEqual(["SUCCESS", ...Array(9).fill("UNAUTHORIZED")]);
  expect(await emails(database)).toHaveLength(1);
});

test("UNAUTHORIZED is answered to guessed tokens, and the printed one is still good afterwards", async () => {
  await using database = await createDatabase();
  await using it = await start(database);
  const { token = "" } = it;
  const [row] = await database.sql<{ hash: Uint8Array }[]>`select hash from setup_token`;
  const hash = Buffer.from(row?.hash ?? []);
  for (const guess of [
    token.slice(0, -1),
    `${token}A`,
    token.toUpperCase(),
    "A".repeat(43),
    hash.toString("base64url"),
    hash.toString("hex"),
    `\\x${hash.toString("hex")}`,
    "' or true --",
    "%",
    "null",
  ]) {
    expect([guess, await it.setUp(guess, "thief@example.com")]).toEqual([guess, "UNAUTHORIZED"]);
  }
  expect(await emails(database)).toEqual([]);
  expect(await it.setUp(token, "first@example.com")).toBe("SUCCESS");
});

test("UNAUTHORIZED is answered to a token of half an hour ago", async () => {
  await using database = await createDatabase();
  await using it = await start(database);
  await database.sql`update setup_token set expires_at = expires_at - interval '30 minutes'`;
  expect(await it.setUp(it.token ?? "", "late@example.com")).toBe("UNAUTHORIZED");
  expect(await emails(database)).toEqual([]);
});

test("the token stands in no header, page or address that reaches a server", async () => {
  await using database = await createDatabase();
  await using it = await start(database);
  const { link = "", token = "" } = it;
  expect(new URL(link).hash).toBe(`#${token}`);
  expect(link.slice(0, link.indexOf("#"))).toBe("http://127.0.0.1:5000/setup");
});
