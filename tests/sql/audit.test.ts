import { expect, test } from "bun:test";
import type { Sql } from "../../src/database/pool.ts";
import { newId } from "../../src/id.ts";
import { type Audit, insertAudit, listAudit, listAuditChain } from "../../src/sql/audit.ts";
import { createDatabase } from "../harness/database.ts";

const start = Date.parse("2026-11-23T08:00:00.000Z");
const bytes = (seq: number) => Buffer.alloc(32, seq);

/** Stores entries 1, 2, 3 … as they are, without a chain's head. */
async function insertMany(sql: Sql, entries: Partial<Audit>[]): Promise<Audit[]> {
  const all = entries.map((entry, index) => ({
    seq: index + 1,
    id: newId(),
    at: new Date(start + index * 1000),
    actor_kind: "cli" as const,
    actor_id: null,
    actor_name: null,
    ip: null,
    request_id: null,
    action: "app.update",
    subject_kind: "app",
    subject_id: null,
    before: null,
    after: null,
    prev_hash: bytes(index),
    hash: bytes(index + 1),
    ...entry,
  }));
  for (const entry of all) await insertAudit(sql, entry);
  return all;
}

const seqs = (entries: Audit[]) => entries.map(({ seq }) => seq);

test.each([
  ["an entry is changed", "update audit set action = 'x'"],
  ["nothing is changed", "update audit set action = 'x' where false"],
  [
    "an entry is changed by an upsert",
    "insert into audit select * from audit on conflict (seq) do update set action = 'x'",
  ],
  ["an entry is deleted", "delete from audit where seq = 1"],
  ["all are deleted at once", "truncate audit"],
  ["the head is deleted", "delete from audit_head"],
  ["the head is truncated", "truncate audit_head"],
  ["the head is put back", "update audit_head set seq = 0"],
  ["the head skips a number", "update audit_head set seq = 5"],
])("is refused by the database itself where %s", async (_, statement) => {
  await using database = await createDatabase();
  const { sql } = database;
  await insertMany(sql, [{}, {}]);
  await sql`update audit_head set seq = 1`;
  const before = await sql`select * from audit order by seq`;
  const refused = await sql.unsafe(statement).catch((error: unknown) => error);
  expect(refused).toMatchObject({
    code: "42501",
    message: expect.stringMatching(/^audit(_head)? is append-only$/),
  });
  expect(await sql`select * from audit order by seq`).toEqual(before);
  expect([...(await sql`select seq from audit_head`)]).toEqual([{ seq: "1" }]);
});

test("is refused by the database itself where two entries follow the same one, and where there is a second head", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  await insertMany(sql, [{}]);
  const fork = await insertMany(sql, [{ seq: 2 }]).catch((error: unknown) => error);
  expect(fork).toMatchObject({ constraint_name: "audit_prev_hash_key" });
  const head = await sql`insert into audit_head (seq, hash) values (0, ${bytes(0)})`.catch(
    (error: unknown) => error,
  );
  expect(head).toMatchObject({ constraint_name: "audit_head_pkey" });
});

test("comes back as it was stored, newest first or in the order of the chain, a page at a time", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const before = {
    name: "机器人 🤖",
    config: { parameters: { temperature: 1e-7, stop: ["\n", '"'] } },
    empty: null,
  };
  const entries = await insertMany(sql, [
    {
      actor_kind: "account",
      actor_id: newId(),
      actor_name: "a@b.cd",
      ip: "::1",
      request_id: newId(),
      before,
      after: {},
    },
    {},
    {},
  ]);
  expect(await listAuditChain(sql, { after: 0, limit: 10 })).toEqual(entries as never);
  expect(seqs(await listAuditChain(sql, { after: 1, limit: 1 }))).toEqual([2]);
  expect(seqs(await listAudit(sql, { limit: 2 }))).toEqual([3, 2]);
  expect(seqs(await listAudit(sql, { limit: 2, before: entries[1]?.id ?? "" }))).toEqual([1]);
  expect(await listAudit(sql, { limit: 2, before: newId() })).toEqual([]);
});

test("lists by each filter alone and by all together; a time is from it on, and up to before it", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  const [actorId, subjectId] = [newId(), newId()];
  const known = { actor_id: actorId, action: "app.delete", subject_kind: "app", subject_id: subjectId };
  await insertMany(sql, [
    { ...known },
    { ...known, actor_id: newId() },
    { ...known, action: "app.create" },
    { ...known, subject_kind: "account" },
    { ...known, subject_id: newId() },
    { ...known },
  ]);
  const list = async (filter: object) => seqs(await listAudit(sql, { ...filter, limit: 100 }));
  expect(await list({ actorId })).toEqual([6, 5, 4, 3, 1]);
  expect(await list({ action: "app.delete" })).toEqual([6, 5, 4, 2, 1]);
  expect(await list({ subjectKind: "app" })).toEqual([6, 5, 3, 2, 1]);
  expect(await list({ subjectId })).toEqual([6, 4, 3, 2, 1]);
  const [from, to] = [new Date(start + 1000), new Date(start + 5000)];
  expect(await list({ from })).toEqual([6, 5, 4, 3, 2]);
  expect(await list({ to })).toEqual([5, 4, 3, 2, 1]);
  const all = { actorId, action: "app.delete", subjectKind: "app", subjectId };
  expect(await list(all)).toEqual([6, 1]);
  expect(await list({ ...all, to })).toEqual([1]);
  expect(await list({ action: "app.%" })).toEqual([]);
});
