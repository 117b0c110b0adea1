import { expect, setDefaultTimeout, test } from "bun:test";
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { createPool } from "../../src/database/pool.ts";
import { type RotationStep, rotateSecret } from "../../src/keyring/rotate.ts";
import type { SecretOptions } from "../../src/keyring/secret.ts";
import { createDatabase, type TestDatabase } from "../harness/database.ts";
import { needs } from "../harness/require.ts";
import { runRotationChild } from "../harness/rotation-child.ts";
import { failure, newDataDir, one, open, two } from "./fixture.ts";

setDefaultTimeout(30_000);

const asRoot = needs(process.getuid?.() === 0, "not run as root");
const steps: RotationStep[] = ["next written", "re-wrapped", "committed", "done"];

const rotate = ({ sql }: TestDatabase, secret: Partial<SecretOptions>) =>
  rotateSecret({
    sql,
    secret: { key: undefined, previous: undefined, dataDir: "/nonexistent", ...secret },
    record: async () => {},
  });
const secretIn = (dataDir: string) => readFileSync(join(dataDir, "secret"), "utf8").trim();

test("keeps everything readable under a new secret in the file, and the old secret opens nothing", async () => {
  await using database = await createDatabase();
  using folder = newDataDir();
  const { dataDir } = folder;
  const running = await open(database.sql, { dataDir });
  const [sealed, hash] = [running.seal("kept", "c"), running.hash("a", "b")];
  const old = secretIn(dataDir);
  const before = await database.sql`select id, wrapped from data_key order by id`;

  expect(await rotate(database, { dataDir })).toEqual({
    rewrapped: 3,
    source: { file: join(dataDir, "secret") },
  });

  expect(secretIn(dataDir)).not.toBe(old);
  expect(readdirSync(dataDir)).toEqual(["secret"]);
  expect(statSync(join(dataDir, "secret")).mode & 0o777).toBe(0o600);
  const after = await database.sql`select id, wrapped from data_key order by id`;
  expect(after.map(({ id }) => id)).toEqual(before.map(({ id }) => id));
  for (const [i, row] of after.entries()) expect(row.wrapped).not.toEqual(before[i]?.wrapped);
  const started = await open(database.sql, { dataDir });
  expect(started.signKey).toEqual(running.signKey);
  expect(started.open(sealed, "c")).toBe("kept");
  expect(started.hash("a", "b")).toEqual(hash);
  // The instance that ran meanwhile goes on, and what it seals can be read by those that come later.
  expect(running.open(started.seal("new", "c"), "c")).toBe("new");
  expect(started.open(running.seal("newer", "c"), "c")).toBe("newer");
  expect(await failure(open(database.sql, { key: old }))).toContain("LLMOPS_SECRET_KEY is not the secret");
});

test.each(steps)("keeps everything readable where it is killed after the step: %s", async (until) => {
  await using database = await createDatabase();
  using folder = newDataDir();
  const { dataDir } = folder;
  const { url, sql } = database;
  const running = await open(sql, { dataDir });
  const sealed = running.seal("kept", "c");
  const old = secretIn(dataDir);

  expect(await runRotationChild({ url, dataDir, until })).toEqual({ printed: "", signal: "SIGKILL" });
  const isCommitted = until === "committed" || until === "done";
  expect(existsSync(join(dataDir, "secret.next"))).toBe(until !== "done");
  expect(secretIn(dataDir) === old).toBe(until !== "done");

  const started = await open(sql, { dataDir });
  expect(started.open(sealed, "c")).toBe("kept");
  expect(started.signKey).toEqual(running.signKey);
  // The start has done what was left to do, and nothing where nothing was committed.
  expect(secretIn(dataDir) !== old).toBe(isCommitted);

  expect(await runRotationChild({ url, dataDir, until })).toEqual({ printed: "", signal: "SIGKILL" });
  expect((await rotate(database, { dataDir })).rewrapped).toBe(3);
  expect(readdirSync(dataDir)).toEqual(["secret"]);
  expect((await open(sql, { dataDir })).open(sealed, "c")).toBe("kept");
});

test("keeps everything as it was where it fails on the way", async () => {
  await using database = await createDatabase();
  using folder = newDataDir();
  const { dataDir } = folder;
  const { sql } = database;
  const running = await open(sql, { dataDir });
  const old = secretIn(dataDir);
  for (const until of ["next written", "re-wrapped"] as const) {
    const failing = rotateSecret({
      sql,
      secret: { key: undefined, previous: undefined, dataDir },
      record: async () => {},
      reached: (step) => {
        if (step === until) throw new Error(`planted after ${step}`);
      },
    });
    expect(await failure(failing)).toBe(`planted after ${until}`);
    expect(secretIn(dataDir)).toBe(old);
    expect((await open(sql, { dataDir })).signKey).toEqual(running.signKey);
  }
});

