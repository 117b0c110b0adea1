import { expect, test } from "bun:test";
import { newId } from "../../src/id.ts";
import { defaultRateLimit } from "../../src/limits/rules.ts";
import { listAllRateLimit } from "../../src/sql/rate-limit.ts";
import { startTestApp } from "../harness/app.ts";
import { dataOf, type Person, startWithPeople } from "../harness/people.ts";

interface Wire {
  id: string;
  scope: string;
  subject: string;
  end_user: string;
  [field: string]: unknown;
}
interface Page {
  items: Wire[];
  next_cursor: string | null;
}

const make = async (person: Person, body: object) =>
  dataOf(await person.call<Wire>("POST", "/rate-limit", { body }));

test("keeps limits of every scope, each as it was made", async () => {
  await using app = await startWithPeople();
  const { appId, id: keyId } = await app.addKey(app.owner);
  const nothing = { subject: "", end_user: "", requests: null, tokens: null, concurrency: null };
  const made: Wire[] = [];
  for (const fields of [
    { scope: "key", subject: keyId, requests: 1 },
    { scope: "app", subject: appId, tokens: 1_000_000_000_000 },
    { scope: "account", subject: app.owner.id, concurrency: 3 },
    { scope: "user", subject: appId, end_user: "user-17", requests: 5, tokens: null },
    { scope: "user", subject: appId },
    { scope: "model", subject: "gpt", requests: 7, tokens: 8, concurrency: 9 },
    { scope: "user", requests: 60 },
  ]) {
    const limit = await make(app.owner, fields);
    expect(limit).toEqual({
      ...nothing,
      ...fields,
      id: expect.any(String),
      created_at: expect.stringMatching(/Z$/),
      updated_at: limit.created_at,
    });
    expect(dataOf(await app.owner.call<Wire>("GET", `/rate-limit/${limit.id}`))).toEqual(limit);
    made.push(limit);
  }
  const listed = dataOf(await app.owner.call<Page>("GET", "/rate-limit"));
  expect(listed).toEqual({ items: made.toReversed(), next_cursor: null });
  const stored = await listAllRateLimit(app.database.sql);
  expect(stored.map(({ requests }) => requests).sort()).toEqual(
    made.map(({ requests }) => requests as number | null).sort(),
  );
});

test("stores the id of a subject in one form, so that two limits of it are a conflict", async () => {
  await using app = await startWithPeople();
  const { appId } = await app.addKey(app.owner);
  const limit = await make(app.owner, { scope: "app", subject: appId.toUpperCase() });
  expect(limit.subject).toBe(appId);
  const found = dataOf(await app.owner.call<Page>("GET", `/rate-limit?subject=${appId.toUpperCase()}`));
  expect(found.items).toEqual([limit]);
  const call = (body: object) => app.owner.call("POST", "/rate-limit", { body });
  expect(await call({ scope: "app", subject: appId })).toMatchObject({
    code: "CONFLICT",
    message: "这个对象已有限流",
  });
  // Another scope, another user, and everybody's are others.
  for (const body of [
    { scope: "user", subject: appId },
    { scope: "user", subject: appId, end_user: "a" },
    { scope: "user", subject: appId, end_user: "A" },
    { scope: "app" },
    { scope: "model" },
  ]) {
    dataOf(await call(body));
    expect((await call(body)).code).toBe("CONFLICT");
  }
});

