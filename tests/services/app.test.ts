import { expect, test } from "bun:test";
import type { Principal } from "../../src/auth/principal.ts";
import { NotFoundError } from "../../src/errors/app-error.ts";
import { newId } from "../../src/id.ts";
import { openKeyring } from "../../src/keyring/keyring.ts";
import { silentLog } from "../../src/log.ts";
import { createAppService } from "../../src/services/app.ts";
import { createAuditService } from "../../src/services/audit.ts";
import { createDatabase } from "../harness/database.ts";

/** A service over a database and a clock of its own. */
async function start() {
  const database = await createDatabase();
  let now = new Date("2026-01-02T03:04:05.678Z");
  const { sql } = database;
  const clock = { now: () => now };
  const secret = { key: "a secret of the tests, 32 bytes long or more", previous: undefined, dataDir: "" };
  const keyring = await openKeyring({ sql, secret, clock, log: silentLog });
  const apps = createAppService({ sql, clock, audit: createAuditService({ sql, clock, keyring }) });
  return {
    apps,
    set: (time: string) => {
      now = new Date(time);
    },
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

const person = (seesAll = false): Principal => {
  const id = newId();
  return {
    accountId: id,
    role: seesAll ? "admin" : "editor",
    seesAll,
    sessionId: newId(),
    actor: { kind: "account", id },
  };
};

test("stamps what it makes, changes and deletes with the clock's time, to the millisecond", async () => {
  await using it = await start();
  const owner = person();
  const made = await it.apps.create(owner, {});
  it.set("2026-05-06T07:08:09.012Z");
  const changed = await it.apps.update(owner, made.id, { name: "x" });
  expect([changed.created_at.toISOString(), changed.updated_at.toISOString()]).toEqual([
    "2026-01-02T03:04:05.678Z",
    "2026-05-06T07:08:09.012Z",
  ]);
  it.set("2026-09-09T09:09:09.009Z");
  expect(await it.apps.update(owner, made.id, {})).toEqual(changed);
  expect(await it.apps.get(owner, made.id)).toEqual(changed);
});

test("shows an owner their own apps and nobody else's, and lets them touch no other", async () => {
  await using it = await start();
  const [mine, theirs] = [person(), person()];
  const own = await it.apps.create(mine, { name: "own" });
  const other = await it.apps.create(theirs, { name: "other" });
  expect(own.account_id).toBe(mine.accountId);
  expect((await it.apps.list(mine, { limit: 10 })).items).toEqual([own]);
  expect((await it.apps.list(mine, { limit: 10, search: "other" })).items).toEqual([]);
  const refused = await Promise.allSettled([
    it.apps.get(mine, other.id),
    it.apps.update(mine, other.id, { name: "stolen" }),
    it.apps.update(mine, other.id, {}),
    it.apps.delete(mine, other.id),
  ]);
  for (const each of refused) {
    expect(each.status).toBe("rejected");
    expect((each as PromiseRejectedResult).reason).toBeInstanceOf(NotFoundError);
  }
  expect(await it.apps.get(theirs, other.id)).toEqual(other);
});

test("shows everybody's apps to who may see all, and lets them change these without becoming the owner", async () => {
  await using it = await start();
  const [admin, owner] = [person(true), person()];
  const app = await it.apps.create(owner, { name: "theirs" });
  expect((await it.apps.list(admin, { limit: 10 })).items).toEqual([app]);
  const changed = await it.apps.update(admin, app.id, { name: "changed" });
  expect(changed).toMatchObject({ name: "changed", account_id: owner.accountId });
  await it.apps.delete(admin, app.id);
  const gone = await it.apps.get(owner, app.id).catch((error: unknown) => error);
  expect(gone).toBeInstanceOf(NotFoundError);
});

test("pages through one owner's apps only, though others' lie between them", async () => {
  await using it = await start();
  const [mine, theirs] = [person(), person()];
  const own: string[] = [];
  for (let i = 0; i < 5; i++) {
    own.unshift((await it.apps.create(mine, {})).id);
    await it.apps.create(theirs, {});
  }
  const first = await it.apps.list(mine, { limit: 3 });
  const second = await it.apps.list(mine, { limit: 3, before: first.nextCursor ?? "" });
  expect([...first.items, ...second.items].map(({ id }) => id)).toEqual(own);
  expect([first.nextCursor, second.nextCursor]).toEqual([own[2] as string, null]);
});
