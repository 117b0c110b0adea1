import { expect, test } from "bun:test";
import type { Sql } from "../../src/database/pool.ts";
import type { WireBudget, WireBudgetExplanation } from "../../src/handlers/budget.ts";
import { newId } from "../../src/id.ts";
import { listUsableBudget } from "../../src/sql/budget.ts";
import { dataOf, type PeopledApp, type Person, startWithPeople } from "../harness/people.ts";

interface Page {
  items: WireBudget[];
  next_cursor: string | null;
}

/** What each needs beside its subject. */
const plain = { name: "budget", period: "forever", currency: "CNY", amount: "10" };

const make = async (person: Person, body: object) =>
  dataOf(await person.call<WireBudget>("POST", "/budget", { body: { ...plain, ...body } }));
const get = async (person: Person, id: string, query = "") =>
  dataOf(await person.call<WireBudget>("GET", `/budget/${id}${query}`));
const explain = async (person: Person, id: string, query = "") =>
  dataOf(await person.call<WireBudgetExplanation>("GET", `/budget/${id}/explain${query}`));

/** The period of a budget without an end. */
const forever = "1970-01-01T00:00:00.000Z";

interface Spending {
  budgetId: string;
  endUser?: string;
  startsAt?: string;
  spent: string;
  exceededCalls?: number;
  exceeded?: string;
}

async function plantPeriod(sql: Sql, it: Spending) {
  const { budgetId, endUser = "", startsAt = forever, spent, exceededCalls = 0, exceeded = "0" } = it;
  await sql`
    insert into budget_period (budget_id, end_user, starts_at, spent, exceeded_calls, exceeded)
    values (${budgetId}, ${endUser}, ${startsAt}, ${spent}, ${exceededCalls}, ${exceeded})`;
}

/** Something that a process holds, which has `seconds` to live, or of which nothing is known. */
async function plantLease(
  sql: Sql,
  it: { budgetId: string; endUser?: string; startsAt?: string; amount: string; seconds?: number },
) {
  const { budgetId, endUser = "", startsAt = forever, amount, seconds } = it;
  const holder = newId();
  if (seconds !== undefined) {
    await sql`
      insert into lease_holder values (${holder}, 'host-1', now(), now() + ${seconds} * interval '1 second', now())`;
  }
  await sql`
    insert into budget_lease (budget_id, end_user, starts_at, holder_id, amount)
    values (${budgetId}, ${endUser}, ${startsAt}, ${holder}, ${amount})`;
  return holder;
}

async function plantEntry(
  sql: Sql,
  it: { budgetId: string; endUser?: string; startsAt?: string; amount: string; kind?: string },
) {
  const { budgetId, endUser = "", startsAt = forever, amount, kind = "call" } = it;
  const id = newId();
  await sql`
    insert into ledger (id, budget_id, end_user, starts_at, kind, request_id, currency, cost, rate, amount, created_at)
    values (${id}, ${budgetId}, ${endUser}, ${startsAt}, ${kind}, ${newId()}, 'USD', ${amount}::numeric / 7.1, 7.10,
      ${amount}, '2026-11-24T08:00:00Z')`;
  return id;
}

/** The first moment of the month in Shanghai, which has no summer time. */
function monthInShanghai(at: number): string {
  const local = new Date(at + 8 * 3600_000);
  return new Date(Date.UTC(local.getUTCFullYear(), local.getUTCMonth()) - 8 * 3600_000).toISOString();
}

