import { expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import type { Sql } from "../../src/database/pool.ts";
import { newId } from "../../src/id.ts";
import { createAuditService } from "../../src/services/audit.ts";
import { hashEntry } from "../../src/services/audit-entry.ts";
import type { TestDatabase } from "../harness/database.ts";
import { at, entries, serviceOver, withEntries } from "./audit-fixture.ts";

/** What somebody with all rights on the database can do. */
async function tamper({ sql }: TestDatabase, work: (sql: Sql) => Promise<unknown>): Promise<void> {
  await sql`alter table audit disable trigger all`;
  await sql`alter table audit_head disable trigger all`;
  await work(sql);
}

/** Writes the chain anew from `seq` on, so that every entry fits the one before. */
async function rechain(sql: Sql, from: number): Promise<void> {
  const all = await entries(sql);
  let prev: Uint8Array = all[from - 2]?.hash ?? new Uint8Array(32);
  for (const each of all.slice(from - 1)) {
    const hash = hashEntry({ ...each, prev_hash: prev });
    await sql`update audit set prev_hash = ${prev}, hash = ${hash} where seq = ${each.seq}`;
    prev = hash;
  }
  await sql`update audit_head set hash = ${prev}`;
}

test("walks a log longer than one step, and tells how far it is", async () => {
  await using database = await withEntries(450);
  const steps: number[] = [];
  const found = await serviceOver(database.sql).verify((count) => steps.push(count));
  expect(found).toMatchObject({ count: 450 });
  expect(found).not.toHaveProperty("broken");
  expect(steps).toEqual([200, 400, 450]);
});

test.each<[string, string, number, number, (sql: Sql) => Promise<unknown>]>([
  [
    "altered",
    "a field is edited",
    1,
    2,
    (sql) => sql`update audit set after = '{"name":"app 9"}' where seq = 2`,
  ],
  [
    "altered",
    "an actor is replaced",
    1,
    2,
    (sql) => sql`update audit set actor_id = gen_random_uuid() where seq = 2`,
  ],
  [
    "altered",
    "a time is moved by a millisecond",
    1,
    2,
    (sql) => sql`update audit set at = at + interval '1 ms' where seq = 2`,
  ],
  ["altered", "an address is removed", 2, 3, (sql) => sql`update audit set ip = null where seq = 3`],
  ["altered", "a hash is replaced", 4, 5, (sql) => sql`update audit set hash = sha256('x') where seq = 5`],
  ["missing", "the first entry is deleted", 0, 1, (sql) => sql`delete from audit where seq = 1`],
  ["missing", "an entry in the middle is deleted", 2, 3, (sql) => sql`delete from audit where seq = 3`],
  ["truncated", "the tail is deleted", 3, 4, (sql) => sql`delete from audit where seq > 3`],
  ["truncated", "all is deleted", 0, 1, (sql) => sql`delete from audit`],
  [
    "unlinked",
    "an entry is deleted and the numbers are closed up",
    2,
    3,
    async (sql) => {
      await sql`delete from audit where seq = 3`;
      for (const seq of [4, 5]) await sql`update audit set seq = ${seq - 1} where seq = ${seq}`;
    },
  ],
  [
    "unlinked",
    "two entries are swapped",
    1,
    2,
    async (sql) => {
      for (const [from, to] of [
        [2, 99],
        [3, 2],
        [99, 3],
      ] as const)
        await sql`update audit set seq = ${to} where seq = ${from}`;
    },
  ],
  [
    "altered",
    "two entries are swapped and linked again",
    1,
    2,
    async (sql) => {
      const [, two, three, four] = await entries(sql);
      await sql`update audit set seq = 99, prev_hash = sha256('x') where seq = 2`;
      await sql`update audit set seq = 2, prev_hash = ${two?.prev_hash as never} where seq = 3`;
      await sql`update audit set prev_hash = sha256('y') where seq = 4`;
      await sql`update audit set seq = 3, prev_hash = ${three?.hash as never} where seq = 99`;
      await sql`update audit set prev_hash = ${two?.hash as never} where seq = ${four?.seq as never}`;
    },
  ],
  [
    "unlinked",
    "an entry is edited and hashed again",
    2,
    3,
    async (sql) => {
      await sql`update audit set after = '{}' where seq = 2`;
      const [, edited] = await entries(sql);
      if (edited) await sql`update audit set hash = ${hashEntry(edited)} where seq = 2`;
    },
  ],
  [
    "forged",
    "an entry is edited and the whole chain is written anew",
    5,
    5,
    async (sql) => {
      await sql`update audit set after = '{}' where seq = 2`;
      await rechain(sql, 2);
    },
  ],
  [
    "forged",
    "the tail is deleted and the head put back",
    3,
    3,
    async (sql) => {
      await sql`delete from audit where seq > 3`;
      await sql`update audit_head set seq = 3, hash = (select hash from audit where seq = 3)`;
    },
  ],
  [
    "forged",
    "the head is emptied of its authentication",
    5,
    5,
    (sql) => sql`update audit_head set mac = null`,
  ],
  [
    "unaccounted",
    "an entry is added without the head",
    5,
    6,
    async (sql) => {
      const [last] = (await entries(sql)).slice(-1);
      if (!last) return;
      const added = { ...last, seq: 6, id: newId(), prev_hash: last.hash };
      const { before, after, ...row } = { ...added, hash: hashEntry(added) };
      await sql`insert into audit ${sql({ ...row, before: sql.json(before as never), after: sql.json(after as never) } as never)}`;
    },
  ],
])("finds %s where %s", async (fault, _, count, seq, work) => {
  await using database = await withEntries(5);
  const audit = serviceOver(database.sql);
  expect(await audit.verify()).not.toHaveProperty("broken");
  await tamper(database, work);
  expect(await audit.verify()).toMatchObject({ count, broken: { seq, fault } });
});

test("finds the log forged where another installation's key has written its end", async () => {
  await using database = await withEntries(2);
  const elsewhere = { hash: (text: string) => createHmac("sha256", "another's").update(text).digest() };
  const audit = createAuditService({ sql: database.sql, clock: { now: () => at }, keyring: elsewhere });
  expect(await audit.verify()).toMatchObject({ count: 2, broken: { seq: 2, fault: "forged" } });
});
