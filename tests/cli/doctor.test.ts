import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { insertRequestContentMany, insertRequestMany } from "../../src/sql/request.ts";
import { callAt } from "../harness/call-record.ts";
import { createDatabase } from "../harness/database.ts";
import { createProgram } from "../harness/program.ts";
import { behaviours, startUpstream } from "../harness/upstream.ts";

/** `subject` -> [state, text] */
const findings = (stdout: string) =>
  Object.fromEntries(
    stdout
      .trimEnd()
      .split("\n")
      .map((line) => {
        const [state = "", subject = "", text = ""] = line.split(/ {2,}/);
        return [subject, [state, text]];
      }),
  );

const migrationCount = readdirSync("migrations").length;

test("finds everything in order, says which models the key may use, and exits 0", async () => {
  await using database = await createDatabase();
  await using upstream = await startUpstream({ models: ["kimi-k2.5", "moonshot-v1-8k"] });
  using program = createProgram();
  const { code, stdout } = await program.run(["doctor"], {
    DATABASE_URL: database.url,
    OPEN_API_KEY: "sk-canary",
    OPEN_API_BASE: upstream.baseUrl,
    OPEN_API_MODEL: "kimi-k2.5",
  });
  expect(stdout).not.toContain("canary");
  expect(findings(stdout)).toEqual({
    settings: ["ok", "production; 'llmops config' lists them"],
    database: ["ok", expect.stringMatching(/^PostgreSQL \d+/)],
    migrations: ["ok", `${migrationCount} applied`],
    clock: ["ok", "agrees with the database's"],
    partitions: ["ok", "every record is in the partition of its day"],
    ledger: ["ok", "sums up to what was spent, and to what the calls on record cost"],
    journal: ["ok", "no record was refused"],
    provider: ["ok", `${upstream.baseUrl} takes the key; it may use: kimi-k2.5, moonshot-v1-8k`],
    model: ["ok", "kimi-k2.5"],
  });
  expect(code).toBe(0);
});

test("warns of a missing key and of a model that is not there, and exits 0", async () => {
  await using database = await createDatabase();
  await using upstream = await startUpstream({ models: ["kimi-k2.5"] });
  using program = createProgram();
  const [without, partly] = await Promise.all([
    program.run(["doctor"], { DATABASE_URL: database.url }),
    program.run(["doctor"], {
      DATABASE_URL: database.url,
      OPEN_API_KEY: "sk-1",
      OPEN_API_BASE: upstream.baseUrl,
      OPEN_API_MODEL: "kimi-k2-turbo-preview,kimi-k2.5",
    }),
  ]);
  expect(findings(without.stdout).provider?.[0]).toBe("warn");
  expect(findings(partly.stdout).model).toEqual([
    "warn",
    "kimi-k2.5 will be used; not there: kimi-k2-turbo-preview",
  ]);
  expect([without.code, partly.code]).toEqual([0, 0]);
});

test("prints a fix for each thing that is wrong, goes on to the next, and exits 1", async () => {
  await using empty = await createDatabase({ empty: true });
  await using newer = await createDatabase();
  await newer.sql`insert into migration (name) values ('00099-from-the-future.js')`;
  await using upstream = await startUpstream({ models: ["other"] });
  using program = createProgram();
  const doctor = async (environment: Record<string, string>) => {
    const { code, stdout, stderr } = await program.run(["doctor"], environment);
    expect(code).toBe(1);
    expect(stdout + stderr).not.toContain("    at ");
    expect(stdout + stderr).not.toContain("canary");
    return findings(stdout);
  };
  expect(await doctor({ PORT: "canary" })).toEqual({
    settings: [
      "fail",
      "PORT has a value that is not allowed; it takes a whole number from 0 to 65535; 0 takes a free port",
    ],
  });
  const away = await doctor({ DATABASE_URL: "postgres://me:canary@127.0.0.1:1/db" });
  expect(away.database).toEqual(["fail", expect.stringContaining("start it, or correct DATABASE_URL")]);
  expect(away.provider?.[0]).toBe("warn");
  expect((await doctor({ DATABASE_URL: empty.url })).migrations).toEqual([
    "fail",
    `${migrationCount} pending; run 'llmops migrate up', or 'llmops serve', which does`,
  ]);
  expect((await doctor({ DATABASE_URL: newer.url })).migrations).toEqual([
    "fail",
    "the schema is newer than this program (00099-from-the-future.js); use the newer llmops",
  ]);
  const provider = { DATABASE_URL: empty.url, OPEN_API_KEY: "sk-canary", OPEN_API_BASE: upstream.baseUrl };
  expect((await doctor(provider)).model).toEqual([
    "fail",
    "this key may use none of OPEN_API_MODEL (kimi-k2-turbo-preview, kimi-k2.5); set it to one it may",
  ]);
  upstream.scriptModels(behaviours.status(401));
  expect((await doctor(provider)).provider).toEqual([
    "fail",
    "The provider refused the key: check that OPEN_API_KEY belongs to OPEN_API_BASE",
  ]);
}, 20_000);

test("warns of records in no day's partition and of those that the database refused, and exits 0", async () => {
  await using database = await createDatabase();
  using program = createProgram();
  const calls = [callAt(new Date("2020-01-01")), callAt(new Date("2040-01-01"))];
  await insertRequestMany(database.sql, JSON.stringify(calls));
  const content = calls.slice(1).map(({ id, app_id }) => ({ id, app_id, question: {}, answer: {} }));
  await insertRequestContentMany(database.sql, JSON.stringify(content));
  const refused = join(program.folder, "llmops-data/journal/1/rejected.jsonl");
  mkdirSync(dirname(refused), { recursive: true });
  writeFileSync(refused, "{}\n");
  const { code, stdout } = await program.run(["doctor"], { DATABASE_URL: database.url });
  expect(findings(stdout)).toMatchObject({
    partitions: ["warn", expect.stringMatching(/^3 records are in no day's partition; /)],
    journal: ["warn", expect.stringContaining("/journal/1/rejected.jsonl; ")],
  });
  expect(code).toBe(0);
});

test("looks only at the running service with --serving", async () => {
  await using database = await createDatabase();
  using program = createProgram();
  const serving = program.start(["serve", "--port", "0"], { DATABASE_URL: database.url });
  const port = await serving.said(/listens on http:\/\/127\.0\.0\.1:(\d+)/);
  const ready = await program.run(["doctor", "--serving"], { PORT: port });
  expect(ready.code).toBe(0);
  expect(findings(ready.stdout)).toEqual({ serving: ["ok", `http://127.0.0.1:${port}/readyz is ready`] });
  serving.signal("SIGTERM");
  await serving.finished;
  const gone = await program.run(["doctor", "--serving"], { PORT: port });
  expect(gone.code).toBe(1);
  expect(findings(gone.stdout).serving).toEqual(["fail", expect.stringContaining("start 'llmops serve'")]);
});
