import { expect, test } from "bun:test";
import type { TestApp } from "../harness/app.ts";
import { until } from "../harness/people.ts";
import { addPerson, as, logIn, startProduction } from "./kit.ts";

const accounts = (app: TestApp) =>
  app.database.sql`select id, email, name, role, status, password_hash, created_at from account order by id`;

/** Every column that a caller could hope to write, with what they would like to see there. */
const wishes = {
  role: "owner",
  id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f",
  account_id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f",
  password_hash: "x",
  seesAll: true,
  sees_all: true,
  created_at: "2020-01-01T00:00:00Z",
  updated_at: "2020-01-01T00:00:00Z",
  deleted_at: null,
  session_id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f",
  is_admin: true,
  permissions: ["*"],
};

test("VALIDATE_ERROR is answered to fields that are not a route's own, and nothing is written", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const editor = await addPerson(app, owner, "editor");
  const made = await as(app, editor)("POST", "/app");
  const routes: [path: string, body: object, own: string[]][] = [
    ["/app", {}, []],
    [`/app/${made.data.id}`, {}, []],
    [`/app/${made.data.id}/delete`, {}, []],
    [`/app/${made.data.id}/key`, {}, []],
    [`/app/${made.data.id}/member`, { email: owner.email, role: "viewer" }, ["role"]],
    ["/auth/password", { current: editor.password, next: "another long passphrase" }, []],
    ["/auth/login", { email: editor.email, password: editor.password }, []],
    ["/auth/refresh", { refresh_token: editor.refresh }, []],
    ["/auth/setup", { token: "x", email: "a@example.com", password: "a long passphrase" }, []],
  ];
  const before = [await accounts(app), await app.database.sql`select * from app`];
  for (const [path, body, own] of routes) {
    for (const [field, value] of Object.entries(wishes)) {
      if (own.includes(field)) continue;
      const answer = await as(app, editor)("POST", path, { ...body, [field]: value });
      expect([path, answer.code, Object.keys(answer.data)]).toEqual([path, "VALIDATE_ERROR", [field]]);
    }
  }
  expect([await accounts(app), await app.database.sql`select * from app`]).toEqual(before);
});

test("VALIDATE_ERROR is answered to `__proto__` and `constructor`, wherever they stand, and no object inherits of it", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const viewer = await addPerson(app, owner, "viewer");
  for (const body of [
    '{"__proto__":{"role":"owner","seesAll":true}}',
    '{"\\u005f_proto__":{"role":"owner"}}',
    '{"constructor":{"prototype":{"role":"owner"}}}',
    '{"config":{"__proto__":{"role":"owner"}}}',
    '{"config":{"parameters":{"__proto__":{"role":"owner"}}}}',
    '{"config":{"constructor":{"prototype":{"role":"owner"}}}}',
  ]) {
    expect([body, (await as(app, owner)("POST", "/app", body)).code]).toEqual([body, "VALIDATE_ERROR"]);
  }
  // Where a contract has defaults to fill in, the object is copied first.
  const rest = '"__proto__":{"stream":true,"cookie":true,"role":"owner"}}';
  for (const [path, body] of [
    ["/app/completion", `{"query":"hi","model":"echo",${rest}`],
    ["/auth/login", `{"email":"${owner.email}","password":"${owner.password}",${rest}`],
  ] as const) {
    const answer = await as(app, owner)("POST", path, body);
    expect([path, answer.code, Object.keys(answer.data)]).toEqual([path, "VALIDATE_ERROR", ["__proto__"]]);
  }
  const inherited: Record<string, unknown> = {};
  expect([inherited.role, inherited.seesAll]).toEqual([undefined, undefined]);
  expect((await as(app, viewer)("POST", "/app")).code).toBe("FORBIDDEN");
});

test("FORBIDDEN is answered to whoever gives a role above their own, to others or to themselves", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const admin = await addPerson(app, owner, "admin");
  const editor = await addPerson(app, owner, "editor");
  const viewer = await addPerson(app, owner, "viewer");
  const before = await accounts(app);
  const attempts = [
    ...[editor, viewer].flatMap((person) => [
      [person, `/account/${person.id}`, { role: "owner" }],
      [person, `/account/${person.id}`, { role: "admin" }],
      [person, `/account/${person.id}`, { name: "x" }],
      [person, `/account/${owner.id}`, { role: "viewer" }],
      [person, `/account/${owner.id}/delete`, {}],
      [person, "/account", { email: "new@example.com", role: "viewer" }],
      [person, "/oidc", { default_role: "editor" }],
    ]),
    [admin, `/account/${admin.id}`, { role: "owner" }],
    [admin, `/account/${editor.id}`, { role: "owner" }],
    [admin, "/account", { email: "new@example.com", role: "owner", password: "a long passphrase" }],
    [admin, `/account/${owner.id}`, { role: "viewer" }],
    [admin, `/account/${owner.id}`, { status: "disabled" }],
    [admin, `/account/${owner.id}`, {}],
    [admin, `/account/${owner.id}/delete`, {}],
    [admin, "/oidc", { role_claim: "groups" }],
  ] as [typeof admin, string, object][];
  for (const [person, path, body] of attempts) {
    const { code } = await as(app, person)("POST", path, body);
    expect([person.email, path, body, code]).toEqual([person.email, path, body, "FORBIDDEN"]);
  }
  expect(await accounts(app)).toEqual(before);
});

test("a role that was taken away counts no longer, although the token is still good", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const editor = await addPerson(app, owner, "editor");
  const made = await as(app, editor)("POST", "/app");
  expect((await as(app, owner)("POST", `/account/${editor.id}`, { role: "viewer" })).code).toBe("SUCCESS");
  // The word of it takes a moment, and a second at the most.
  await until(async () => (await as(app, editor)("POST", "/app")).code === "FORBIDDEN");
  expect((await as(app, editor)("POST", `/app/${made.data.id}`, { name: "x" })).code).toBe("FORBIDDEN");
  expect((await as(app, editor)("POST", `/app/${made.data.id}/key`, {})).code).toBe("FORBIDDEN");
});
