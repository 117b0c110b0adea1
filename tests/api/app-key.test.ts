import { describe, expect, test } from "bun:test";
import type { Sql } from "../../src/database/pool.ts";
import { startTestApp, type TestApp, toRequest } from "../harness/app.ts";
import { bearer, dataOf, type MadeKey, soonMs, startWithPeople, until } from "../harness/people.ts";
import { startTcpProxy } from "../harness/tcp-proxy.ts";

/** What `/v1` says to a key. */
const open = async (app: TestApp, key: string, headers: Record<string, string> = {}) =>
  (await app.fetch(toRequest("GET", "/v1/models", { headers: { ...bearer(key), ...headers } }))).status;

const refuses = (app: TestApp, key: string) => async () => (await open(app, key)) === 401;

/** Ends every connection that listens, and says how many there were. */
async function cutListeners(sql: Sql): Promise<number> {
  const rows = await sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and query ilike 'listen %'`;
  return rows.length;
}

test("shows a key once, and keeps no more of it than a keyed hash", async () => {
  await using app = await startWithPeople();
  const { appId, id, key, public_id } = await app.addKey(app.owner, { name: "website" });
  expect(key).toMatch(/^llmops-[0-9A-Za-z]{16}-[\w-]{43}$/);
  expect(key.split("-")[1]).toBe(public_id);
  expect(await open(app, key)).toBe(200);
  const { items } = dataOf(await app.owner.call<{ items: object[] }>("GET", `/app/${appId}/key`));
  expect(items).toEqual([
    {
      ...{ id, app_id: appId, name: "website", public_id, models: [], address_ranges: [] },
      ...{ created_at: expect.any(String), expires_at: null, used_at: null, revoked_at: null },
    },
  ]);
  const secret = key.slice(-43);
  const plain = new Bun.CryptoHasher("sha256").update(secret).digest("hex");
  const rows = await app.database.sql`
    select app_key::text as row from app_key union all select audit::text from audit`;
  const kept = JSON.stringify(rows) + app.logged();
  for (const each of [secret, Buffer.from(secret).toString("hex"), plain]) expect(kept).not.toContain(each);
});

test("lists keys newest first, revoked ones too, page by page", async () => {
  await using app = await startWithPeople();
  const { appId, id } = await app.addKey(app.owner);
  const ids = [id];
  for (let i = 0; i < 2; i++) {
    ids.unshift(dataOf(await app.owner.call<{ id: string }>("POST", `/app/${appId}/key`)).id);
  }
  await app.owner.call("POST", `/app/${appId}/key/${id}/delete`);
  type Page = { items: { id: string; revoked_at: string | null }[]; next_cursor: string | null };
  const first = dataOf(await app.owner.call<Page>("GET", `/app/${appId}/key?limit=2`));
  const path = `/app/${appId}/key?limit=2&cursor=${first.next_cursor}`;
  const second = dataOf(await app.owner.call<Page>("GET", path));
  expect([...first.items, ...second.items].map((each) => each.id)).toEqual(ids);
  expect(second.next_cursor).toBeNull();
  expect(second.items[0]?.revoked_at).toBeString();
});

test("refuses a query of the list that says one thing twice or is no UTF-8", async () => {
  await using app = await startWithPeople();
  const { appId } = await app.addKey(app.owner);
  for (const path of [`/app/${appId}/key`, "/account"]) {
    for (const query of ["limit=1&limit=1", "limit=0", "limit=101", "cursor=x", "unknown=1", "limit=%FF"]) {
      const { code } = await app.owner.call("GET", `${path}?${query}`);
      expect([path, query, code]).toEqual([path, query, "VALIDATE_ERROR"]);
    }
  }
});

test("keeps the old key open for the overlap, and the new one like it afterwards", async () => {
  let now = Date.now();
  await using app = await startWithPeople({ clock: { now: () => new Date(now) } });
  const fields = { name: "n", models: ["app"], address_ranges: ["127.0.0.0/8"] };
  const old = await app.addKey(app.owner, fields);
  expect(await open(app, old.key)).toBe(200);
  const rotated = await app.owner.call<MadeKey>("POST", `/app/${old.appId}/key/${old.id}/rotate`, {
    body: { overlap: 600 },
  });
  expect(rotated).toMatchObject({
    message: "密钥已经更换,旧密钥在 600 秒后失效;新密钥只显示这一次",
    data: { ...fields, expires_at: null },
  });
  const { key } = rotated.data;
  expect(key).not.toBe(old.key);
  now += 600_000 - 1;
  expect([await open(app, old.key), await open(app, key)]).toEqual([200, 200]);
  now += 1;
  expect([await until(refuses(app, old.key)), await open(app, key)]).toEqual([expect.any(Number), 200]);
});

test("ends the old key at once where there is no overlap, and lengthens no key's life", async () => {
  let now = Date.now();
  await using app = await startWithPeople({ clock: { now: () => new Date(now) } });
  const expires_at = new Date(now + 60_000).toISOString();
  const old = await app.addKey(app.owner, { expires_at });
  const rotate = (id: string, overlap?: number) =>
    app.owner.call<MadeKey>("POST", `/app/${old.appId}/key/${id}/rotate`, {
      ...(overlap !== undefined && { body: { overlap } }),
    });
  const second = dataOf(await rotate(old.id));
  expect(second.expires_at).toBe(expires_at);
  const third = dataOf(await rotate(second.id, 0));
  expect(await until(refuses(app, second.key))).toBeLessThan(soonMs);
  expect([await open(app, old.key), await open(app, third.key)]).toEqual([200, 200]);
  now += 60_000;
  expect([await open(app, old.key), await open(app, third.key)]).toEqual([401, 401]);
});

test("refuses to exchange a revoked key, and revokes it a second time without a word", async () => {
  await using app = await startWithPeople();
  const { appId, id } = await app.addKey(app.owner);
  const revoke = () => app.owner.call("POST", `/app/${appId}/key/${id}/delete`);
  expect([(await revoke()).code, (await revoke()).code]).toEqual(["SUCCESS", "SUCCESS"]);
  expect((await app.owner.call("POST", `/app/${appId}/key/${id}/rotate`)).code).toBe("CONFLICT");
  const { data } = await app.owner.call<{ items: object[] }>("GET", "/audit?action=app_key.revoke");
  expect(data.items).toHaveLength(1);
});

test("opens from its address ranges alone, by the address that trusted proxies tell", async () => {
  await using app = await startWithPeople({ environment: { LLMOPS_TRUSTED_PROXIES: "127.0.0.1" } });
  const { key } = await app.addKey(app.owner, {
    address_ranges: ["203.0.113.0/24", "2001:db8::/32", "192.0.2.7"],
  });
  const status = (ip: string) => open(app, key, { "x-forwarded-for": ip });
  for (const ip of [
    "203.0.113.9",
    "2001:db8:1::1",
    "192.0.2.7",
    "::ffff:203.0.113.9",
    "8.8.8.8, 203.0.113.9",
  ]) {
    expect([ip, await status(ip)]).toEqual([ip, 200]);
  }
  for (const ip of ["203.0.114.1", "2001:db9::1", "192.0.2.8", "203.0.113.9, 8.8.8.8", "x", ""]) {
    expect([ip, await status(ip)]).toEqual([ip, 401]);
  }
});

test("refuses every key that is not to the letter a good one, whatever stands in it", async () => {
  await using app = await startWithPeople();
  const { key, public_id } = await app.addKey(app.owner);
  const other = await app.addKey(app.owner);
  const [secret, last] = [key.slice(-43), key.at(-1) === "A" ? "E" : "A"];
  for (const bad of [
    key.slice(0, -1),
    `${key}x`,
    `${key.slice(0, -1)}${last}`,
    `llmops-${public_id}-${"A".repeat(43)}`,
    `llmops-${public_id}-${other.key.slice(-43)}`,
    `llmops-${other.public_id}-${secret}`,
    `llmops-${public_id}`,
    `llmops-${"'; drop table app_key; --".slice(0, 16)}-${secret}`,
    `sk-${public_id}-${secret}`,
    key.toUpperCase(),
    "x".repeat(5000),
    "null",
  ]) {
    expect([bad.slice(0, 30), await open(app, bad)]).toEqual([bad.slice(0, 30), 401]);
  }
  expect(await open(app, key)).toBe(200);
});

test("says when a key was last used, written without a statement of the call's own", async () => {
  await using database = await startTestApp();
  let used: MadeKey | undefined;
  {
    await using app = await startWithPeople({ database: database.database });
    used = await app.addKey(app.owner);
    await open(app, used.key);
  }
  const [row] = await database.database.sql`select used_at from app_key where id = ${used.id}`;
  expect(row?.used_at).toBeInstanceOf(Date);
});

describe("within a second, in every process, a key is refused", () => {
  const ways: [how: string, change: (key: MadeKey) => [path: string, body?: object]][] = [
    ["that was revoked", ({ appId, id }) => [`/app/${appId}/key/${id}/delete`]],
    [
      "that was exchanged without overlap",
      ({ appId, id }) => [`/app/${appId}/key/${id}/rotate`, { overlap: 0 }],
    ],
    ["whose app was deleted", ({ appId }) => [`/app/${appId}/delete`]],
    ["whose app was disabled", ({ appId }) => [`/app/${appId}`, { status: "disabled" }]],
    ["whose app was archived", ({ appId }) => [`/app/${appId}`, { status: "archived" }]],
  ];
  for (const [how, change] of ways) {
    test(`${how}`, async () => {
      await using app = await startWithPeople();
      await using second = await startTestApp({ dev: false, database: app.database });
      const key = await app.addKey(app.owner);
      expect([await open(app, key.key), await open(second, key.key)]).toEqual([200, 200]);
      const [path, body = {}] = change(key);
      dataOf(await app.owner.call("POST", path, { body }));
      for (const each of [app, second]) expect(await until(refuses(each, key.key))).toBeLessThan(soonMs);
    });
  }

  test("where the connection that listens is cut at that moment, and again afterwards", async () => {
    await using app = await startWithPeople();
    await using second = await startTestApp({ dev: false, database: app.database });
    const keys = [await app.addKey(app.owner), await app.addKey(app.owner)];
    for (const { key } of keys) for (const each of [app, second]) expect(await open(each, key)).toBe(200);
    for (const { appId, id, key } of keys) {
      expect(await cutListeners(app.database.sql)).toBe(2);
      dataOf(await app.owner.call("POST", `/app/${appId}/key/${id}/delete`));
      for (const each of [second, app]) expect(await until(refuses(each, key))).toBeLessThan(soonMs);
      // Listening again, before the next cut.
      const listening = async () => {
        const [row] = await app.database.sql`
          select count(*)::int as listeners from pg_stat_activity
          where datname = current_database() and query ilike 'listen %'`;
        return row?.listeners === 2;
      };
      await until(listening);
    }
  });
});

describe("a known key or login", () => {
  test("costs no statement, however often it comes", async () => {
    await using app = await startWithPeople({ environment: { DATABASE_ECHO: "1" } });
    const viewer = await app.add("viewer");
    const { key } = await app.addKey(app.owner);
    const statements = () =>
      app
        .logged()
        .split("\n")
        .filter((line) => line.includes('"message":"sql"'))
        .map((line) => JSON.parse(line).statement as string)
        .filter((statement) => !statement.includes("pg_notify"));
    const ask = async () => [
      await open(app, key),
      (await viewer.call("GET", "/account")).code, // Refused by the role: nothing but the login is looked at.
    ];
    expect(await ask()).toEqual([200, "FORBIDDEN"]);
    const before = statements();
    expect(before.filter((statement) => statement.includes("from app_key join app"))).toHaveLength(1);
    for (let i = 0; i < 50; i++) expect(await ask()).toEqual([200, "FORBIDDEN"]);
    expect(statements()).toEqual(before);
    expect((await viewer.call("GET", "/app")).code).toBe("SUCCESS");
    expect(statements().length).toBe(before.length + 1);
  });

  test("goes on while the database is away, and one that is not known fails", async () => {
    await using shared = await startTestApp();
    await using proxy = await startTcpProxy(shared.database.url);
    const environment = { DATABASE_URL: proxy.url };
    await using app = await startWithPeople({ database: shared.database, environment });
    const viewer = await app.add("viewer");
    const stranger = await app.logIn(viewer.email);
    const known = await app.addKey(app.owner);
    const unknown = await app.addKey(app.owner);
    // Another process knows neither login nor key until they come to it.
    await using second = await startTestApp({ dev: false, database: shared.database, environment });
    const ask = async () => [
      await open(second, known.key),
      (await viewer.call("GET", "/account", { on: second })).code,
    ];
    expect(await ask()).toEqual([200, "FORBIDDEN"]);
    proxy.cut();
    await until(() => second.logged().includes("database cannot be reached"));
    // Longer than what was heard last can be trusted.
    const lapsed = performance.now() + 1000;
    await until(() => performance.now() > lapsed);
    expect(await ask()).toEqual([200, "FORBIDDEN"]);
    expect(await open(second, unknown.key)).toBe(503);
    expect((await stranger.call("GET", "/account", { on: second })).code).toBe("FAIL");
    proxy.restore();
    await until(async () => (await second.call("GET", "/ping")).code === "SUCCESS");
    expect(await open(second, unknown.key)).toBe(200);
    expect(await ask()).toEqual([200, "FORBIDDEN"]);
  });

  test("is refused soon after the database is back, where it was revoked in between", async () => {
    await using app = await startWithPeople();
    await using proxy = await startTcpProxy(app.database.url);
    const environment = { DATABASE_URL: proxy.url };
    await using second = await startTestApp({ dev: false, database: app.database, environment });
    const key = await app.addKey(app.owner);
    expect(await open(second, key.key)).toBe(200);
    proxy.cut();
    await until(() => second.logged().includes("database cannot be reached"));
    dataOf(await app.owner.call("POST", `/app/${key.appId}/key/${key.id}/delete`));
    expect(await open(second, key.key)).toBe(200);
    proxy.restore();
    await until(async () => (await second.call("GET", "/ping")).code === "SUCCESS");
    expect(await until(refuses(second, key.key))).toBeLessThan(soonMs);
  });
});
