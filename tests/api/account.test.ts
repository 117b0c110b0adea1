import { describe, expect, test } from "bun:test";
import { newId } from "../../src/id.ts";
import { startTestApp } from "../harness/app.ts";
import {
  bearer,
  dataOf,
  type PeopledApp,
  type Person,
  password,
  soonMs,
  startWithPeople,
  until,
} from "../harness/people.ts";

const ownersOf = async ({ database: { sql } }: PeopledApp) =>
  (await sql`select 1 from account where role = 'owner' and status = ''`).length;

test("makes an account that its e-mail is unique to in any case, and shows no password", async () => {
  await using app = await startWithPeople();
  const body = { email: "New@Example.com", name: "新", role: "editor", password };
  const { code, message, data } = await app.owner.call("POST", "/account", { body });
  expect([code, message]).toEqual(["SUCCESS", "账号已经成功创建,邮箱为new@example.com"]);
  expect(data).toEqual({
    ...{ id: expect.any(String), email: "new@example.com", name: "新", role: "editor", status: "" },
    ...{ created_at: expect.any(String), updated_at: expect.any(String) },
  });
  const again = await app.owner.call("POST", "/account", { body: { ...body, email: "NEW@example.COM" } });
  expect(again).toMatchObject({ code: "CONFLICT", message: "这个邮箱已有账号" });
  expect((await app.owner.call("GET", `/account/${data.id}`)).data).toEqual(data);
});

test("lists accounts newest first, page by page", async () => {
  await using app = await startWithPeople();
  for (let i = 0; i < 4; i++) {
    await app.owner.call("POST", "/account", { body: { email: `p${i}@example.com`, role: "viewer" } });
  }
  const seen: string[] = [];
  let cursor: string | null = null;
  do {
    const path: string = `/account?limit=2${cursor ? `&cursor=${cursor}` : ""}`;
    const page: { items: { email: string }[]; next_cursor: string | null } = dataOf(
      await app.owner.call<{ items: { email: string }[]; next_cursor: string | null }>("GET", path),
    );
    expect(page.items.length).toBeLessThanOrEqual(2);
    seen.push(...page.items.map(({ email }) => email));
    cursor = page.next_cursor;
  } while (cursor);
  expect(seen).toEqual([3, 2, 1, 0].map((i) => `p${i}@example.com`).concat(app.owner.email));
});

test("answers NOT_FOUND for an account that is not there, to read, change and delete", async () => {
  await using app = await startWithPeople();
  for (const [method, path] of [
    ["GET", `/account/${newId()}`],
    ["POST", `/account/${newId()}`],
    ["POST", `/account/${newId()}/delete`],
  ] as const) {
    expect((await app.owner.call(method, path)).code).toBe("NOT_FOUND");
  }
});

describe("an account that is disabled or deleted", () => {
  for (const [how, end] of [
    ["disabled", { path: (id: string) => `/account/${id}`, body: { status: "disabled" } }],
    ["deleted", { path: (id: string) => `/account/${id}/delete`, body: {} }],
  ] as const) {
    test(`is out everywhere within a second: token, cookie, refresh, login, where it is ${how}`, async () => {
      await using app = await startWithPeople();
      await using second = await startTestApp({ dev: false, database: app.database });
      const person = await app.add("admin");
      const cookie = { cookie: `llmops_access=${person.accessToken}` };
      for (const on of [app, second]) {
        expect((await person.call("GET", "/account", { on })).code).toBe("SUCCESS");
        expect((await on.call("GET", "/account", { headers: cookie })).code).toBe("SUCCESS");
      }
      dataOf(await app.owner.call("POST", end.path(person.id), { body: end.body }));
      for (const on of [app, second]) {
        for (const headers of [person.headers, cookie]) {
          const isOut = async () => (await on.call("GET", "/account", { headers })).code === "UNAUTHORIZED";
          expect(await until(isOut)).toBeLessThan(soonMs);
        }
      }
      const refreshed = await second.call("POST", "/auth/refresh", {
        body: { refresh_token: person.refreshToken },
      });
      expect(refreshed.code).toBe("UNAUTHORIZED");
      const login = await second.call("POST", "/auth/login", { body: { email: person.email, password } });
      expect(login.code).toBe("UNAUTHORIZED");
    });
  }

  test("comes back with a new login where it is enabled again, and its old tokens do not", async () => {
    await using app = await startWithPeople();
    const person = await app.add("viewer");
    await app.owner.call("POST", `/account/${person.id}`, { body: { status: "disabled" } });
    await app.owner.call("POST", `/account/${person.id}`, { body: { status: "" } });
    expect((await app.logIn(person.email)).id).toBe(person.id);
    const isOut = async () => (await person.call("GET", "/auth/me")).code === "UNAUTHORIZED";
    expect(await until(isOut)).toBeLessThan(soonMs);
  });

  test("leaves its apps to owners and admins, and their keys open", async () => {
    await using app = await startWithPeople();
    const editor = await app.add("editor");
    const { appId, key } = await app.addKey(editor);
    dataOf(await app.owner.call("POST", `/account/${editor.id}/delete`));
    expect((await app.owner.call("GET", `/app/${appId}`)).code).toBe("SUCCESS");
    const response = await app.fetch(
      new Request("http://localhost:5000/v1/models", { headers: bearer(key) }),
    );
    expect(response.status).toBe(200);
  });
});

describe("the last owner", () => {
  const ways: [how: string, call: (by: Person, id: string) => ReturnType<Person["call"]>][] = [
    ["demoted", (by, id) => by.call("POST", `/account/${id}`, { body: { role: "admin" } })],
    ["disabled", (by, id) => by.call("POST", `/account/${id}`, { body: { status: "disabled" } })],
    ["deleted", (by, id) => by.call("POST", `/account/${id}/delete`)],
  ];
  for (const [how, change] of ways) {
    test(`cannot be ${how}, not even where a disabled owner is left`, async () => {
      await using app = await startWithPeople();
      const second = await app.add("owner");
      dataOf(await app.owner.call("POST", `/account/${second.id}`, { body: { status: "disabled" } }));
      const { code, message } = await change(app.owner, app.owner.id);
      expect([code, message]).toEqual(["CONFLICT", "至少要保留一位可以登录的所有者"]);
      expect((await app.owner.call("GET", "/auth/me")).data).toMatchObject({ role: "owner" });
    });

    test(`stays where two owners are ${how} by each other at the same moment`, async () => {
      await using app = await startWithPeople();
      const second = await app.add("owner");
      const answers = await Promise.all([change(app.owner, second.id), change(second, app.owner.id)]);
      expect(answers.map(({ code }) => code).sort()).toEqual(["CONFLICT", "SUCCESS"]);
      expect(await ownersOf(app)).toBe(1);
    });
  }
});
