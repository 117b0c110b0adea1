import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { documentedRoutes } from "../../scripts/docs.ts";
import { createPermissionTable, permissions } from "../../src/auth/permissions.ts";
import { type Role, roles } from "../../src/auth/principal.ts";
import { newId, type Uuid } from "../../src/id.ts";
import { swaggerRoutes } from "../../src/routes/swagger.ts";
import { type Account, insertAccount } from "../../src/sql/account.ts";
import { insertApp } from "../../src/sql/app.ts";
import { insertAppKey } from "../../src/sql/app-key.ts";
import { upsertAppMember } from "../../src/sql/app-member.ts";
import { insertSession } from "../../src/sql/session.ts";
import { type TestApp, toRequest } from "../harness/app.ts";
import { bearer, dataOf, firstOwner, type PeopledApp, startWithPeople, until } from "../harness/people.ts";

type Route = keyof typeof permissions;
const table = Object.keys(permissions) as Route[];

describe("the table of permissions", () => {
  test("names the routes of the app and no others", () => {
    const all = [...documentedRoutes().routes, ...swaggerRoutes({ document: async () => ({}) }).routes];
    const found = all
      .map(({ method, path }) => `${method} ${path.replace(/(?<=.)\/$/, "")}`)
      .map((route) => route.replace(/^GET \/swagger\/.+/, "GET /swagger/*"));
    expect([...new Set(found)].sort()).toEqual([...table].sort());
  });

  test("names what openapi.json has, and beside it the pages alone", async () => {
    const { paths } = await Bun.file(join(import.meta.dir, "../../openapi.json")).json();
    const documented = Object.entries(paths as Record<string, object>).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ":$1")}`),
    );
    const pages = [
      "GET /swagger",
      "GET /swagger/*",
      "GET /setup",
      "GET /setup/setup.js",
      "GET /setup/setup.css",
    ];
    expect([...documented, ...pages].sort()).toEqual([...table].sort());
  });

  test("knows every route as it is written, and none in disguise", () => {
    const find = createPermissionTable();
    for (const route of table) {
      const [method = "", path = ""] = route.replace(/:\w+|\*/g, "x").split(" ");
      expect([route, find(method, path)]).toEqual([route, permissions[route]]);
      if (method === "GET") expect(find("HEAD", path)).toBe(permissions[route]);
      if (path.startsWith("/swagger")) continue; // All below it is public.
      for (const disguise of [
        `/${path}`,
        `${path}/`,
        path.toUpperCase(),
        path.replace("/", "/./"),
        `${path};x`,
        path.slice(1),
        `${path}%00`,
        path.replace(/[a-z]/, (letter) => `%${letter.charCodeAt(0).toString(16)}`),
      ]) {
        // A place takes any text, so that what is no name there is still the route with the place, and no other.
        const place = table.find((each) =>
          new RegExp(`^${each.replace(/:\w+/g, "[^/]+")}$`).test(`${method} ${disguise}`),
        );
        expect([disguise, find(method, disguise)]).toEqual([disguise, place && permissions[place]]);
      }
      for (const other of ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", method.toLowerCase()]) {
        expect([other, find(other, path)]).toEqual([other, undefined]);
      }
    }
  });
});

/** What a route asks of who is calling: of everybody the same, of people a role, of an app's people a right on it. */
type Rule =
  | { public: string }
  | { atLeast: Role; outcome: string }
  | { app: "read" | "change" | "manage" }
  | { key: string };

const badSetup = "UNAUTHORIZED 初始化链接无效或已过期:请重新启动服务以获得新的链接";
const badRefresh = "UNAUTHORIZED 登录已失效,请重新登录";
const badPassword = "UNAUTHORIZED 当前密码不正确";
const stranger = "UNAUTHORIZED 请先登录";
/** In the dialect of the route. */
const noKeyOn = (route: Route) =>
  route.startsWith("POST /v1/messages") ? "401 authentication_error" : "401 invalid_api_key";

/** Who may do what, from the contract's "Who sees what", and what then comes of the call that {@link bodies} makes. */
const rules: Record<Route, Rule> = {
  "GET /ping": { public: "SUCCESS" },
  "GET /healthz": { public: "200" },
  "GET /readyz": { public: "200" },
  "GET /swagger": { public: "200" },
  "GET /swagger/*": { public: "200" },
  "GET /setup": { public: "200" },
  "GET /setup/setup.js": { public: "200" },
  "GET /setup/setup.css": { public: "200" },
  "POST /auth/login": { public: "SUCCESS" },
  "POST /auth/refresh": { public: badRefresh },
  "POST /auth/logout": { public: "SUCCESS" },
  "POST /auth/setup": { public: badSetup },
  "GET /auth/oidc/start": { public: "404" },
  "GET /auth/oidc/callback": { public: "400" },
  "GET /auth/me": { atLeast: "viewer", outcome: "SUCCESS" },
  "POST /auth/password": { atLeast: "viewer", outcome: badPassword },
  "GET /auth/session": { atLeast: "viewer", outcome: "SUCCESS" },
  "POST /auth/session/:id/delete": { atLeast: "viewer", outcome: "NOT_FOUND" }, // Somebody else's.
  "GET /provider": { atLeast: "admin", outcome: "SUCCESS" },
  "POST /provider": { atLeast: "admin", outcome: "SUCCESS" },
  "GET /provider/:id": { atLeast: "admin", outcome: "NOT_FOUND" },
  "POST /provider/:id": { atLeast: "admin", outcome: "NOT_FOUND" },
  "POST /provider/:id/delete": { atLeast: "admin", outcome: "NOT_FOUND" },
  "POST /provider/:id/test": { atLeast: "admin", outcome: "NOT_FOUND" },
  "GET /model": { atLeast: "viewer", outcome: "SUCCESS" },
  "POST /model": { atLeast: "admin", outcome: "SUCCESS" },
  "GET /model/:id": { atLeast: "viewer", outcome: "NOT_FOUND" },
  "POST /model/:id": { atLeast: "admin", outcome: "NOT_FOUND" },
  "POST /model/:id/delete": { atLeast: "admin", outcome: "NOT_FOUND" },
  "POST /model/:id/test": { atLeast: "admin", outcome: "NOT_FOUND" },
  "GET /model/:id/price": { atLeast: "viewer", outcome: "NOT_FOUND" },
  "POST /model/:id/price": { atLeast: "admin", outcome: "NOT_FOUND" },
  "POST /model/:id/price/:price_id/delete": { atLeast: "admin", outcome: "NOT_FOUND" },
  "GET /rate-limit": { atLeast: "viewer", outcome: "SUCCESS" },
  "POST /rate-limit": { atLeast: "admin", outcome: "SUCCESS" },
  "GET /rate-limit/:id": { atLeast: "viewer", outcome: "NOT_FOUND" },
  "POST /rate-limit/:id": { atLeast: "admin", outcome: "NOT_FOUND" },
  "POST /rate-limit/:id/delete": { atLeast: "admin", outcome: "NOT_FOUND" },
  "GET /budget": { atLeast: "viewer", outcome: "SUCCESS" },
  "POST /budget": { atLeast: "admin", outcome: "SUCCESS" },
  "GET /budget/:id": { atLeast: "viewer", outcome: "NOT_FOUND" },
  "POST /budget/:id": { atLeast: "admin", outcome: "NOT_FOUND" },
  "POST /budget/:id/delete": { atLeast: "admin", outcome: "NOT_FOUND" },
  "GET /budget/:id/explain": { atLeast: "viewer", outcome: "NOT_FOUND" },
  "GET /rate": { atLeast: "viewer", outcome: "SUCCESS" },
  "POST /rate": { atLeast: "admin", outcome: "SUCCESS" },
  "POST /rate/:id/delete": { atLeast: "admin", outcome: "NOT_FOUND" },
  "GET /request": { atLeast: "viewer", outcome: "SUCCESS" },
  "GET /request/export": { atLeast: "viewer", outcome: "200" },
  "GET /request/:id": { atLeast: "viewer", outcome: "NOT_FOUND" },
  "GET /usage": { atLeast: "viewer", outcome: "SUCCESS" },
  "GET /usage/export": { atLeast: "viewer", outcome: "200" },
  "POST /v1/chat/completions": { key: "200" },
  "POST /v1/embeddings": { key: "400" }, // The echo makes none.
  "POST /v1/messages": { key: "200" },
  "POST /v1/messages/count_tokens": { key: "200" },
  "GET /account": { atLeast: "admin", outcome: "SUCCESS" },
  "POST /account": { atLeast: "admin", outcome: "SUCCESS" },
  "GET /account/:id": { atLeast: "admin", outcome: "SUCCESS" },
  "POST /account/:id": { atLeast: "admin", outcome: "SUCCESS" },
  "POST /account/:id/delete": { atLeast: "admin", outcome: "SUCCESS" },
  "GET /oidc": { atLeast: "owner", outcome: "NOT_FOUND" },
  "POST /oidc": { atLeast: "owner", outcome: "VALIDATE_ERROR" },
  "GET /audit": { atLeast: "admin", outcome: "SUCCESS" },
  "POST /app/completion": { atLeast: "viewer", outcome: "SUCCESS" },
  "GET /app": { atLeast: "viewer", outcome: "SUCCESS" },
  "POST /app": { atLeast: "editor", outcome: "SUCCESS" },
  "GET /app/:id": { app: "read" },
  "POST /app/:id": { app: "change" },
  "POST /app/:id/delete": { app: "manage" },
  "GET /app/:id/member": { app: "read" },
  "POST /app/:id/member": { app: "manage" },
  "POST /app/:id/member/:account_id/delete": { app: "manage" },
  "GET /app/:id/key": { app: "read" },
  "POST /app/:id/key": { app: "change" },
  "POST /app/:id/key/:key_id/rotate": { app: "change" },
  "POST /app/:id/key/:key_id/delete": { app: "change" },
  "GET /v1/models": { key: "200" },
  "GET /v1/models/:model": { key: "200" },
};

/** What somebody is to an app. */
const relations = ["own", "foreign", "as viewer", "as editor"] as const;
type Relation = (typeof relations)[number];

/** What comes of a call on an app. */
const onApp: Record<Role, Record<"read" | "change" | "manage", Record<Relation, string>>> = (() => {
  const all = { own: "SUCCESS", foreign: "SUCCESS", "as viewer": "SUCCESS", "as editor": "SUCCESS" };
  const no = "FORBIDDEN";
  // A viewer changes nothing, whatever it is: that is said before anything is looked up.
  const nothing = { own: no, foreign: no, "as viewer": no, "as editor": no };
  return {
    owner: { read: all, change: all, manage: all },
    admin: { read: all, change: all, manage: all },
    editor: {
      read: { ...all, foreign: "NOT_FOUND" },
      change: { own: "SUCCESS", foreign: "NOT_FOUND", "as viewer": no, "as editor": "SUCCESS" },
      manage: { own: "SUCCESS", foreign: "NOT_FOUND", "as viewer": no, "as editor": no },
    },
    viewer: { read: { ...all, foreign: "NOT_FOUND" }, change: nothing, manage: nothing },
  };
})();

const member = "member@example.com";
let rates = 0;
const bodies: Partial<Record<Route, (it: Callers) => object>> = {
  "POST /provider": () => ({ name: newId(), base_url: "https://models.example" }),
  "POST /model": () => ({ name: `model-${newId()}`, upstream_name: "x" }),
  "POST /model/:id/price": () => ({ currency: "CNY", prompt: "1", completion: "1" }),
  "POST /rate-limit": () => ({ scope: "model", subject: `model-${newId()}` }),
  "POST /budget": ({ appId }) => ({
    ...{ name: "x", scope: "app", subject_id: appId, period: "day", currency: "CNY", amount: "1" },
  }),
  "POST /rate": () => ({
    base: "USD",
    quote: "CNY",
    value: "7.1",
    valid_from: new Date(++rates).toISOString(),
  }),
  "POST /v1/chat/completions": () => ({ model: "app", messages: [{ role: "user", content: "hi" }] }),
  "POST /v1/messages": () => ({ model: "app", max_tokens: 9, messages: [{ role: "user", content: "hi" }] }),
  "POST /v1/messages/count_tokens": () => ({ model: "app", messages: [{ role: "user", content: "hi" }] }),
  "POST /v1/embeddings": () => ({ model: "app", input: "hi" }),
  "POST /auth/login": () => firstOwner,
  "POST /auth/refresh": () => ({ refresh_token: "llr_x" }),
  "POST /auth/setup": () => ({ token: "x", email: "x@example.com", password: "12345678" }),
  "POST /auth/password": () => ({ current: "wrong", next: "12345678" }),
  "POST /account": () => ({ email: `${newId()}@example.com`, role: "viewer" }),
  "POST /account/:id": () => ({ name: "changed" }),
  "POST /app/completion": () => ({ query: "hi", model: "echo" }),
  "POST /app": () => ({ name: "made" }),
  "POST /app/:id": () => ({ name: "changed" }),
  "POST /app/:id/member": () => ({ email: member, role: "editor" }),
};

const outcomeOf = async (response: Response): Promise<string> => {
  if (response.headers.get("content-type")?.startsWith("text/html")) return String(response.status);
  const code = response.headers.get("x-llmops-code");
  if (code === "UNAUTHORIZED") return `${code} ${((await response.json()) as { message: string }).message}`;
  if (response.status === 401) {
    const { error } = (await response.json()) as { error: { code?: string; type: string } };
    return `401 ${error.code ?? error.type}`;
  }
  return code ?? String(response.status);
};

const account = (fields: Partial<Account>): Account => {
  const at = new Date();
  const id = newId();
  const rest = { name: "", role: "viewer", status: "", password_hash: null } as const;
  return { id, email: `${id}@example.com`, ...rest, created_at: at, updated_at: at, ...fields };
};

/** Everybody who may call, with what each sends. */
async function startWithCallers() {
  const app = await startWithPeople();
  const { sql } = app.database;
  // One after the other: five logins at once from one network have to wait.
  const [admin, editor] = [await app.add("admin"), await app.add("editor")];
  const [viewer, disabled] = [await app.add("viewer"), await app.add("admin")];
  const memberAccount = account({ email: member });
  await insertAccount(sql, memberAccount);
  const { key, appId } = await app.addKey(app.owner);
  dataOf(await app.owner.call("POST", `/app/${appId}`, { body: { config: { model: "echo" } } }));
  const expired = await app.add("owner", "expired@example.com");
  await sql`update session set expires_at = now() - interval '1 second' where account_id = ${expired.id}`;
  await app.owner.call("POST", `/account/${disabled.id}`, { body: { status: "disabled" } });
  for (const gone of [expired, disabled]) {
    await until(async () => (await gone.call("GET", "/auth/me")).code === "UNAUTHORIZED");
  }
  const people = { owner: app.owner, admin, editor, viewer };
  const others = {
    nobody: {},
    "an app key": bearer(key),
    "an app key as x-api-key": { "x-api-key": key },
    "a disabled account": disabled.headers,
    "an expired login": expired.headers,
    "a refresh token": bearer(app.owner.refreshToken),
  };
  return Object.assign(app, { people, others, key, appId, memberId: memberAccount.id });
}

/** An app with a key and a member, and `person`'s part in it. */
async function plant(it: PeopledApp & { memberId: Uuid }, person: Uuid, relation: Relation) {
  const { sql } = it.database;
  const [id, keyId, at] = [newId(), newId(), new Date()];
  await insertApp(sql, {
    ...{ id, account_id: relation === "own" ? person : newId(), name: "planted", icon: "", description: "" },
    ...{ status: "", config: {}, created_at: at, updated_at: at },
  });
  await insertAppKey(sql, {
    ...{ id: keyId, app_id: id, name: "", public_id: keyId.replaceAll("-", "").slice(-16), models: [] },
    ...{ secret_hash: new Uint8Array(32), address_ranges: [], expires_at: null, used_at: null },
    ...{ revoked_at: null, created_by: null, created_at: at, updated_at: at },
  });
  await upsertAppMember(sql, { appId: id, accountId: it.memberId, role: "viewer", at });
  if (relation.startsWith("as ")) {
    const role = relation === "as editor" ? "editor" : "viewer";
    await upsertAppMember(sql, { appId: id, accountId: person, role, at });
  }
  return { id, keyId };
}

/** A session of nobody who calls. */
async function plantSession({ database: { sql } }: TestApp, accountId: Uuid): Promise<Uuid> {
  const [id, at] = [newId(), new Date()];
  await insertSession(sql, {
    ...{ id, account_id: accountId, address: "unknown", user_agent: "", created_at: at, used_at: at },
    ...{ expires_at: new Date(at.getTime() + 60_000), ended_at: null },
  });
  return id;
}

type Callers = Awaited<ReturnType<typeof startWithCallers>>;

/** Where a route's call goes: on an app with this relation, or on something that is there. */
async function addressOf(it: Callers, route: Route, person: Uuid, relation: Relation): Promise<string> {
  const path = route.split(" ")[1] ?? "";
  if (path === "/swagger/*") return "/swagger/json";
  if (path.startsWith("/app/:id")) {
    const { id, keyId } = await plant(it, person, relation);
    return path.replace(":id", id).replace(":key_id", keyId).replace(":account_id", it.memberId);
  }
  if (path.startsWith("/account/:id")) {
    const target = account({});
    await insertAccount(it.database.sql, target);
    return path.replace(":id", target.id);
  }
  if (path.startsWith("/auth/session/:id")) return path.replace(":id", await plantSession(it, it.memberId));
  // Downloads do not go by the envelope.
  if (path.endsWith("/export")) return `${path}?format=csv`;
  return path.replace(":model", "app").replace(/:\w+/g, newId());
}

async function ask(it: Callers, route: Route, path: string, headers: Record<string, string>) {
  const method = route.split(" ")[0] ?? "";
  const body = method === "POST" ? (bodies[route]?.(it) ?? {}) : undefined;
  return outcomeOf(await it.fetch(toRequest(method, path, { headers, ...(body && { body }) })));
}

describe("every route, for every caller", () => {
  test("answers people by their role, and on an app by what they are to it", async () => {
    await using it = await startWithCallers();
    const seen: Record<string, string> = {};
    const expected: Record<string, string> = {};
    for (const route of table) {
      const rule = rules[route];
      for (const [role, person] of Object.entries(it.people) as [Role, (typeof it.people)["owner"]][]) {
        for (const relation of relations) {
          const onAnApp = "app" in rule;
          if (!onAnApp && relation !== "own") continue;
          const path = await addressOf(it, route, person.id, relation);
          const at = `${role}, ${route}, ${relation}`;
          seen[at] = await ask(it, route, path, person.headers);
          if ("key" in rule) expected[at] = noKeyOn(route);
          else if ("public" in rule) expected[at] = rule.public;
          else if ("app" in rule) expected[at] = onApp[role][rule.app][relation];
          else expected[at] = roles.indexOf(role) <= roles.indexOf(rule.atLeast) ? rule.outcome : "FORBIDDEN";
        }
      }
    }
    expect(seen).toEqual(expected);
  }, 30_000);

  test("answers strangers on public routes, a key on /v1, and refuses both everywhere else", async () => {
    await using it = await startWithCallers();
    const seen: Record<string, string> = {};
    const expected: Record<string, string> = {};
    for (const route of table) {
      const rule = rules[route];
      const path = await addressOf(it, route, it.owner.id, "own");
      for (const [who, headers] of Object.entries(it.others)) {
        const at = `${who}, ${route}`;
        seen[at] = await ask(it, route, path, headers);
        if ("key" in rule) expected[at] = who.startsWith("an app key") ? rule.key : noKeyOn(route);
        else expected[at] = "public" in rule ? rule.public : stranger;
      }
    }
    expect(seen).toEqual(expected);
  }, 30_000);

  test("lists for each exactly the apps that they may see", async () => {
    await using it = await startWithCallers();
    const { editor, viewer } = it.people;
    const ids: Record<string, string> = {};
    for (const person of [editor, viewer]) {
      for (const relation of relations) {
        ids[`${person.role} ${relation}`] = (await plant(it, person.id, relation)).id;
      }
    }
    const list = async (person: (typeof it.people)["owner"]) => {
      const { data } = await person.call<{ items: { id: string }[] }>("GET", "/app?limit=100");
      const names = Object.entries(ids).filter(([, id]) => data.items.some((each) => each.id === id));
      return names.map(([name]) => name);
    };
    expect(await list(it.owner)).toEqual(Object.keys(ids));
    expect(await list(it.people.admin)).toEqual(Object.keys(ids));
    expect(await list(editor)).toEqual(["editor own", "editor as viewer", "editor as editor"]);
    expect(await list(viewer)).toEqual(["viewer own", "viewer as viewer", "viewer as editor"]);
  });
});

/** Everything that says who may do what, as one text. */
async function rights({ database: { sql } }: TestApp): Promise<string> {
  const [row] = await sql<{ rights: string }[]>`
    select concat(
      (select string_agg(account::text, ';' order by id) from account), '|',
      (select string_agg(app::text, ';' order by id) from app), '|',
      (select string_agg(app_member::text, ';' order by app_id, account_id) from app_member), '|',
      (select string_agg(app_key::text, ';' order by id) from app_key), '|',
      (select string_agg(oidc::text, ';') from oidc)) as rights`;
  return row?.rights ?? "";
}

describe("every writable field, for every role", () => {
  /** Fields of rows that no contract has, or that another contract has. */
  const foreign = [
    "id",
    "account_id",
    "owner",
    "owner_id",
    "app_id",
    "role",
    "roles",
    "is_admin",
    "seesAll",
    "status",
    "email",
    "password",
    "password_hash",
    "public_id",
    "secret_hash",
    "revoked_at",
    "used_at",
    "deleted_at",
    "created_by",
    "created_at",
    "updated_at",
    "session_id",
    "actor",
  ];

  test("refuses every field that is not the route's, and changes nothing", async () => {
    await using it = await startWithCallers();
    const { routes } = documentedRoutes();
    let refused = 0;
    for (const route of table.filter((each) => /^POST (?!\/v1\/)/.test(each))) {
      const found = routes.find(({ method, path }) => `${method} ${path.replace(/(?<=.)\/$/, "")}` === route);
      const { properties = {} } = (found?.hooks.body ?? {}) as { properties?: Record<string, unknown> };
      for (const person of Object.values(it.people)) {
        const path = await addressOf(it, route, person.id, "own");
        const before = await rights(it);
        for (const field of foreign.filter((each) => !(each in properties))) {
          const body = { ...bodies[route]?.(it), [field]: person.id };
          const { code } = await person.call("POST", path, { body });
          const rule = rules[route];
          const needs = typeof rule === "object" && "atLeast" in rule ? rule.atLeast : "viewer";
          const least = "app" in rule ? "editor" : needs;
          const may = roles.indexOf(person.role) <= roles.indexOf(least);
          expect([route, person.role, field, code]).toEqual([
            route,
            person.role,
            field,
            may ? "VALIDATE_ERROR" : "FORBIDDEN",
          ]);
          refused++;
        }
        expect(await rights(it)).toBe(before);
      }
    }
    expect(refused).toBeGreaterThan(1000);
  }, 30_000);

  test("lets nobody give a role above their own, or change who has one", async () => {
    await using it = await startWithCallers();
    const { sql } = it.database;
    const may = (actor: Role, role: Role) =>
      actor === "owner" || (actor === "admin" && role !== "owner") ? "SUCCESS" : "FORBIDDEN";
    for (const actor of roles) {
      const person = it.people[actor];
      for (const role of roles) {
        const body = { email: `${newId()}@example.com`, role };
        const { code } = await person.call("POST", "/account", { body });
        expect([actor, "makes", role, code]).toEqual([actor, "makes", role, may(actor, role)]);
        for (const [change, next] of [
          ...roles.map((each) => [{ role: each }, each] as const),
          [{ name: "x" }, role] as const,
          [{ status: "disabled" }, role] as const,
        ]) {
          const target = account({ role });
          await insertAccount(sql, target);
          const allowed = may(actor, role) === "SUCCESS" && may(actor, next) === "SUCCESS";
          const expected = allowed ? "SUCCESS" : "FORBIDDEN";
          const answer = await person.call("POST", `/account/${target.id}`, { body: change });
          const at = [actor, role, JSON.stringify(change)];
          expect([...at, answer.code]).toEqual([...at, expected]);
          const [after] = await sql`select role, name, status from account where id = ${target.id}`;
          expect([...at, { ...after }] as unknown[]).toEqual([
            ...at,
            { role, name: "", status: "", ...(allowed ? change : {}) },
          ]);
        }
        const target = account({ role });
        await insertAccount(sql, target);
        const gone = await person.call("POST", `/account/${target.id}/delete`);
        expect([actor, "deletes", role, gone.code]).toEqual([actor, "deletes", role, may(actor, role)]);
      }
    }
  }, 30_000);

  test("lets nobody below an admin change their own role, name or status", async () => {
    await using it = await startWithCallers();
    for (const role of ["editor", "viewer"] as const) {
      const person = it.people[role];
      for (const body of [{ role: "owner" }, { role }, { status: "" }, { name: "x" }, {}]) {
        const { code } = await person.call("POST", `/account/${person.id}`, { body });
        expect([role, body, code]).toEqual([role, body, "FORBIDDEN"]);
      }
    }
    const self = await it.people.admin.call("POST", `/account/${it.people.admin.id}`, {
      body: { role: "owner" },
    });
    expect(self.code).toBe("FORBIDDEN");
  });

  test("reaches no key and no member of an app through another app's address", async () => {
    await using it = await startWithCallers();
    const { editor } = it.people;
    const mine = await plant(it, editor.id, "own");
    const theirs = await plant(it, editor.id, "foreign");
    const before = await rights(it);
    for (const path of [
      `/app/${mine.id}/key/${theirs.keyId}/rotate`,
      `/app/${mine.id}/key/${theirs.keyId}/delete`,
      `/app/${theirs.id}/key/${mine.keyId}/rotate`,
      `/app/${theirs.id}/key/${mine.keyId}/delete`,
      `/app/${theirs.id}/member/${it.memberId}/delete`,
      `/app/${mine.id}/member/${editor.id}/delete`,
    ]) {
      expect([path, (await editor.call("POST", path)).code]).toEqual([path, "NOT_FOUND"]);
    }
    expect(await rights(it)).toBe(before);
  });
});
