import { expect, test } from "bun:test";
import type { Actor } from "../../src/auth/principal.ts";
import { createPool } from "../../src/database/pool.ts";
import { newId } from "../../src/id.ts";
import { canonicalJson, maskSecrets } from "../../src/services/audit-entry.ts";
import { createDatabase } from "../harness/database.ts";
import { actor, at, entries, entry, serviceOver, withEntries } from "./audit-fixture.ts";

test("writes down who, what and when in the caller's transaction, and nothing where that is undone", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const audit = serviceOver(sql);
  const subjectId = newId();
  await sql.begin((tx) => audit.record(tx, entry({ subjectId })));
  const undone = sql.begin(async (tx) => {
    await audit.record(tx, entry());
    throw new Error("undone");
  });
  expect(await undone.catch((error: Error) => error.message)).toBe("undone");
  await sql.begin((tx) =>
    audit.record(tx, entry({ actor: { kind: "system" }, subjectId: null, before: null })),
  );

  const [first, second, ...more] = await entries(sql);
  expect(more).toEqual([]);
  expect(first).toMatchObject({
    seq: 1,
    at,
    actor_kind: "account",
    actor_id: actor.id,
    actor_name: "a@b.cd",
    ip: "203.0.113.7",
    request_id: actor.requestId,
    action: "app.update",
    subject_kind: "app",
    subject_id: subjectId,
    before: { name: "bot" },
    after: { name: "translator" },
  });
  expect(second).toMatchObject({ seq: 2, actor_kind: "system", actor_id: null, ip: null, before: null });
  expect(second?.prev_hash).toEqual(first?.hash as Uint8Array);
  expect(await audit.verify()).toEqual({ count: 2, hash: Buffer.from(second?.hash ?? "").toString("hex") });
});

test("keeps one chain where three pools write at once", async () => {
  await using database = await createDatabase();
  const pools = [1, 2, 3].map(() => createPool(database.url, { size: 4 }));
  const writing = pools.flatMap((sql) =>
    Array.from({ length: 20 }, () => sql.begin((tx) => serviceOver(sql).record(tx, entry()))),
  );
  await Promise.all(writing);
  expect(await serviceOver(database.sql).verify()).toMatchObject({ count: 60 });
  expect((await entries(database.sql)).map(({ seq }) => seq)).toEqual(
    Array.from({ length: 60 }, (_, i) => i + 1),
  );
  await Promise.all(pools.map((sql) => sql.end()));
});

test("finds nothing wrong with values that JSON, JavaScript and PostgreSQL write differently", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const audit = serviceOver(sql);
  const config = JSON.parse(
    '{"b":1,"a":[1e21,1e-7,0.1,-0,5e-324,1.7976931348623157e308,9007199254740993],"__proto__":{"x":null},"é":"\\u00e9\\ud83e\\udd16","":""}',
  );
  const odd = { name: "a\0b\ud800c", config, created_at: at, updated_at: undefined, icon: null };
  const strange: Actor = { ...actor, id: newId().toUpperCase(), name: "\ud800\0", ip: "\n" };
  await sql.begin((tx) =>
    audit.record(tx, entry({ actor: strange, subjectId: newId().toUpperCase(), before: odd })),
  );
  expect(await audit.verify()).toMatchObject({ count: 1 });
  const [stored] = await entries(sql);
  expect(stored?.before).toMatchObject({ name: "a\ufffdb\ufffdc", created_at: at.toISOString(), icon: null });
  expect(await audit.verify()).not.toHaveProperty("broken");
});

test("masks every field that is not known to hold no secret, in every kind of subject", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const audit = serviceOver(sql);
  const canary = `canary-${newId()}`;
  const hidden = {
    password_hash: canary,
    secret: canary,
    deep: { list: [canary] },
    bytes: Buffer.from(canary),
    unset: null,
  };
  const kinds = ["app", "app_key", "app_member", "account", "session", "oidc", "secret"] as const;
  for (const subjectKind of kinds) {
    await sql.begin((tx) =>
      audit.record(tx, entry({ subjectKind, before: hidden, after: { ...hidden, role: "x" } })),
    );
  }
  const rows = await sql<{ text: string }[]>`select to_jsonb(audit)::text as text from audit`;
  expect(rows).toHaveLength(kinds.length);
  for (const { text } of rows) {
    expect(text).not.toContain(canary);
    expect(text).not.toContain(Buffer.from(canary).toString("base64"));
  }
  const [first] = await entries(sql);
  expect(first?.before).toEqual({
    password_hash: "***",
    secret: "***",
    deep: "***",
    bytes: "***",
    unset: null,
  });
});

test("says that a secret was changed, and no more", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const audit = serviceOver(sql);
  const before = { email: "a@b.cd", password_hash: "one", other: new Uint8Array([1]) };
  const after = { email: "a@b.cd", password_hash: "two", other: new Uint8Array([1]) };
  await sql.begin((tx) => audit.record(tx, entry({ subjectKind: "account", before, after })));
  const [stored] = await entries(sql);
  expect(stored?.before).toEqual({ email: "a@b.cd", password_hash: "***", other: "***" });
  expect(stored?.after).toEqual({ email: "a@b.cd", password_hash: "*** (changed)", other: "***" });
});

test("shows an unknown kind of subject nothing but what is unset", () => {
  expect(maskSecrets("constructor" as never, { name: "x", id: null })).toEqual({ name: "***", id: null });
});

test("has the same text for equal values, whatever the order of their keys", () => {
  expect(canonicalJson({ b: [1, { d: null, c: "\n" }], a: true, Z: "é" })).toBe(
    '{"Z":"é","a":true,"b":[1,{"c":"\\n","d":null}]}',
  );
});

test("lists pages that meet without a gap, also while entries are added", async () => {
  await using database = await withEntries(5);
  const audit = serviceOver(database.sql);
  const first = await audit.list({ limit: 2 });
  await database.sql.begin((tx) => audit.record(tx, entry()));
  const second = await audit.list({ limit: 2, before: first.nextCursor ?? "" });
  const third = await audit.list({ limit: 2, before: second.nextCursor ?? "" });
  const pages = [first, second, third].map(({ items }) => items.map(({ seq }) => seq));
  expect(pages).toEqual([[5, 4], [3, 2], [1]]);
  expect(third.nextCursor).toBeNull();
});

test("finds a subject by its id in either case", async () => {
  await using database = await createDatabase();
  const audit = serviceOver(database.sql);
  const subjectId = newId().toUpperCase();
  await database.sql.begin((tx) => audit.record(tx, entry({ subjectId })));
  for (const id of [subjectId, subjectId.toLowerCase()]) {
    expect((await audit.list({ subjectId: id, limit: 5 })).items).toHaveLength(1);
  }
});