test("keeps a budget of every scope, and nothing is spent of it", async () => {
  await using app = await startWithPeople();
  const { appId, id: keyId } = await app.addKey(app.owner);
  const made: WireBudget[] = [];
  for (const fields of [
    { scope: "key", subject_id: keyId },
    { scope: "app", subject_id: appId.toUpperCase(), amount: "0010.500" },
    { scope: "account", subject_id: app.owner.id, hard: false, status: "disabled" },
    { scope: "user", subject_id: appId, end_user: "user-17", warn_at: [1, 0.25, 1, 0.001] },
    { scope: "user", subject_id: appId, end_user: null, warn_at: [] },
  ]) {
    const budget = await make(app.owner, fields);
    expect(budget).toMatchObject({
      ...{ ...plain, end_user: null, time_zone: "UTC", hard: true, warn_at: [0.8], status: "" },
      ...{ ...fields, subject_id: fields.subject_id.toLowerCase() },
      ...(fields.amount !== undefined && { amount: "10.5" }),
      ...(fields.warn_at?.length && { warn_at: [0.001, 0.25, 1] }),
    });
    const each = fields.scope === "user" && fields.end_user === null;
    const limit = each ? "0" : budget.amount;
    expect(budget.state).toEqual({
      ...{ starts_at: forever, ends_at: null, users: each ? 0 : null },
      ...{ used: "0", held: "0", unknown: "0", limit, left: limit },
      ...{ exceeded_calls: 0, exceeded: "0", warnings: [] },
    });
    expect(await get(app.owner, budget.id)).toEqual(budget);
    made.unshift(budget);
  }
  expect(dataOf(await app.owner.call<Page>("GET", "/budget"))).toEqual({ items: made, next_cursor: null });
  const usable = await listUsableBudget(app.database.sql);
  expect(usable.map(({ id }) => id).sort()).toEqual(
    made
      .filter(({ status }) => status === "")
      .map(({ id }) => id)
      .sort(),
  );
  expect(usable.find(({ end_user }) => end_user !== null)).toMatchObject({
    amount: "10",
    warn_at: [0.001, 0.25, 1],
  });
});

test("shows the period that is now in the budget's own time zone", async () => {
  await using app = await startWithPeople();
  const month = { scope: "account", subject_id: app.owner.id, period: "month", time_zone: "Asia/Shanghai" };
  const before = monthInShanghai(Date.now());
  const { state } = await make(app.owner, month);
  expect([before, monthInShanghai(Date.now())]).toContain(state.starts_at);
  expect(state.ends_at).toBe(monthInShanghai(Date.parse(state.starts_at) + 40 * 86_400_000));
});

test("refuses a subject that there is not, a user of what has none, and a time zone that nobody knows", async () => {
  await using app = await startWithPeople();
  const { appId, id: keyId } = await app.addKey(app.owner);
  const ofApp = { scope: "app", subject_id: appId };
  for (const [body, data] of [
    [{ scope: "app", subject_id: keyId }, { subject_id: ["应用不存在"] }],
    [{ scope: "user", subject_id: keyId }, { subject_id: ["应用不存在"] }],
    [{ scope: "key", subject_id: appId }, { subject_id: ["密钥不存在"] }],
    [{ scope: "account", subject_id: newId() }, { subject_id: ["账号不存在"] }],
    [{ ...ofApp, end_user: "a" }, { end_user: ["只能与 scope 为 user 同用"] }],
    [{ ...ofApp, time_zone: "Asia/Nowhere" }, { time_zone: [expect.stringContaining("IANA")] }],
    // PostgreSQL would take it for eight hours behind.
    [{ ...ofApp, time_zone: "+08:00" }, { time_zone: [expect.stringContaining("IANA")] }],
    [{ ...ofApp, warn_at: [0.8001] }, { warn_at: ["最多三位小数"] }],
    [{ ...ofApp, amount: "-1" }, { amount: [expect.stringContaining("非负小数")] }],
  ] as const) {
    const answer = await app.owner.call("POST", "/budget", { body: { ...plain, ...body } });
    expect([body, answer.code, answer.data] as unknown[]).toEqual([body, "VALIDATE_ERROR", data]);
  }
  expect(await listUsableBudget(app.database.sql)).toHaveLength(0);
});

