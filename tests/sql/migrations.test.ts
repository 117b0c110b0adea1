import { describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createMigrations, newMigration } from "../../src/database/migrations.ts";
import type { Sql } from "../../src/database/pool.ts";
import { StartupError } from "../../src/errors/startup.ts";
import { silentLog } from "../../src/log.ts";
import { createDatabase } from "../harness/database.ts";
import { createTestLog } from "../harness/log.ts";

/** The tables of a database with everything applied, by name. */
const ownTables = [
  "account",
  "account_identity",
  "app",
  "app_key",
  "app_member",
  "audit",
  "audit_head",
  "budget",
  "budget_lease",
  "budget_period",
  "data_key",
  "installation",
  "lease_holder",
  "ledger",
  "login_attempt",
  "migration",
  "model",
  "oidc",
  "price",
  "provider",
  "rate",
  "rate_counter",
  "rate_lease",
  "rate_limit",
  "refresh_token",
  "request_content_default",
  "request_default",
  "session",
  "setup_token",
  "usage",
];

/** What this program brings. */
const own = (await readdir("migrations")).filter((name) => name.endsWith(".js")).sort();

const tables = async (sql: Sql) => {
  const rows = await sql<{ name: string }[]>`
    select relname as name from pg_class
    where relnamespace = 'public'::regnamespace and relkind = 'r' order by relname`;
  return rows.map(({ name }) => name);
};

const applied = async (sql: Sql) =>
  (await sql<{ name: string }[]>`select name from migration order by id`).map(({ name }) => name);

const failure = (work: Promise<unknown>): Promise<StartupError> =>
  work.then(
    () => Promise.reject(new Error("no failure")),
    (error: unknown) => {
      expect(error).toBeInstanceOf(StartupError);
      return error as StartupError;
    },
  );

/** A folder with migrations of a test's own. */
async function folderWith(files: Record<string, string>) {
  const root = await mkdtemp(join(tmpdir(), "llmops-migrations-"));
  await mkdir(join(root, "migrations"));
  for (const [name, text] of Object.entries(files)) await Bun.write(join(root, "migrations", name), text);
  return { root, [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }) };
}

const script = (up: string, down = "select 1") =>
  `export const up = (sql) => sql.unsafe(${JSON.stringify(up)});
   export const down = (sql) => sql.unsafe(${JSON.stringify(down)});`;

test("applies every migration to an empty database, once, and says which", async () => {
  await using database = await createDatabase({ empty: true });
  const migrations = createMigrations({ url: database.url, log: silentLog });
  expect(await tables(database.sql)).toEqual([]);
  expect(await migrations.up()).toEqual(own);
  expect(await applied(database.sql)).toEqual(own);
  expect(await tables(database.sql)).toEqual(ownTables);
  expect(await migrations.up()).toEqual([]);
});

test("lists without writing anything, before, between and after", async () => {
  await using database = await createDatabase({ empty: true });
  const migrations = createMigrations({ url: database.url, log: silentLog });
  const pending = own.map((name) => ({ name, appliedAt: null }));
  expect(await migrations.list()).toEqual({ known: pending, unknown: [] });
  expect(await tables(database.sql)).toEqual([]);
  await migrations.up();
  await migrations.down(1);
  const { known, unknown } = await migrations.list();
  expect(unknown).toEqual([]);
  expect(known.map(({ name }) => name)).toEqual(own);
  expect(known.map(({ appliedAt }) => appliedAt instanceof Date)).toEqual(
    own.map((_, index) => index < own.length - 1),
  );
});

test("reverts the last one first, as many as asked for, down to nothing, and applies them again", async () => {
  await using database = await createDatabase({ empty: true });
  const migrations = createMigrations({ url: database.url, log: silentLog });
  await migrations.up();
  expect(await migrations.down(1)).toEqual(own.slice(-1));
  expect(await applied(database.sql)).toEqual(own.slice(0, -1));
  expect(await migrations.down(100)).toEqual(own.slice(0, -1).reverse());
  expect(await tables(database.sql)).toEqual(["migration"]);
  expect(await migrations.down(1)).toEqual([]);
  expect(await migrations.up()).toEqual(own);
  expect(await tables(database.sql)).toEqual(ownTables);
});

