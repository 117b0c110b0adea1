import { expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { createDatabase } from "../harness/database.ts";
import { createProgram } from "../harness/program.ts";
import { one, open, two } from "../keyring/fixture.ts";

setDefaultTimeout(60_000);

test("puts a new secret into the data folder while the service runs there, and writes it down", async () => {
  using program = createProgram();
  for (const each of [program.folder, join(program.folder, "..")]) chmodSync(each, 0o711); // for the database's user
  const serving = program.start(["serve", "--dev", "--port", "0"]);
  const url = await serving.said(/listens on (http:\S+)/);
  const file = join(program.folder, "llmops-data/secret");
  expect(await program.run(["audit", "verify"])).toMatchObject({ code: 0 });
  const old = readFileSync(file, "utf8");

  const rotated = await program.run(["secret", "rotate"]);
  expect(rotated).toMatchObject({ code: 0 });
  expect(rotated.stdout).toStartWith(`the data keys are wrapped by the secret in ${file}\n`);
  expect(rotated.stdout).toContain("backups made before now");
  const now = readFileSync(file, "utf8");
  expect(now).not.toBe(old);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(existsSync(`${file}.next`)).toBe(false);
  for (const text of [rotated.stdout, rotated.stderr]) {
    expect(text).not.toContain(old.trim());
    expect(text).not.toContain(now.trim());
  }

  expect(await (await fetch(`${url}/ping`)).json()).toMatchObject({ code: "SUCCESS" });
  const verified = await program.run(["audit", "verify"]);
  expect(verified).toMatchObject({ code: 0 });
  expect(verified.stdout).toStartWith("good: 1 entries, ");
  serving.signal("SIGTERM");
  expect((await serving.finished).code).toBe(0);
});

test("wraps by LLMOPS_SECRET_KEY what the previous one opens; without it says what to set and changes nothing", async () => {
  await using database = await createDatabase();
  using program = createProgram();
  const { sql, url } = database;
  const sealed = (await open(sql, { key: one })).seal("kept", "c");
  const settings = { DATABASE_URL: url, LLMOPS_SECRET_KEY: two };

  const foreign = await program.run(["secret", "rotate"], settings);
  expect(foreign).toMatchObject({ code: 1, stdout: "" });
  expect(foreign.stderr).toContain("LLMOPS_SECRET_KEY is not the secret of this installation");
  const alone = await program.run(["secret", "rotate"], { ...settings, LLMOPS_SECRET_KEY: one });
  expect(alone).toMatchObject({ code: 1, stdout: "" });
  expect(alone.stderr).toContain("LLMOPS_SECRET_KEY_PREVIOUS to the one it has now");

  const both = { ...settings, LLMOPS_SECRET_KEY_PREVIOUS: one };
  for (const [word, entries] of [
    ["LLMOPS_SECRET_KEY\n", 1],
    ["LLMOPS_SECRET_KEY already\n", 1],
  ] as const) {
    const rotated = await program.run(["secret", "rotate"], both);
    expect(rotated).toMatchObject({ code: 0, stderr: "" });
    expect(rotated.stdout).toContain(`are wrapped by the secret in ${word}`);
    expect(await sql`select action, actor_kind, after from audit`).toHaveLength(entries);
  }
  const [entry] = await sql`select action, actor_kind, actor_name, after from audit`;
  expect(entry).toEqual({
    action: "secret.rotate",
    actor_kind: "cli",
    actor_name: expect.stringMatching(/./),
    after: { source: "setting" },
  });
  expect((await open(sql, { key: two })).open(sealed, "c")).toBe("kept");
  expect(existsSync(join(program.folder, "llmops-data"))).toBe(false);
});

test("prints its usage with code 2 for anything but rotate, and touches no database for help", async () => {
  using program = createProgram();
  for (const args of [
    ["secret"],
    ["secret", "show"],
    ["secret", "rotate", "now"],
    ["audit"],
    ["audit", "mend"],
  ]) {
    const outcome = await program.run(args);
    expect(outcome, args.join(" ")).toMatchObject({ code: 2, stdout: "" });
    expect(outcome.stderr).toContain(`llmops ${args[0]} --help`);
  }
  for (const [name, action] of [
    ["secret", "rotate"],
    ["audit", "verify"],
  ] as const) {
    const help = await program.run([name, "--help"], { DATABASE_URL: "not a url" });
    expect(help).toMatchObject({ code: 0, stderr: "" });
    expect(help.stdout).toStartWith(`usage: llmops ${name} ${action}`);
  }
  expect(existsSync(join(program.folder, "llmops-data"))).toBe(false);
});

test("refuses a database whose migrations are pending, and applies none", async () => {
  await using database = await createDatabase({ empty: true });
  using program = createProgram();
  for (const args of [
    ["secret", "rotate"],
    ["audit", "verify"],
  ]) {
    const refused = await program.run(args, { DATABASE_URL: database.url, LLMOPS_SECRET_KEY: one });
    expect(refused).toMatchObject({ code: 1, stdout: "" });
    expect(refused.stderr).toContain("migrations are pending; run 'llmops migrate up'");
  }
  const tables = await database.sql`select 1 from information_schema.tables where table_schema = 'public'`;
  expect(tables).toHaveLength(0);
});
