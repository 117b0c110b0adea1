import { expect, test } from "bun:test";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createDatabase } from "../harness/database.ts";
import { createProgram } from "../harness/program.ts";

const own = readdirSync("migrations")
  .filter((name) => name.endsWith(".js"))
  .sort();
const time = "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z";
const lines = (prefix: string, names = own) => names.map((name) => `${prefix}  ${name}\n`).join("");

test("applies, lists and reverts migrations, and says what it did on stdout", async () => {
  await using database = await createDatabase({ empty: true });
  using program = createProgram();
  const migrate = async (...args: string[]) => {
    const { code, stdout } = await program.run(["migrate", ...args], { DATABASE_URL: database.url });
    return { code, stdout };
  };
  const pending = "pending".padEnd(24);
  expect(await migrate("status")).toEqual({ code: 0, stdout: lines(pending) });
  expect(await migrate("history")).toEqual({ code: 0, stdout: "" });
  expect(await migrate("down")).toEqual({ code: 0, stdout: "nothing to revert\n" });
  expect(await migrate("up")).toEqual({ code: 0, stdout: lines("applied") });
  expect(await migrate("up")).toEqual({ code: 0, stdout: "nothing to apply\n" });
  const stamped = new RegExp(`^${own.map((name) => `${time}  ${name}\n`).join("")}$`);
  expect(await migrate("status")).toEqual({ code: 0, stdout: expect.stringMatching(stamped) });
  expect(await migrate("history")).toEqual({ code: 0, stdout: expect.stringMatching(stamped) });
  expect(await migrate("down")).toEqual({ code: 0, stdout: lines("reverted", own.slice(-1)) });
  expect((await migrate("status")).stdout).toEndWith(`${pending}  ${own.at(-1)}\n`);
  expect(await migrate("down", "--steps", String(own.length))).toEqual({
    code: 0,
    stdout: lines("reverted", own.slice(0, -1).reverse()),
  });
  expect(await migrate("up")).toEqual({ code: 0, stdout: lines("applied") });
}, 20_000);

test("shows a migration that this program does not know, and exits 1", async () => {
  await using database = await createDatabase();
  await database.sql`insert into migration (name) values ('00099-from-the-future.js')`;
  using program = createProgram();
  const environment = { DATABASE_URL: database.url };
  const status = await program.run(["migrate", "status"], environment);
  expect(status.code).toBe(1);
  expect(status.stdout).toMatch(
    new RegExp(`${time}  00099-from-the-future.js  \\(not known to this program\\)\n$`),
  );
  for (const action of ["up", "down"]) {
    const { code, stdout, stderr } = await program.run(["migrate", action], environment);
    expect([action, code, stdout]).toEqual([action, 1, ""]);
    expect(stderr).toMatch(
      /^llmops: The database schema is newer than this program: it has 00099-from-the-future\.js.*\n$/,
    );
  }
});

test("writes a new migration with the next number into the folder where it stands", async () => {
  using program = createProgram();
  const nowhere = await program.run(["migrate", "new", "add-more"]);
  expect(nowhere).toMatchObject({ code: 1, stdout: "" });
  expect(nowhere.stderr).toMatch(/^llmops: There is no folder 'migrations' here.*\n$/);
  mkdirSync(join(program.folder, "migrations"));
  await program.run(["migrate", "new", "create-thing"]);
  const { code, stdout } = await program.run(["migrate", "new", "add-more"]);
  expect({ code, stdout }).toEqual({ code: 0, stdout: "migrations/00001-add-more.js\n" });
  expect(readdirSync(join(program.folder, "migrations")).sort()).toEqual([
    "00000-create-thing.js",
    "00001-add-more.js",
  ]);
});

test("names the database that does not answer, without its password, in one line", async () => {
  using program = createProgram();
  const { code, stdout, stderr } = await program.run(["migrate", "status"], {
    DATABASE_URL: "postgres://me:canary@127.0.0.1:1/db",
  });
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(
    /^llmops: The database at postgres:\/\/me:\*\*\*@127\.0\.0\.1:1\/db does not answer: .*\n$/,
  );
});
