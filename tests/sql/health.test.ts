import { describe, expect, test } from "bun:test";
import { loadConfig } from "../../src/config/config.ts";
import { createContext } from "../../src/context.ts";
import { watchDatabase } from "../../src/database/health.ts";
import { createPool, createRenewablePool } from "../../src/database/pool.ts";
import { FailError } from "../../src/errors/app-error.ts";
import type { Envelope } from "../../src/errors/envelope.ts";
import { toRequest } from "../harness/app.ts";
import { createDatabase } from "../harness/database.ts";
import { createTestLog } from "../harness/log.ts";
import { startTcpProxy, type TcpProxy } from "../harness/tcp-proxy.ts";

/** Within this a call must have ended, and after that a database that is back must be in use again; milliseconds. */
const failWithinMs = 2000;
const recoverWithinMs = 10_000;

/** The ways a database goes away, and how each ends. */
const outages: [what: string, begin: (proxy: TcpProxy) => void, end: (proxy: TcpProxy) => void][] = [
  ["is cut off", (proxy) => proxy.cut(), (proxy) => proxy.restore()],
  ["falls silent", (proxy) => proxy.stall(), (proxy) => proxy.restore()],
  [
    "vanishes, its connections with it,",
    (proxy) => proxy.stall(),
    (proxy) => proxy.restore({ forget: true }),
  ],
];

const elapsed = async (work: () => Promise<unknown>) => {
  const started = performance.now();
  await work();
  return performance.now() - started;
};

/** What a call threw. */
const failure = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    (value) => Promise.reject(new Error(`no failure: ${value}`)),
    (error: unknown) => error,
  );

/** A database behind a proxy, a pool and a watch over it. */
async function startWatched() {
  await using building = new AsyncDisposableStack();
  const database = building.use(await createDatabase());
  const proxy = building.use(await startTcpProxy(database.url));
  const { log, next, text } = createTestLog();
  const pool = createRenewablePool(() => createPool(proxy.url, { size: 2, arrays: false }));
  building.defer(() => pool.end(0));
  const probe = createRenewablePool(() => createPool(proxy.url, { size: 1, arrays: false }));
  const health = building.use(watchDatabase({ probe, pool, log }));
  const { sql } = pool;
  const service = health.guard({
    ask: async (value: number) => (await sql<{ value: number }[]>`select ${value}::int as value`)[0]?.value,
    wait: async () => sql`select pg_sleep(60)`,
    refuse: async () => sql`select 1 / 0`,
    fail: async () => {
      throw new RangeError("a bug");
    },
  });
  const built = building.move();
  return { database, proxy, health, service, next, text, [Symbol.asyncDispose]: () => built.disposeAsync() };
}