test("keeps everything readable where several rotate and start at once", async () => {
  await using database = await createDatabase();
  using folder = newDataDir();
  const { dataDir } = folder;
  const running = await open(database.sql, { dataDir });
  const sealed = running.seal("kept", "c");
  await Promise.all([
    ...[1, 2, 3].map(() => runRotationChild({ url: database.url, dataDir, until: "done" })),
    ...[1, 2, 3].map(async () => {
      const { printed } = await runRotationChild({ url: database.url, dataDir });
      expect(printed).toBe(Buffer.from(running.hash("x", "test")).toString("hex"));
    }),
  ]);
  expect(readdirSync(dataDir)).toEqual(["secret"]);
  expect((await open(database.sql, { dataDir })).open(sealed, "c")).toBe("kept");
});

test("lets a second rotation write nothing until the first is committed", async () => {
  await using database = await createDatabase();
  using folder = newDataDir();
  const { dataDir } = folder;
  const { sql, url } = database;
  const sealed = (await open(sql, { dataDir })).seal("kept", "c");
  const gate = Promise.withResolvers<void>();
  const recording = Promise.withResolvers<void>();
  const steps: string[] = [];
  const pools = [createPool(url, { size: 1 }), createPool(url, { size: 1 })] as const;
  const secret = { key: undefined, previous: undefined, dataDir };
  const first = rotateSecret({
    sql: pools[0],
    secret,
    record: () => {
      recording.resolve();
      return gate.promise;
    },
    reached: (step) => steps.push(`first ${step}`),
  });
  await recording.promise;
  const second = rotateSecret({
    sql: pools[1],
    secret,
    record: async () => {},
    reached: (step) => steps.push(`second ${step}`),
  });
  const isWaiting = async () =>
    (
      await sql`select 1 from pg_locks where not granted and database = (select oid from pg_database where datname = current_database())`
    ).length > 0;
  while (steps.length === 1 && !(await isWaiting()));
  expect(steps).toEqual(["first next written"]);
  gate.resolve();
  await Promise.all([first, second]);
  expect(readdirSync(dataDir)).toEqual(["secret"]);
  expect((await open(sql, { dataDir })).open(sealed, "c")).toBe("kept");
  await Promise.all(pools.map((pool) => pool.end()));
});

test("wraps by LLMOPS_SECRET_KEY what LLMOPS_SECRET_KEY_PREVIOUS opens, once, and touches no file", async () => {
  await using database = await createDatabase();
  using folder = newDataDir();
  const { dataDir } = folder;
  const { sql, url } = database;
  const sealed = (await open(sql, { key: one })).seal("kept", "c");
  for (const until of ["next written", "re-wrapped"] as const) {
    await runRotationChild({ url, dataDir, key: two, previous: one, until });
    expect((await open(sql, { key: one })).open(sealed, "c")).toBe("kept");
  }
  const source = { setting: "LLMOPS_SECRET_KEY" } as const;
  const settings = { key: two, previous: one, dataDir };
  expect(await rotate(database, settings)).toEqual({ rewrapped: 3, source });
  expect(await rotate(database, settings)).toEqual({ rewrapped: 0, source });
  expect((await open(sql, { key: two })).open(sealed, "c")).toBe("kept");
  expect(await failure(open(sql, { key: one }))).toContain("LLMOPS_SECRET_KEY is not the secret");
  expect(existsSync(dataDir)).toBe(false);
});

test("says what to set where there is no other secret to wrap by, and where none opens the keys", async () => {
  await using database = await createDatabase();
  await open(database.sql, { key: one });
  expect(await failure(rotate(database, { key: one }))).toContain(
    "set it to a new secret and LLMOPS_SECRET_KEY_PREVIOUS to the one it has now",
  );
  expect(await failure(rotate(database, { key: two }))).toContain("LLMOPS_SECRET_KEY is not the secret");
  expect((await open(database.sql, { key: one })).signKey).toHaveLength(32);
});

test("moves the secret from the setting into the file, and back", async () => {
  await using database = await createDatabase();
  using folder = newDataDir();
  const { dataDir } = folder;
  const { sql } = database;
  const sealed = (await open(sql, { key: one })).seal("kept", "c");
  await rotate(database, { previous: one, dataDir });
  expect((await open(sql, { dataDir })).open(sealed, "c")).toBe("kept");
  await rotate(database, { key: two, previous: secretIn(dataDir), dataDir });
  expect((await open(sql, { key: two })).open(sealed, "c")).toBe("kept");
});

asRoot("leaves the new secret to the user whom the old one belonged to", async () => {
  await using database = await createDatabase();
  using folder = newDataDir();
  const { dataDir } = folder;
  mkdirSync(dataDir);
  await open(database.sql, { dataDir });
  chownSync(join(dataDir, "secret"), 12_345, 12_345);
  await rotate(database, { dataDir });
  expect(statSync(join(dataDir, "secret")).uid).toBe(12_345);
});
