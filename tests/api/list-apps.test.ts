import { expect, test } from "bun:test";
import type { WireApp } from "../../src/handlers/app.ts";
import { startTestApp, type TestApp } from "../harness/app.ts";

interface Page {
  items: WireApp[];
  next_cursor: string | null;
}

const create = async (app: TestApp, body: object = {}) =>
  (await app.call<WireApp>("POST", "/app", { body })).data;

const list = async (app: TestApp, query: Record<string, string> = {}) =>
  app.call<Page>("GET", `/app?${new URLSearchParams(query)}`);

const names = async (app: TestApp, query: Record<string, string>) =>
  (await list(app, query)).data.items.map(({ name }) => name).sort();

test("answers an empty list where there is nothing", async () => {
  await using app = await startTestApp();
  const { status, code, message, data } = await app.call("GET", "/app");
  expect({ status, code, message, data }).toEqual({
    status: 200,
    code: "SUCCESS",
    message: "",
    data: { items: [], next_cursor: null },
  });
});

test("answers the newest first, each as it is got alone", async () => {
  await using app = await startTestApp();
  const made = [
    await create(app, { name: "a" }),
    await create(app, { name: "b", icon: "i" }),
    await create(app),
  ];
  const { data } = await app.call<Page>("GET", "/app");
  expect(data).toEqual({ items: made.reverse(), next_cursor: null });
});

test("answers 20 without a limit, and as many as the limit says", async () => {
  await using app = await startTestApp();
  await Promise.all(Array.from({ length: 102 }, () => create(app)));
  const counts = await Promise.all(
    [{}, { limit: "1" }, { limit: "99" }, { limit: "100" }].map(async (query) => {
      const { items } = (await list(app, query as Record<string, string>)).data;
      return items.length;
    }),
  );
  expect(counts).toEqual([20, 1, 99, 100]);
});

test("covers all apps exactly once page by page, though they were made in the same moment", async () => {
  await using app = await startTestApp();
  const made = await Promise.all(
    Array.from({ length: 23 }, (_, index) => create(app, { name: `n${index}` })),
  );
  await app.database.sql`update app set created_at = '2026-01-01', updated_at = '2026-01-01'`;
  for (const limit of ["1", "5", "22", "23", "24"]) {
    const seen: string[] = [];
    let cursor: string | null = "";
    let pages = 0;
    while (cursor !== null) {
      const { data }: { data: Page } = await list(app, { limit, ...(cursor && { cursor }) });
      seen.push(...data.items.map(({ id }) => id));
      cursor = data.next_cursor;
      pages++;
    }
    expect(pages).toBe(Math.ceil(23 / Number(limit)));
    expect(seen).toEqual(
      made
        .map(({ id }) => id)
        .sort()
        .reverse(),
    );
  }
});

test("goes on where it was, though apps appear and vanish between the pages", async () => {
  await using app = await startTestApp();
  const made = [];
  for (let i = 0; i < 6; i++) made.push((await create(app)).id);
  const { data: first } = await list(app, { limit: "2" });
  expect(first.items.map(({ id }) => id)).toEqual([made[5], made[4]] as string[]);
  await create(app, { name: "newer" });
  await app.call("POST", `/app/${made[4]}/delete`); // The cursor itself.
  await app.call("POST", `/app/${made[2]}/delete`);
  const { data: second } = await list(app, { limit: "2", cursor: first.next_cursor ?? "" });
  expect(second.items.map(({ id }) => id)).toEqual([made[3], made[1]] as string[]);
  const { data: third } = await list(app, { limit: "2", cursor: second.next_cursor ?? "" });
  expect(third).toMatchObject({ items: [{ id: made[0] }], next_cursor: null });
});

test("finds what is searched for literally: no character is a wildcard", async () => {
  await using app = await startTestApp();
  for (const name of ["100%", "1000", "a_b", "axb", "c\\d", "cd", "e'f", "g h", "g+h"])
    await create(app, { name });
  const found = await Promise.all(
    ["%", "_", "\\", "'", " ", "+", "0%", "a_b", ".*", "a.b"].map(async (search) => [
      search,
      await names(app, { search }),
    ]),
  );
  expect(Object.fromEntries(found)).toEqual({
    "%": ["100%"],
    _: ["a_b"],
    "\\": ["c\\d"],
    "'": ["e'f"],
    " ": ["g h"],
    "+": ["g+h"],
    "0%": ["100%"],
    a_b: ["a_b"],
    ".*": [],
    "a.b": [],
  });
});

test("finds names in any case, in any script, whether escaped or not", async () => {
  await using app = await startTestApp();
  for (const name of ["Translator", "翻译助手", "Écrivain", "🙂 smile"]) await create(app, { name });
  expect(await names(app, { search: "TRANS" })).toEqual(["Translator"]);
  expect(await names(app, { search: "lator" })).toEqual(["Translator"]);
  expect(await names(app, { search: "译助" })).toEqual(["翻译助手"]);
  expect(await names(app, { search: "éCRI" })).toEqual(["Écrivain"]);
  expect(await names(app, { search: "🙂" })).toEqual(["🙂 smile"]);
  expect(await names(app, { search: "nothing of it" })).toEqual([]);
  const plus = await app.call<Page>("GET", "/app?search=%F0%9F%99%82+SM");
  expect(plus.data.items.map(({ name }) => name)).toEqual(["🙂 smile"]);
});

test("shows only the status that is asked for, and all without one", async () => {
  await using app = await startTestApp();
  for (const status of ["", "disabled", "archived"]) {
    const { id } = await create(app, { name: `is ${status || "in use"}` });
    await app.call("POST", `/app/${id}`, { body: { status } });
  }
  expect(await names(app, { status: "" })).toEqual(["is in use"]);
  expect(await names(app, { status: "disabled" })).toEqual(["is disabled"]);
  expect(await names(app, { status: "archived" })).toEqual(["is archived"]);
  expect(await names(app, {})).toEqual(["is archived", "is disabled", "is in use"]);
  expect(await names(app, { status: "archived", search: "USE" })).toEqual([]);
});

test("filters before it cuts the page", async () => {
  await using app = await startTestApp();
  for (let i = 0; i < 5; i++) {
    await create(app, { name: `hit ${i}` });
    await create(app, { name: `miss ${i}` });
  }
  const { data: first } = await list(app, { search: "hit", limit: "3" });
  expect(first.items.map(({ name }) => name)).toEqual(["hit 4", "hit 3", "hit 2"]);
  const { data: second } = await list(app, { search: "hit", limit: "3", cursor: first.next_cursor ?? "" });
  expect(second.items.map(({ name }) => name)).toEqual(["hit 1", "hit 0"]);
  expect(second.next_cursor).toBeNull();
});

test("never shows a deleted app, under no filter", async () => {
  await using app = await startTestApp();
  const { id } = await create(app, { name: "gone" });
  await app.call("POST", `/app/${id}/delete`);
  for (const query of [{}, { search: "gone" }, { status: "" }, { limit: "100" }] as Record<
    string,
    string
  >[]) {
    expect((await list(app, query)).data).toEqual({ items: [], next_cursor: null });
  }
});