test("changes what may be changed and nothing else; deleted it is gone, and what was spent of it stays", async () => {
  await using app = await startWithPeople();
  const { sql } = app.database;
  const budget = await make(app.owner, { scope: "account", subject_id: app.owner.id });
  const path = `/budget/${budget.id}`;
  await plantPeriod(sql, { budgetId: budget.id, spent: "9" });
  const body = { name: "more", amount: "12.00", hard: false, warn_at: [0.9, 0.7], status: "disabled" };
  const answer = await app.owner.call<WireBudget>("POST", path, { body });
  expect(answer.message).toBe("预算 more 已经成功修改");
  const changed = dataOf(answer);
  expect(changed).toMatchObject({ ...body, amount: "12", warn_at: [0.7, 0.9], period: "forever" });
  expect(changed.state).toMatchObject({ used: "9", left: "3", warnings: [0.7] });
  expect(await get(app.owner, budget.id)).toEqual(changed);
  expect(dataOf(await app.owner.call<WireBudget>("POST", path, { body: {} }))).toEqual(changed);
  for (const field of ["scope", "subject_id", "end_user", "period", "time_zone", "currency"]) {
    const { code, data } = await app.owner.call("POST", path, { body: { [field]: "day" } });
    expect([field, code, Object.keys(data)]).toEqual([field, "VALIDATE_ERROR", [field]]);
  }
  const deleted = await app.owner.call("POST", `${path}/delete`);
  expect(deleted).toMatchObject({ code: "SUCCESS", message: "预算已经成功删除", data: {} });
  for (const [method, to] of [
    ["GET", path],
    ["GET", `${path}/explain`],
    ["POST", path],
    ["POST", `${path}/delete`],
  ] as const) {
    expect(await app.owner.call(method, to)).toMatchObject({ code: "NOT_FOUND", message: "预算不存在" });
  }
  expect(dataOf(await app.owner.call<Page>("GET", "/budget")).items).toEqual([]);
  const [kept] = await sql`
    select deleted_at, spent::float8 as spent from budget join budget_period on budget_id = budget.id`;
  expect({ ...kept }).toEqual({ deleted_at: expect.any(Date), spent: 9 });
  const log = dataOf(
    await app.owner.call<{ items: Record<string, unknown>[] }>("GET", "/audit?subject_kind=budget"),
  );
  expect(log.items).toMatchObject([
    { action: "budget.delete", subject_id: budget.id, before: { name: "more" }, after: null },
    { action: "budget.update", before: { amount: "10", hard: true }, after: { amount: "12", hard: false } },
    { action: "budget.create", before: null, after: { currency: "CNY", warn_at: [0.8] } },
  ]);
  expect(JSON.stringify(log.items)).not.toContain("***");
});

test("adds up what is booked, what the living hold, and what nobody knows of any more", async () => {
  await using app = await startWithPeople();
  const { sql } = app.database;
  const { id: budgetId } = await make(app.owner, {
    ...{ scope: "account", subject_id: app.owner.id, amount: "10", warn_at: [0.5, 0.8, 0.801, 1] },
  });
  const other = await make(app.owner, { scope: "account", subject_id: app.owner.id });
  await plantPeriod(sql, {
    ...{ budgetId, spent: "8.000000000000000001", exceededCalls: 2, exceeded: "0.30" },
  });
  await plantPeriod(sql, { budgetId: other.id, spent: "99" });
  // Another period of the same budget.
  await plantPeriod(sql, { budgetId, startsAt: "2020-01-01T00:00:00Z", spent: "1000" });
  await plantLease(sql, { budgetId, startsAt: "2020-01-01T00:00:00Z", amount: "1000", seconds: 60 });
  await plantLease(sql, { budgetId, amount: "0.5", seconds: 60 });
  await plantLease(sql, { budgetId, amount: "0.25", seconds: 60 });
  await plantLease(sql, { budgetId, amount: "0.125", seconds: -1 });
  await plantLease(sql, { budgetId, amount: "0.0625" });
  const { state } = await get(app.owner, budgetId);
  expect(state).toEqual({
    ...{ starts_at: forever, ends_at: null, users: null, limit: "10", used: "8.000000000000000001" },
    ...{ held: "0.75", unknown: "0.1875", left: "1.062499999999999999" },
    ...{ exceeded_calls: 2, exceeded: "0.3", warnings: [0.5, 0.8] },
  });
  const { items } = dataOf(await app.owner.call<Page>("GET", "/budget"));
  expect(items.map((item) => item.state.used)).toEqual(["99", "8.000000000000000001"]);
  expect(items[1]?.state).toEqual(state);
  // More is held than there is.
  expect(items[0]?.state).toMatchObject({ limit: "10", left: "0", warnings: [0.8] });
});

