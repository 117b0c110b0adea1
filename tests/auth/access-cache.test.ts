import { expect, test } from "bun:test";
import { watchAccess } from "../../src/auth/access-cache.ts";
import { createPool } from "../../src/database/pool.ts";
import { FailError } from "../../src/errors/app-error.ts";
import { createDatabase } from "../harness/database.ts";
import { until } from "../harness/people.ts";
import { startTcpProxy } from "../harness/tcp-proxy.ts";

/** A cache over a listener whose connection a test can silence, with a clock that it can put forward. */
async function startWatch() {
  const database = await createDatabase();
  const proxy = await startTcpProxy(database.url);
  const clock = { skewMs: 0 };
  const changes = await watchAccess({
    sql: database.sql,
    listener: createPool(proxy.url, { size: 1, arrays: false }),
    now: () => performance.now() + clock.skewMs,
  });
  let loads = 0;
  const answers = { away: false };
  const cache = changes.cache(async (id) => {
    if (answers.away) throw new FailError("database.unreachable");
    return { value: ++loads, subjects: [`key:${id}`] };
  });
  let others = 0;
  const other = changes.cache(async (id) => ({ value: ++others, subjects: [`key:${id}`] }));
  return {
    sql: database.sql,
    proxy,
    clock,
    /** Whether a load is told that the database is away. */
    answers,
    get: cache.get,
    /** Whether another cache, whose loads always succeed, trusts what it remembers. */
    heard: async () => {
      const before = others;
      await other.get("b");
      return others === before;
    },
    /** Whether the next look needs no load. */
    remembers: async (id = "a") => {
      const before = loads;
      await cache.get(id);
      return loads === before;
    },
    async [Symbol.asyncDispose]() {
      await changes[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
    },
  };
}

test("remembers what it has looked up while it hears of changes", async () => {
  await using watch = await startWatch();
  await until(watch.remembers);
  expect(await watch.remembers()).toBe(true);
});

test("forgets what a notification names, and nothing else", async () => {
  await using watch = await startWatch();
  await until(watch.remembers);
  await until(() => watch.remembers("b"));
  await watch.sql`select pg_notify('llmops_access', 'key:a')`;
  await until(async () => !(await watch.remembers("a")));
  expect(await watch.remembers("b")).toBe(true);
});

test("asks the database each time once nothing was heard for a second, though the connection is open", async () => {
  await using watch = await startWatch();
  await until(watch.remembers);
  watch.proxy.stall();
  watch.clock.skewMs += 1000;
  expect(await watch.remembers()).toBe(false);
  expect(await watch.remembers()).toBe(false);
  watch.proxy.restore();
  await until(watch.remembers);
});

test("forgets everything when a lost connection is back: what was said in between was not heard", async () => {
  await using watch = await startWatch();
  await until(watch.remembers);
  watch.proxy.cut();
  watch.proxy.restore();
  await until(async () => !(await watch.remembers()));
  await until(watch.remembers);
});

test("while the database is away, goes on with what it knew for ten minutes from when it last heard anything, however long ago it was looked up", async () => {
  await using watch = await startWatch();
  await until(watch.remembers);
  const known = await watch.get("a");
  watch.clock.skewMs += 3600_000;
  // It hears again, and has not looked at `a` since.
  await until(() => watch.remembers("b"));
  watch.answers.away = true;
  watch.proxy.stall();
  watch.clock.skewMs += 9 * 60_000;
  expect(await watch.get("a")).toBe(known);
  watch.clock.skewMs += 2 * 60_000;
  expect(watch.get("a")).rejects.toBeInstanceOf(FailError);
});

test("goes on with what was known while a connection is back and the database is not found to be back yet", async () => {
  await using watch = await startWatch();
  await until(watch.remembers);
  await until(watch.heard);
  const known = await watch.get("a");
  watch.answers.away = true;
  watch.proxy.cut();
  watch.proxy.restore();
  const stays = async () => expect(await watch.get("a")).toBe(known);
  await until(async () => {
    await stays();
    return !(await watch.heard());
  });
  await until(async () => {
    await stays();
    return watch.heard();
  });
  watch.answers.away = false;
  expect(await watch.get("a")).not.toBe(known);
});
