import { createHmac } from "node:crypto";
import type { Actor } from "../../src/auth/principal.ts";
import type { Sql } from "../../src/database/pool.ts";
import { newId } from "../../src/id.ts";
import { type AuditEntry, createAuditService } from "../../src/services/audit.ts";
import { type Audit, listAuditChain } from "../../src/sql/audit.ts";
import { createDatabase, type TestDatabase } from "../harness/database.ts";

/** The time at which all entries are written. */
export const at = new Date("2026-11-23T08:00:00.123Z");
/** Somebody with everything that is known of an actor. */
export const actor: Actor = {
  kind: "account",
  id: newId(),
  name: "a@b.cd",
  ip: "203.0.113.7",
  requestId: newId(),
};

const keyring = {
  hash: (text: string, label: string) =>
    createHmac("sha256", "the installation's")
      .update(label + text)
      .digest(),
};
/** The service, with a key of the tests in the place of the installation's. */
export const serviceOver = (sql: Sql) => createAuditService({ sql, clock: { now: () => at }, keyring });

/** A change of an app. */
export const entry = (fields: Partial<AuditEntry> = {}): AuditEntry => ({
  actor,
  action: "app.update",
  subjectKind: "app",
  subjectId: newId(),
  before: { name: "bot" },
  after: { name: "translator" },
  ...fields,
});

/** A database with `count` entries, of which app names are `app 1`, `app 2` … */
export async function withEntries(count: number): Promise<TestDatabase> {
  const database = await createDatabase();
  const audit = serviceOver(database.sql);
  for (let i = 1; i <= count; i++) {
    await database.sql.begin((tx) => audit.record(tx, entry({ after: { name: `app ${i}` } })));
  }
  return database;
}

/** All entries in the order of the chain. */
export const entries = (sql: Sql): Promise<Audit[]> => listAuditChain(sql, { after: 0, limit: 1000 });