test("adds up all users where each has the budget, and shows one alone", async () => {
  await using app = await startWithPeople();
  const { sql } = app.database;
  const { appId } = await app.addKey(app.owner);
  const each = { scope: "user", subject_id: appId, warn_at: [0.5, 0.9] };
  const { id: budgetId } = await make(app.owner, each);
  for (const [endUser, spent, held] of [
    ["a", "6", "1"],
    ["b", "1", "0.5"],
    ["c", "11", "2"],
  ] as const) {
    await plantPeriod(sql, { budgetId, endUser, spent });
    await plantLease(sql, { budgetId, endUser, amount: held, seconds: 60 });
  }
  const all = { used: "18", held: "3.5", unknown: "0", limit: "30", left: "11.5", users: 3 };
  expect((await get(app.owner, budgetId)).state).toMatchObject({ ...all, warnings: [0.5, 0.9] });
  const one = async (name: string) => (await get(app.owner, budgetId, `?end_user=${name}`)).state;
  expect(await one("a")).toMatchObject({
    ...{ used: "6", held: "1", limit: "10", left: "3", users: null, warnings: [0.5] },
  });
  expect(await one("c")).toMatchObject({ used: "11", left: "0", warnings: [0.5, 0.9] });
  expect(await one("nobody")).toMatchObject({ used: "0", held: "0", limit: "10", left: "10", warnings: [] });
  const { items } = dataOf(await app.owner.call<Page>("GET", "/budget"));
  expect(items[0]?.state).toMatchObject(all);
  // A budget of one user is nobody else's, and one of an app is no user's.
  const named = await make(app.owner, { ...each, end_user: "a" });
  expect((await get(app.owner, named.id, "?end_user=a")).state).toEqual(named.state);
  const ofApp = await make(app.owner, { scope: "app", subject_id: appId });
  for (const path of [
    `/budget/${named.id}?end_user=b`,
    `/budget/${named.id}/explain?end_user=b`,
    `/budget/${ofApp.id}?end_user=a`,
  ]) {
    expect(await app.owner.call("GET", path)).toMatchObject({
      code: "VALIDATE_ERROR",
      data: { end_user: ["不是这个用户的预算"] },
    });
  }
});

test("shows each person the budgets of what they may see, and answers all others like none", async () => {
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
    await plant(`${name} app`, { scope: "app", subject_id: appId });
    await plant(`${name} key`, { scope: "key", subject_id: id });
    await plant(`${name} users`, { scope: "user", subject_id: appId });
    await plant(`${name} user`, { scope: "user", subject_id: appId, end_user: "x" });
  }
  await plant("editor", { scope: "account", subject_id: editor.id });
  await plant("owner", { scope: "account", subject_id: app.owner.id });
  const seenBy = async (person: Person) => {
    const { items } = dataOf(await person.call<Page>("GET", "/budget?limit=100"));
    const names = Object.keys(ids).filter((name) => items.some(({ id }) => id === ids[name]));
    for (const [name, id] of Object.entries(ids)) {
      const expected = names.includes(name) ? "SUCCESS" : "NOT_FOUND";
      for (const path of [`/budget/${id}`, `/budget/${id}/explain`]) {
        const { code } = await person.call("GET", path);
        expect([person.role, name, path, code]).toEqual([person.role, name, path, expected]);
      }
    }
    return names;
  };
  expect(await seenBy(app.owner)).toEqual(Object.keys(ids));
  expect(await seenBy(await app.add("admin"))).toEqual(Object.keys(ids));
  expect(await seenBy(editor)).toEqual(["mine app", "mine key", "mine users", "mine user", "editor"]);
  expect(await seenBy(viewer)).toEqual(["shared app", "shared key", "shared users", "shared user"]);
  dataOf(await editor.call("POST", `/app/${mine.appId}/delete`));
  expect(await seenBy(editor)).toEqual(["editor"]);
}, 30_000);

