import { expect, test } from "bun:test";
import { startTestApp } from "../harness/app.ts";
import { appRows } from "../harness/rows.ts";

test("answers with the seed's message, in both languages", async () => {
  await using app = await startTestApp();
  const { data: first } = await app.call<{ id: string }>("POST", "/app");
  const { data: second } = await app.call<{ id: string }>("POST", "/app");
  const chinese = await app.call("POST", `/app/${first.id}/delete`);
  expect(chinese).toMatchObject({
    status: 200,
    code: "SUCCESS",
    message: `应用已经成功删除,id 为${first.id}`,
    data: {},
  });
  const english = await app.call("POST", `/app/${second.id}/delete`, {
    headers: { "accept-language": "en" },
  });
  expect(english.message).toBe(`The app has been deleted, id ${second.id}`);
});

test("keeps the row, marked, and leaves every other app alone", async () => {
  await using app = await startTestApp();
  const { sql } = app.database;
  const { data: gone } = await app.call<{ id: string }>("POST", "/app");
  await app.call("POST", "/app");
  const [, other] = await appRows(sql);
  await app.call("POST", `/app/${gone.id}/delete`, { body: {} });
  const marked =
    await sql`select id, deleted_at is not null and deleted_at = updated_at as marked from app order by id`;
  expect([...marked]).toMatchObject([{ id: gone.id, marked: true }, { marked: false }]);
  expect((await appRows(sql))[1]).toBe(other);
});

test("refuses to read, change, list or delete it again, and writes nothing then", async () => {
  await using app = await startTestApp();
  const { data: gone } = await app.call<{ id: string }>("POST", "/app");
  await app.call("POST", `/app/${gone.id}/delete`);
  const before = await appRows(app.database.sql);
  const answers = [
    await app.call("GET", `/app/${gone.id}`),
    await app.call("POST", `/app/${gone.id}`, { body: { name: "back" } }),
    await app.call("POST", `/app/${gone.id}`, { body: {} }),
    await app.call("POST", `/app/${gone.id}/delete`),
  ];
  expect(answers.map(({ code, message }) => `${code} ${message}`)).toEqual(
    Array.from({ length: 4 }, () => "NOT_FOUND 应用不存在"),
  );
  const { data } = await app.call("GET", "/app");
  expect(data).toEqual({ items: [], next_cursor: null });
  expect(await appRows(app.database.sql)).toEqual(before);
});

test("deletes once where many ask at the same time", async () => {
  await using app = await startTestApp();
  const { data } = await app.call<{ id: string }>("POST", "/app");
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => app.call("POST", `/app/${data.id}/delete`)),
  );
  expect(answers.map(({ code }) => code).sort()).toEqual([...Array(7).fill("NOT_FOUND"), "SUCCESS"]);
});
