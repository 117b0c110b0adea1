import { expect, setDefaultTimeout, test } from "bun:test";
import { createHmac } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createPool, type Sql } from "../../src/database/pool.ts";
import { StartupError } from "../../src/errors/startup.ts";
import { newId } from "../../src/id.ts";
import { wrapKey } from "../../src/keyring/wrap.ts";
import { createDatabase } from "../harness/database.ts";
import { runRotationChild } from "../harness/rotation-child.ts";
import { failure, newDataDir, one, open, two } from "./fixture.ts";

setDefaultTimeout(30_000);

const foreign = "LLMOPS_SECRET_KEY is not the secret of this installation";

/** Every row of every table as text. */
async function dump(sql: Sql): Promise<string> {
  const tables = await sql<{ name: string }[]>`
    select table_name as name from information_schema.tables where table_schema = 'public'`;
  const texts: string[] = [];
  for (const { name } of tables) {
    const rows = await sql<{ text: string }[]>`select to_jsonb(t)::text as text from ${sql(name)} t`;
    texts.push(...rows.map(({ text }) => text));
  }
  return texts.join("\n");
}

test("makes one key per purpose, wrapped, and has the same ones at the next start", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const first = await open(sql, { key: one });
  const second = await open(sql, { key: one });
  expect(first.signKey).toHaveLength(32);
  expect(second.signKey).toEqual(first.signKey);
  expect(second.hash("a", "b")).toEqual(first.hash("a", "b"));
  const rows = await sql`select purpose, length(wrapped) as bytes from data_key order by purpose`;
  expect([...rows]).toEqual(["hash", "seal", "sign"].map((purpose) => ({ purpose, bytes: 61 })));
});

test("agrees on one key per purpose where three instances start at once, each with its own folder or all with one", async () => {
  await using database = await createDatabase();
  using folder = newDataDir();
  const { url } = database;
  const children = await Promise.all([1, 2, 3].map(() => runRotationChild({ url, dataDir: folder.dataDir })));
  const hashes = new Set(children.map(({ printed }) => printed));
  expect([...hashes]).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/) as never]);
  expect(await database.sql`select purpose from data_key`).toHaveLength(3);

  await using apart = await createDatabase();
  const pools = [1, 2, 3].map(() => createPool(apart.url, { size: 1 }));
  const keyrings = await Promise.all(pools.map((sql) => open(sql, { key: one })));
  expect(new Set(keyrings.map(({ signKey }) => Buffer.from(signKey).toString("hex"))).size).toBe(1);
  await Promise.all(pools.map((sql) => sql.end()));
});

test("is refused a second active key of one purpose by the database itself", async () => {
  await using database = await createDatabase();
  await open(database.sql, { key: one });
  const second = database.sql`
    insert into data_key select gen_random_uuid(), purpose, wrapped, wrapped_by, created_at from data_key`;
  expect(await failure(second)).toContain("data_key_purpose");
});

test("refuses a foreign secret by the name of its variable, and says what to set", async () => {
  await using database = await createDatabase();
  await open(database.sql, { key: one });
  const refused = await open(database.sql, { key: two }).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(StartupError);
  const { message } = refused as StartupError;
  expect(message).toContain(foreign);
  expect(message).toContain("LLMOPS_SECRET_KEY_PREVIOUS");
});

test("refuses a folder without the installation's secret, and makes none there", async () => {
  await using database = await createDatabase();
  using folder = newDataDir();
  const { dataDir } = folder;
  await open(database.sql, { key: one });
  const missing = await failure(open(database.sql, { dataDir }));
  expect(missing).toContain(`there is no secret in ${join(dataDir, "secret")}: set LLMOPS_SECRET_KEY`);
  expect(existsSync(join(dataDir, "secret"))).toBe(false);
  mkdirSync(dataDir, { recursive: true });
  writeFileSync(join(dataDir, "secret"), two, { mode: 0o600 });
  const other = await failure(open(database.sql, { dataDir }));
  expect(other).toContain("is not that of this installation: set LLMOPS_SECRET_KEY");
});

test("starts with the previous secret, warns to rotate, and wraps nothing by the new one alone", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const before = await open(sql, { key: one });
  await sql`delete from data_key where purpose = 'sign'`;
  const lines: string[] = [];
  const after = await open(sql, { key: two, previous: one }, lines);
  expect(after.hash("a", "b")).toEqual(before.hash("a", "b"));
  expect(lines.join("")).toContain("run 'llmops secret rotate'");
  const quiet: string[] = [];
  expect((await open(sql, { key: one }, quiet)).signKey).toEqual(after.signKey);
  expect(quiet).toEqual([]);
});

test("refuses a data key that was altered, or wrapped for another purpose or row", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  await open(sql, { key: one });
  const damaged = /the data key [0-9a-f-]{36} in the database was altered/;
  const [row] = await sql`select id, wrapped from data_key where purpose = 'hash'`;
  await sql`update data_key set wrapped = set_byte(wrapped, 30, get_byte(wrapped, 30) # 1) where id = ${row?.id}`;
  expect(await failure(open(sql, { key: one }))).toMatch(damaged);
  const wrapped = wrapKey(one, { id: row?.id, purpose: "sign" }, new Uint8Array(32));
  await sql`update data_key set ${sql({ ...wrapped })} where id = ${row?.id}`;
  expect(await failure(open(sql, { key: one }))).toMatch(damaged);
});