test("lists by scope and subject, page by page, each budget once", async () => {
  await using app = await startWithPeople();
  const { appId, id: keyId } = await app.addKey(app.owner);
  const made: string[] = [];
  for (let count = 0; count < 5; count++) {
    made.unshift((await make(app.owner, { scope: "app", subject_id: appId })).id);
  }
  const ofKey = await make(app.owner, { scope: "key", subject_id: keyId });
  const page = async (query: string) => dataOf(await app.owner.call<Page>("GET", `/budget?${query}`));
  const seen: string[] = [];
  let cursor = "";
  for (let pages = 0; pages < 3; pages++) {
    const { items, next_cursor } = await page(`subject_id=${appId.toUpperCase()}&limit=2${cursor}`);
    seen.push(...items.map(({ id }) => id));
    expect(next_cursor === null).toBe(pages === 2);
    cursor = `&cursor=${next_cursor}`;
  }
  expect(seen).toEqual(made);
  expect((await page("scope=key")).items).toEqual([ofKey]);
  expect((await page(`scope=key&subject_id=${appId}`)).items).toEqual([]);
  for (const bad of ["scope=model", "subject_id=x", "limit=0", "cursor=x", "scope=app&scope=app"]) {
    expect((await app.owner.call("GET", `/budget?${bad}`)).code).toBe("VALIDATE_ERROR");
  }
});

/** A budget of which 3 was spent in three calls. */
async function withLedger(app: PeopledApp) {
  const { sql } = app.database;
  const { id: budgetId } = await make(app.owner, { scope: "account", subject_id: app.owner.id });
  await plantPeriod(sql, { budgetId, spent: "3" });
  const entries = [
    await plantEntry(sql, { budgetId, amount: "0.71" }),
    await plantEntry(sql, { budgetId, amount: "3.55" }),
    await plantEntry(sql, { budgetId, amount: "-1.26", kind: "reprice" }),
  ];
  return { budgetId, entries: entries.reverse() };
}

test("explains a budget by what was booked, newest first, page by page, and says that it adds up", async () => {
  await using app = await startWithPeople();
  const { sql } = app.database;
  const { budgetId, entries } = await withLedger(app);
  const first = await explain(app.owner, budgetId, "?limit=2");
  expect(first.state).toEqual((await get(app.owner, budgetId)).state);
  expect(first.sums).toEqual({ ledger: "3", spent: "3", equal: true });
  expect(first.ledger.items.map(({ id }) => id)).toEqual(entries.slice(0, 2));
  expect(first.ledger.items[1]).toEqual({
    ...{ id: entries[1] ?? "", end_user: "", kind: "call", request_id: expect.any(String), currency: "USD" },
    ...{ cost: "0.5", rate: "7.1", amount: "3.55", bound_exceeded: false },
    created_at: "2026-11-24T08:00:00.000Z",
  });
  expect(first.ledger.items[0]).toMatchObject({ kind: "reprice", amount: "-1.26" });
  const second = await explain(app.owner, budgetId, `?limit=2&cursor=${first.ledger.next_cursor}`);
  expect(second.ledger.items.map(({ id }) => id)).toEqual(entries.slice(2));
  expect(second.ledger.next_cursor).toBeNull();
  // The sums are always those of the whole period.
  expect(second.sums).toEqual(first.sums);
  await sql`update budget_period set spent = 3.000000000000000001 where budget_id = ${budgetId}`;
  expect((await explain(app.owner, budgetId)).sums).toEqual({
    ...{ ledger: "3", spent: "3.000000000000000001", equal: false },
  });
});