test("refuses a subject that this installation does not have, and a user without an app", async () => {
  await using app = await startWithPeople();
  const { appId, id: keyId } = await app.addKey(app.owner);
  const gone = await app.addKey(app.owner);
  dataOf(await app.owner.call("POST", `/app/${gone.appId}/delete`));
  for (const [body, data] of [
    [{ scope: "app", subject: newId() }, { subject: ["应用不存在"] }],
    [{ scope: "app", subject: keyId }, { subject: ["应用不存在"] }],
    [{ scope: "app", subject: gone.appId }, { subject: ["应用不存在"] }],
    [{ scope: "user", subject: app.owner.id }, { subject: ["应用不存在"] }],
    [{ scope: "key", subject: appId }, { subject: ["密钥不存在"] }],
    [{ scope: "key", subject: gone.id }, { subject: ["密钥不存在"] }],
    [{ scope: "account", subject: appId }, { subject: ["账号不存在"] }],
    [{ scope: "account", subject: "owner@example.com" }, { subject: ["不是有效的 UUID"] }],
    [{ scope: "user", end_user: "a" }, { end_user: [expect.stringContaining("scope")] }],
    [{ scope: "app", subject: appId, end_user: "a" }, { end_user: [expect.stringContaining("scope")] }],
    [{ scope: "model", subject: "gpt", requests: 0 }, { requests: ["不能小于 1"] }],
    [{ scope: "model", subject: "gpt", tokens: 1e12 + 1 }, { tokens: ["不能大于 1000000000000"] }],
  ] as const) {
    const answer = await app.owner.call("POST", "/rate-limit", { body });
    expect([body, answer.code, answer.data] as unknown[]).toEqual([body, "VALIDATE_ERROR", data]);
  }
  expect(await listAllRateLimit(app.database.sql)).toHaveLength(0);
});

test("takes the account that owns apps in development, which is none that logs in", async () => {
  await using app = await startTestApp();
  const { data } = await app.call<{ account_id: string }>("POST", "/app");
  const body = { scope: "account", subject: data.account_id, requests: 9 };
  expect(dataOf(await app.call<Wire>("POST", "/rate-limit", { body }))).toMatchObject(body);
});

test("changes what may be asked and nothing else, and each change is on record with its values", async () => {
  await using app = await startWithPeople();
  const { id } = await make(app.owner, { scope: "model", subject: "gpt", requests: 7, tokens: 8 });
  const path = `/rate-limit/${id}`;
  const changed = dataOf(
    await app.owner.call<Wire>("POST", path, { body: { tokens: null, concurrency: 2 } }),
  );
  expect(changed).toMatchObject({ requests: 7, tokens: null, concurrency: 2 });
  expect(dataOf(await app.owner.call<Wire>("GET", path))).toEqual(changed);
  expect(dataOf(await app.owner.call<Wire>("POST", path, { body: {} }))).toEqual(changed);
  for (const field of ["scope", "subject", "end_user"]) {
    const { code, data } = await app.owner.call("POST", path, { body: { [field]: "app" } });
    expect([field, code, Object.keys(data)]).toEqual([field, "VALIDATE_ERROR", [field]]);
  }
  expect(await app.owner.call("POST", `${path}/delete`)).toMatchObject({
    code: "SUCCESS",
    message: "限流已经成功删除",
    data: {},
  });
  for (const [method, to] of [
    ["GET", path],
    ["POST", path],
    ["POST", `${path}/delete`],
  ] as const) {
    expect(await app.owner.call(method, to)).toMatchObject({ code: "NOT_FOUND", message: "限流不存在" });
  }
  const log = dataOf(
    await app.owner.call<{ items: Record<string, unknown>[] }>("GET", `/audit?subject_kind=rate_limit`),
  );
  expect(log.items).toMatchObject([
    { action: "rate_limit.delete", subject_id: id, before: { concurrency: 2 }, after: null },
    { action: "rate_limit.update", subject_id: id, before: { tokens: 8 }, after: { tokens: null } },
    { action: "rate_limit.create", subject_id: id, before: null, after: { subject: "gpt", requests: 7 } },
  ]);
  expect(JSON.stringify(log.items)).not.toContain("***");
});