test("hashes with HMAC-SHA256 under the label, so that labels and texts never run together", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const { hash } = await open(sql, { key: one });
  const all = [hash("c", "ab"), hash("bc", "a"), hash(":c", "ab"), hash("c", "app_key"), hash("", "c")];
  expect(new Set(all.map((each) => Buffer.from(each).toString("hex"))).size).toBe(all.length);
  for (const each of all) expect(each).toHaveLength(32);

  const [row] = await sql`select id from data_key where purpose = 'hash'`;
  const key = Buffer.alloc(32, 7);
  const known = wrapKey(one, { id: row?.id, purpose: "hash" }, key);
  await sql`update data_key set ${sql({ ...known })} where id = ${row?.id}`;
  const keyed = await open(sql, { key: one });
  const expected = createHmac("sha256", key).update("7:app_key:密钥").digest();
  expect(Buffer.from(keyed.hash("密钥", "app_key")).equals(expected)).toBe(true);
});

test("opens what it sealed, also at the next start, and never seals the same twice", async () => {
  await using database = await createDatabase();
  const keyring = await open(database.sql, { key: one });
  const restarted = await open(database.sql, { key: one });
  const context = "oidc.client_secret";
  for (const text of ["", "sk-123", "密钥 🔑", "x".repeat(100_000)]) {
    const [sealed, again] = [keyring.seal(text, context), keyring.seal(text, context)];
    for (const each of [sealed, again]) expect(keyring.open(each, context) === text).toBe(true);
    expect(restarted.open(sealed, context) === text).toBe(true);
    expect(Buffer.compare(sealed, again)).not.toBe(0);
  }
});

test("opens nothing that was altered in a single byte, cut short, or sealed for another context or by another key", async () => {
  await using database = await createDatabase();
  await using elsewhere = await createDatabase();
  const keyring = await open(database.sql, { key: one });
  const other = await open(elsewhere.sql, { key: one });
  const sealed = keyring.seal("canary", "provider.key");
  const opening = (bytes: Uint8Array, context = "provider.key", by = keyring) => {
    try {
      return by.open(bytes, context);
    } catch (error) {
      return Bun.inspect(error);
    }
  };
  expect(opening(sealed)).toBe("canary");
  for (let at = 0; at < sealed.length; at++) {
    const altered = Uint8Array.from(sealed);
    altered[at] = (altered[at] ?? 0) ^ 1;
    expect(opening(altered), `byte ${at}`).toContain("a sealed value does not open");
    expect(opening(sealed.subarray(0, at)), `first ${at} bytes`).toContain("a sealed value does not open");
  }
  for (const answer of [
    opening(sealed, "provider.kez"),
    opening(sealed, ""),
    opening(sealed, "provider.key", other),
  ]) {
    expect(answer).toContain("a sealed value does not open");
    expect(answer).not.toContain("canary");
  }
});

test("opens what a retired key has sealed, and seals with the active one", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const old = (await open(sql, { key: one })).seal("kept", "c");
  await sql`update data_key set retired_at = now() where purpose = 'seal'`;
  const keyring = await open(sql, { key: one });
  expect(keyring.open(old, "c")).toBe("kept");
  const fresh = keyring.seal("new", "c");
  expect(fresh.slice(0, 17)).not.toEqual(old.slice(0, 17));
  expect(keyring.open(fresh, "c")).toBe("new");
});

test("leaves secret, keys and what was sealed out of the database, the log and every error", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const secret = `canary-${newId()}-secret`;
  const previous = `canary-${newId()}-previous`;
  const plaintext = `canary-${newId()}-plaintext`;
  const lines: string[] = [];
  const keyring = await open(sql, { key: secret }, lines);
  const sealed = keyring.seal(plaintext, "c");
  await sql`create table sealed as select ${sealed}::bytea as value`;
  await open(sql, { key: two, previous: secret }, lines);
  const errors: unknown[] = [];
  const keep = (error: unknown) => void errors.push(error);
  await open(sql, { key: previous, previous: two }, lines).catch(keep);
  await sql`update data_key set wrapped_by = 'x'`;
  await open(sql, { key: secret, previous }, lines).catch(keep);
  expect(errors).toHaveLength(2);

  const seen = [await dump(sql), ...lines, ...errors.map((error) => Bun.inspect(error))].join("\n");
  expect(seen).toContain("wrapped_by");
  for (const text of [secret, previous, plaintext]) {
    for (const form of ["utf8", "hex", "base64", "base64url"] as const) {
      expect(seen).not.toContain(Buffer.from(text).toString(form));
    }
  }
  for (const form of ["hex", "base64", "base64url"] as const) {
    expect(seen).not.toContain(Buffer.from(keyring.signKey).toString(form));
  }
});