test("explains a budget by what each process holds, the most first", async () => {
  await using app = await startWithPeople();
  const { sql } = app.database;
  const { budgetId } = await withLedger(app);
  const lost = await plantLease(sql, { budgetId, amount: "0.5" });
  const silent = await plantLease(sql, { budgetId, amount: "0.25", seconds: -1 });
  const alive = await plantLease(sql, { budgetId, amount: "1.50", seconds: 60 });
  await plantLease(sql, { budgetId, amount: "0", seconds: 60 });
  const { leases, state } = await explain(app.owner, budgetId);
  const at = expect.stringMatching(/^\d{4}-.*Z$/);
  expect(leases).toEqual([
    { holder_id: alive, end_user: "", name: "host-1", amount: "1.5", expires_at: at, unknown: false },
    { holder_id: lost, end_user: "", name: null, amount: "0.5", expires_at: null, unknown: true },
    { holder_id: silent, end_user: "", name: "host-1", amount: "0.25", expires_at: at, unknown: true },
  ]);
  expect(state).toMatchObject({ held: "1.5", unknown: "0.75" });
});

test("explains one user alone, and a period that is over by any of its moments", async () => {
  await using app = await startWithPeople();
  const { sql } = app.database;
  const { appId } = await app.addKey(app.owner);
  const { id: budgetId } = await make(app.owner, {
    ...{ scope: "user", subject_id: appId, period: "day", time_zone: "Asia/Shanghai" },
  });
  const startsAt = "2026-03-01T16:00:00.000Z";
  for (const [endUser, amount] of [
    ["a", "1"],
    ["b", "2"],
  ] as const) {
    await plantPeriod(sql, { budgetId, endUser, startsAt, spent: amount });
    await plantEntry(sql, { budgetId, endUser, startsAt, amount });
    await plantLease(sql, { budgetId, endUser, startsAt, amount, seconds: 60 });
  }
  const now = await explain(app.owner, budgetId);
  expect(now).toMatchObject({
    ...{ state: { used: "0", users: 0 }, leases: [], ledger: { items: [], next_cursor: null } },
    sums: { ledger: "0", spent: "0", equal: true },
  });
  const then = (moment: string, more = "") =>
    explain(app.owner, budgetId, `?starts_at=${encodeURIComponent(moment)}${more}`);
  const all = await then(startsAt);
  expect(all.state).toMatchObject({ starts_at: startsAt, ends_at: "2026-03-02T16:00:00.000Z", users: 2 });
  expect(all.sums).toEqual({ ledger: "3", spent: "3", equal: true });
  expect(all.leases.map(({ end_user }) => end_user)).toEqual(["b", "a"]);
  expect(all.ledger.items.map(({ end_user }) => end_user)).toEqual(["b", "a"]);
  expect(await then("2026-03-02T23:59:59.999+08:00")).toEqual(all);
  const one = await then(startsAt, "&end_user=b");
  expect(one.state).toMatchObject({ used: "2", held: "2", limit: "10", users: null });
  expect(one.leases.map(({ end_user }) => end_user)).toEqual(["b"]);
  expect(one.ledger.items.map(({ amount }) => amount)).toEqual(["2"]);
  expect(one.sums).toEqual({ ledger: "2", spent: "2", equal: true });
  for (const moment of ["2026-03-01T15:59:59.999Z", "2026-03-02T16:00:00Z"]) {
    expect((await then(moment)).ledger.items).toEqual([]);
  }
  // What is to come is the present period.
  expect((await then("9999-12-31T23:59:59.999Z")).state.starts_at >= now.state.starts_at).toBe(true);
  expect((await then("0001-01-01T00:00:00Z")).state.starts_at).toBe("1969-12-31T16:00:00.000Z");
  for (const bad of ["starts_at=yesterday", "end_user=", "cursor=x", "limit=101", "moment=1"]) {
    expect((await app.owner.call("GET", `/budget/${budgetId}/explain?${bad}`)).code).toBe("VALIDATE_ERROR");
  }
});