test("shows each person the limits of what they may see, and answers all others like none", async () => {
  await using app = await startWithPeople();
  const editor = await app.add("editor");
  const viewer = await app.add("viewer");
  const mine = await app.addKey(editor);
  const other = await app.addKey(app.owner);
  const shared = await app.addKey(app.owner);
  const member = { email: viewer.email, role: "viewer" };
  dataOf(await app.owner.call("POST", `/app/${shared.appId}/member`, { body: member }));
  const ids: Record<string, string> = {};
  const plant = async (name: string, body: object) => {
    ids[name] = (await make(app.owner, body)).id;
  };
  for (const [name, { appId, id }] of Object.entries({ mine, other, shared })) {
    await plant(`${name} app`, { scope: "app", subject: appId });
    await plant(`${name} key`, { scope: "key", subject: id });
    await plant(`${name} users`, { scope: "user", subject: appId });
    await plant(`${name} user`, { scope: "user", subject: appId, end_user: "x" });
  }
  await plant("editor", { scope: "account", subject: editor.id });
  await plant("owner", { scope: "account", subject: app.owner.id });
  await plant("model", { scope: "model", subject: "gpt" });
  await plant("all models", { scope: "model" });
  await plant("all apps", { scope: "app" });
  await plant("all accounts", { scope: "account" });
  const seenBy = async (person: Person) => {
    const { items } = dataOf(await person.call<Page>("GET", "/rate-limit?limit=100"));
    const names = Object.keys(ids).filter((name) => items.some(({ id }) => id === ids[name]));
    for (const [name, id] of Object.entries(ids)) {
      const { code } = await person.call("GET", `/rate-limit/${id}`);
      expect([person.role, name, code]).toEqual([
        person.role,
        name,
        names.includes(name) ? "SUCCESS" : "NOT_FOUND",
      ]);
    }
    return names;
  };
  expect(await seenBy(app.owner)).toEqual(Object.keys(ids));
  expect(await seenBy(await app.add("admin"))).toEqual(Object.keys(ids));
  expect(await seenBy(editor)).toEqual([
    ...["mine app", "mine key", "mine users", "mine user", "editor", "model", "all models"],
  ]);
  expect(await seenBy(viewer)).toEqual([
    ...["shared app", "shared key", "shared users", "shared user", "model", "all models"],
  ]);
  dataOf(await editor.call("POST", `/app/${mine.appId}/delete`));
  expect(await seenBy(editor)).toEqual(["editor", "model", "all models"]);
}, 30_000);

test("lists by scope and subject, page by page, each limit once", async () => {
  await using app = await startWithPeople();
  const made: string[] = [];
  for (const subject of ["", "a", "b", "c", "d"]) {
    made.unshift((await make(app.owner, { scope: "model", subject })).id);
  }
  await make(app.owner, { scope: "app" });
  const page = async (query: string) => dataOf(await app.owner.call<Page>("GET", `/rate-limit?${query}`));
  const seen: string[] = [];
  let cursor = "";
  for (let pages = 0; pages < 3; pages++) {
    const { items, next_cursor } = await page(`scope=model&limit=2${cursor}`);
    seen.push(...items.map(({ id }) => id));
    expect(next_cursor === null).toBe(pages === 2);
    cursor = `&cursor=${next_cursor}`;
  }
  expect(seen).toEqual(made);
  expect((await page("subject=b")).items.map(({ subject }) => subject)).toEqual(["b"]);
  expect((await page("scope=model&subject=")).items.map(({ id }) => id)).toEqual(made.slice(-1));
  expect((await page("scope=key")).items).toEqual([]);
  for (const bad of ["scope=nobody", "limit=0", "cursor=x", "scope=app&scope=app"]) {
    expect((await app.owner.call("GET", `/rate-limit?${bad}`)).code).toBe("VALIDATE_ERROR");
  }
});

test("says in its documentation what holds where nobody has said anything", async () => {
  const { paths } = await Bun.file("openapi.json").json();
  const { requests, tokens, concurrency } = defaultRateLimit;
  for (const method of ["get", "post"]) {
    expect(paths["/rate-limit"][method].description).toContain(
      `${requests} requests and ${tokens} tokens in a minute, and ${concurrency} calls at once`,
    );
  }
});
