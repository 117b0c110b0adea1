import { expect, test } from "bun:test";
import { permissions } from "../../src/auth/permissions.ts";
import type { TestApp } from "../harness/app.ts";
import { addKey, addPerson, as, logIn, type Person, startProduction } from "./kit.ts";

const missing = "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f";

/** A body that the route's contract takes. */
const bodyOf = (route: string): object =>
  route.endsWith("/member") ? { email: "owner@example.com", role: "viewer" } : {};

/** What an answer tells a caller, without the id that every call has of its own. */
const told = async (app: TestApp, person: Person, route: string, path: string) => {
  const method = route.startsWith("GET") ? "GET" : "POST";
  const body = method === "GET" ? undefined : bodyOf(route);
  const { headers, ...answer } = await as(app, person)(method, path, body);
  headers.delete("x-request-id");
  return { ...answer, headers: [...headers] };
};

/** Of things that are somebody's; providers and models are the installation's, and records have a test of their own. */
const routes = Object.keys(permissions).filter((route) => /^\w+ \/(?:account|app|auth)\/.*:/.test(route));

/** A whole table as text, row by row. */
const rowsOf = async (app: TestApp) =>
  (
    await app.database.sql`
      select app::text as row from app union all select app_key::text from app_key
      union all select app_member::text from app_member union all select ended_at::text from session
      union all select account::text from account order by 1`
  ).map(({ row }) => row);

test("somebody else's thing is answered in every route exactly like one that does not exist", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const theirs = await addKey(app, owner);
  for (const role of ["editor", "viewer"] as const) {
    const stranger = await addPerson(app, owner, role);
    const before = await rowsOf(app);
    const sessions = await as(app, owner)("GET", "/auth/session");
    const session = (sessions.data.items as { id: string }[])[0]?.id ?? "";
    for (const route of routes) {
      const path = route.slice(route.indexOf("/"));
      const first = path.startsWith("/account")
        ? owner.id
        : path.startsWith("/auth")
          ? session
          : theirs.appId;
      const fill = (id: string, key: string, account: string) =>
        path.replace(":id", id).replace(":key_id", key).replace(":account_id", account);
      const foreign = await told(app, stranger, route, fill(first, theirs.keyId, owner.id));
      const none = await told(app, stranger, route, fill(missing, missing, missing));
      expect([route, foreign]).toEqual([route, none]);
      const forbidden = path.startsWith("/account") || (role === "viewer" && /^POST \/app/.test(route));
      expect([role, route, foreign.code]).toEqual([role, route, forbidden ? "FORBIDDEN" : "NOT_FOUND"]);
    }
    expect(await rowsOf(app)).toEqual(before);
    const list = await as(app, stranger)("GET", "/app");
    expect(list.data).toEqual({ items: [], next_cursor: null });
  }
});

test("NOT_FOUND is answered for a key or member of one app under the path of another", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const editor = await addPerson(app, owner, "editor");
  const member = await addPerson(app, owner, "viewer");
  const theirs = await addKey(app, owner);
  await as(app, owner)("POST", `/app/${theirs.appId}/member`, { email: member.email, role: "viewer" });
  const mine = await addKey(app, editor);
  const before = await rowsOf(app);
  for (const path of [
    `/app/${mine.appId}/key/${theirs.keyId}/rotate`,
    `/app/${mine.appId}/key/${theirs.keyId}/delete`,
    `/app/${mine.appId}/member/${member.id}/delete`,
  ]) {
    for (const person of [editor, owner]) {
      expect([path, (await as(app, person)("POST", path, {})).code]).toEqual([path, "NOT_FOUND"]);
    }
  }
  expect(await rowsOf(app)).toEqual(before);
});

test("NOT_FOUND is answered for another's session, to an owner as well, and it goes on", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const viewer = await addPerson(app, owner, "viewer");
  const sessions = await as(app, viewer)("GET", "/auth/session");
  const [session] = sessions.data.items as { id: string }[];
  expect((await as(app, owner)("POST", `/auth/session/${session?.id}/delete`, {})).code).toBe("NOT_FOUND");
  expect((await as(app, viewer)("GET", "/auth/me")).code).toBe("SUCCESS");
});

test("a cursor of somebody else's app shows nothing that is not the caller's", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const editor = await addPerson(app, owner, "editor");
  const mine = await addKey(app, editor);
  const theirs = await addKey(app, owner);
  const page = await as(app, editor)("GET", `/app?cursor=${theirs.appId}`);
  expect((page.data.items as { id: string }[]).map(({ id }) => id)).toEqual([mine.appId]);
});

test("a key names its own app and no other, whichever id it asks for", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const one = await addKey(app, owner);
  const two = await addKey(app, owner);
  const ask = async (model: string) => {
    const headers = { authorization: `Bearer ${one.key}` };
    const response = await app.fetch(new Request(`http://localhost:5000/v1/models/${model}`, { headers }));
    const { error } = (await response.json()) as { error?: { message: string } };
    return [response.status, error?.message.replace(model, "…")];
  };
  expect(await ask(one.appId)).toEqual([200, undefined]);
  expect(await ask(two.appId)).toEqual(await ask(missing));
  expect((await ask(two.appId))[0]).toBe(404);
});