test("applies each migration once where several start at the same moment on an empty database", async () => {
  await using database = await createDatabase({ empty: true });
  const runs = await Promise.all(
    Array.from({ length: 4 }, () => createMigrations({ url: database.url, log: silentLog }).up()),
  );
  expect(runs.filter((names) => names.length > 0)).toEqual([own]);
  expect(await applied(database.sql)).toEqual(own);
  const [counted] = await database.sql`select count(*)::int as rows from installation`;
  expect(counted?.rows).toBe(1);
});

test("waits for another instance that is migrating, and says so", async () => {
  await using database = await createDatabase({ empty: true });
  const { log, next } = createTestLog();
  const said = next("another instance is migrating");
  let work: Promise<string[]> | undefined;
  await database.sql.begin(async (tx) => {
    await tx`select pg_advisory_xact_lock(5706271845)`;
    work = createMigrations({ url: database.url, log }).up();
    await said;
    expect(await tables(database.sql)).toEqual([]);
  });
  expect(await work).toEqual(own);
});

describe("a migration that fails", () => {
  const good = script("create table good (id int)", "drop table good");
  const failures: [how: string, text: string, says: string][] = [
    ["in its SQL", script("create table bad (id int); select 1 / 0"), "division by zero"],
    [
      "in its JavaScript",
      'export const up = () => { throw new TypeError("no such thing"); };',
      "no such thing",
    ],
    ["in its syntax", "export const up = (", "Unexpected end of file"],
    [
      "at its commit",
      script(
        "create table parent (id int primary key); create table child (id int references parent deferrable initially deferred); insert into child values (1)",
      ),
      "violates foreign key constraint",
    ],
  ];

  for (const [how, text, says] of failures) {
    test(`rolls the whole run back and names itself, where it fails ${how}`, async () => {
      await using folder = await folderWith({ "00000-add-good.js": good, "00001-add-bad.js": text });
      await using database = await createDatabase({ empty: true });
      const migrations = createMigrations({ url: database.url, log: silentLog, root: folder.root });
      const { message, exitCode } = await failure(migrations.up());
      expect(message).toMatch(/^Migration .*00001-add-bad\.js failed and was rolled back whole: /);
      expect(message).toContain(says);
      expect(message).not.toContain("\n");
      expect(exitCode).toBe(1);
      expect(await tables(database.sql)).toEqual(["migration"]);
      expect(await applied(database.sql)).toEqual([]);
    });
  }

  test("keeps what was applied before, and goes on once it is mended", async () => {
    await using folder = await folderWith({ "00000-add-good.js": good });
    await using database = await createDatabase({ empty: true });
    const migrations = createMigrations({ url: database.url, log: silentLog, root: folder.root });
    await migrations.up();
    await Bun.write(join(folder.root, "migrations/00001-add-bad.js"), script("select 1 / 0"));
    await failure(migrations.up());
    expect(await applied(database.sql)).toEqual(["00000-add-good.js"]);
    await rm(join(folder.root, "migrations/00001-add-bad.js"));
    await Bun.write(
      join(folder.root, "migrations/00001-add-better.js"),
      script("create table better (id int)"),
    );
    expect(await migrations.up()).toEqual(["00001-add-better.js"]);
    expect(await tables(database.sql)).toEqual(["better", "good", "migration"]);
  });

  test("rolls back and names itself on the way down, and keeps what was reverted before it", async () => {
    await using folder = await folderWith({
      "00000-add-bad.js": script("create table bad (id int)", "drop table bad; select 1 / 0"),
      "00001-add-good.js": good,
    });
    await using database = await createDatabase({ empty: true });
    const migrations = createMigrations({ url: database.url, log: silentLog, root: folder.root });
    await migrations.up();
    const { message } = await failure(migrations.down(2));
    expect(message).toStartWith(
      "Migration 00000-add-bad.js failed and was rolled back whole: division by zero",
    );
    expect(await tables(database.sql)).toEqual(["bad", "migration"]);
    expect(await applied(database.sql)).toEqual(["00000-add-bad.js"]);
  });
});