describe("the watch over the database", () => {
  for (const [what, begin, end] of outages) {
    test(`ends every waiting call within 2 s where the database ${what} and lets calls through within 10 s of its return`, async () => {
      await using it = await startWatched();
      expect(await it.service.ask(7)).toBe(7);
      begin(it.proxy);
      const ms = await elapsed(async () => {
        const ended = await Promise.allSettled([
          it.service.ask(0),
          it.service.ask(1),
          it.service.ask(2),
          it.service.ask(3),
        ]);
        for (const each of ended) {
          expect(each).toMatchObject({
            status: "rejected",
            reason: { code: "FAIL", key: "database.unreachable" },
          });
          expect((each as PromiseRejectedResult).reason).toBeInstanceOf(FailError);
        }
      });
      expect(ms).toBeLessThan(failWithinMs);

      if (it.health.up) await it.next("database cannot be reached");
      expect(
        await elapsed(async () => expect(await failure(it.service.ask(4))).toBeInstanceOf(FailError)),
      ).toBeLessThan(failWithinMs / 2);

      const back = it.next("database is back");
      end(it.proxy);
      const recovery = await elapsed(async () => {
        await back;
        expect(it.health.up).toBe(true);
        expect(await it.service.ask(8)).toBe(8);
        expect(await Promise.all([1, 2, 3, 4].map((value) => it.service.ask(value)))).toEqual([1, 2, 3, 4]);
      });
      expect(recovery).toBeLessThan(recoverWithinMs);
      expect(it.text().match(/database is back/g)).toHaveLength(1);
      expect(it.text().match(/database cannot be reached/g)).toHaveLength(1);
    }, 20_000);
  }

  test("lets a statement's own failure and a bug through as they are", async () => {
    await using it = await startWatched();
    expect(await failure(it.service.refuse())).toMatchObject({ code: "22012" });
    expect(await failure(it.service.fail())).toBeInstanceOf(RangeError);
    expect(it.health.up).toBe(true);
  });

  test("ends a call with FailError where the server ends its connection, and serves the next", async () => {
    await using it = await startWatched();
    const ended = failure(it.service.wait());
    const { sql } = it.database;
    const busy = async () =>
      (
        await sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and query like '%pg_sleep%' and state = 'active' and pid <> pg_backend_pid()`
      ).count > 0;
    while (!(await busy()));
    expect(await ended).toBeInstanceOf(FailError);
    expect(await it.service.ask(5)).toBe(5);
  });
});

describe("the service", () => {
  for (const [what, begin, end] of outages) {
    test(`answers FAIL within 2 s while its database ${what} and works again within 10 s of its return`, async () => {
      await using database = await createDatabase();
      await using proxy = await startTcpProxy(database.url);
      const { log, next, text } = createTestLog();
      const environment = { DATABASE_URL: proxy.url, DATABASE_POOL_SIZE: "3" };
      await using context = await createContext(loadConfig({ environment, dev: true }), log);
      const call = async (method: string, path: string, body?: object) => {
        const response = await context.app.fetch(toRequest(method, path, body && { body }));
        return { http: response.status, ...((await response.json()) as Envelope) };
      };
      expect((await call("GET", "/readyz")).http).toBe(200);
      const { data: made } = await call("POST", "/app", { name: "kept" });

      const away = next("database cannot be reached");
      begin(proxy);
      const fail = { http: 200, code: "FAIL", message: "数据库暂时无法访问,请稍后重试", data: {} } as const;
      const ms = await elapsed(async () => {
        // More at once than the pool has connections.
        const answers = await Promise.all([
          call("GET", "/app"),
          call("POST", "/app", { name: "lost" }),
          call("GET", "/app"),
          call("GET", "/app"),
          call("GET", "/ping"),
        ]);
        expect(answers).toEqual([fail, fail, fail, fail, fail]);
      });
      expect(ms).toBeLessThan(failWithinMs);
      await away;

      const probes = await elapsed(async () => {
        expect(await call("GET", "/ping")).toEqual(fail);
        expect(await call("GET", "/readyz")).toMatchObject({
          http: 503,
          database: "down",
          draining: false,
        });
        expect((await context.app.fetch(toRequest("GET", "/healthz"))).status).toBe(200);
        expect(await call("POST", "/app/completion", { query: "hi", model: "echo" })).toMatchObject({
          code: "SUCCESS",
        });
        expect(await call("GET", "/app/1")).toMatchObject({ code: "VALIDATE_ERROR" });
      });
      expect(probes).toBeLessThan(failWithinMs);

      const back = next("database is back");
      end(proxy);
      const recovery = await elapsed(async () => {
        await back;
        expect(await call("GET", "/readyz")).toMatchObject({ http: 200, status: "ready", database: "up" });
        const { id } = made as { id: string };
        expect(await call("GET", `/app/${id}`)).toMatchObject({ code: "SUCCESS", data: made as object });
        const answers = await Promise.all(Array.from({ length: 8 }, () => call("GET", "/app")));
        expect(answers.map(({ code }) => code)).toEqual(Array(8).fill("SUCCESS"));
      });
      expect(recovery).toBeLessThan(recoverWithinMs);
      expect(text()).not.toContain("internal.failed");
      expect(text()).not.toContain('"code":"08');
    }, 25_000);
  }
});