test("refuses a schema that is newer than the program, names what it does not know, and changes nothing", async () => {
  await using database = await createDatabase();
  await database.sql`insert into migration (name) values ('00099-from-the-future.js')`;
  const migrations = createMigrations({ url: database.url, log: silentLog });
  for (const work of [migrations.up, () => migrations.down(1)]) {
    const { message } = await failure(work());
    expect(message).toContain("newer than this program: it has 00099-from-the-future.js");
  }
  expect(await applied(database.sql)).toEqual([...own, "00099-from-the-future.js"]);
  const { unknown } = await migrations.list();
  expect(unknown.map(({ name }) => name)).toEqual(["00099-from-the-future.js"]);
});

test("refuses a migration that was put in before one that has been applied, and names both", async () => {
  await using folder = await folderWith({ "00001-add-good.js": script("create table good (id int)") });
  await using database = await createDatabase({ empty: true });
  const migrations = createMigrations({ url: database.url, log: silentLog, root: folder.root });
  await migrations.up();
  await Bun.write(join(folder.root, "migrations/00000-add-late.js"), script("create table late (id int)"));
  const { message } = await failure(migrations.up());
  expect(message).toContain("00000-add-late.js");
  expect(message).toContain("00001-add-good.js");
  expect(await tables(database.sql)).toEqual(["good", "migration"]);
});

test("refuses a PostgreSQL older than 15 and says which it is", async () => {
  await using database = await createDatabase({ empty: true });
  const { sql } = database;
  // Stands before the real function on the search path, so that this server passes for an older one.
  await sql`
    create function public.current_setting(text) returns text language sql
    as 'select case $1 when ''server_version_num'' then ''140012'' else pg_catalog.current_setting($1) end'`;
  const [current] = await sql`select current_database() as name`;
  await sql.unsafe(`alter database ${current?.name} set search_path = public, pg_catalog`);
  const { message } = await failure(createMigrations({ url: database.url, log: silentLog }).up());
  expect(message).toBe("PostgreSQL 15 or later is needed, and this is 14; set DATABASE_URL to a newer one");
  expect(await tables(sql)).toEqual([]);
});

test("refuses a database that does not answer, and shows its URL without the password", async () => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const url = `postgres://me:canary@127.0.0.1:${listener.port}/db`;
  listener.stop(true);
  const migrations = createMigrations({ url, log: silentLog });
  for (const work of [migrations.up, migrations.list]) {
    const { message } = await failure(work());
    expect(message).toStartWith(`The database at ${url.replace("canary", "***")} does not answer: `);
    expect(message).toEndWith("start it, or correct DATABASE_URL");
  }
});

describe("a new migration", () => {
  test("gets the next number and can be applied as it is", async () => {
    await using folder = await folderWith({ "00007-add-good.js": script("select 1"), "README.md": "" });
    expect(await newMigration("add-more", folder.root)).toBe("migrations/00008-add-more.js");
    expect(await newMigration("add-2-things", folder.root)).toBe("migrations/00009-add-2-things.js");
    const text = await Bun.file(join(folder.root, "migrations/00008-add-more.js")).text();
    expect(text).toContain("export async function up(sql)");
    expect(text).toContain("export async function down(sql)");
  });

  test("is number 0 in an empty folder", async () => {
    await using folder = await folderWith({});
    expect(await newMigration("create-app", folder.root)).toBe("migrations/00000-create-app.js");
  });

  test("refuses a name that is no lower-case words with hyphens, and writes nothing", async () => {
    await using folder = await folderWith({});
    for (const name of [
      "",
      "Create-App",
      "create app",
      "../evil",
      "a/b",
      "a--b",
      "-a",
      "a-",
      "a.js",
      "ä",
      "a\n",
    ]) {
      const { message, exitCode } = await failure(newMigration(name, folder.root));
      expect(message).toContain("lower-case words with hyphens");
      expect(exitCode).toBe(2);
    }
    expect(await readdir(join(folder.root, "migrations"))).toEqual([]);
  });

  test("refuses a place without a folder for it", async () => {
    await using folder = await folderWith({});
    const { message } = await failure(newMigration("create-app", join(folder.root, "elsewhere")));
    expect(message).toContain("no folder 'migrations' here");
  });
});
