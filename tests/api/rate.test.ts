import { expect, test } from "bun:test";
import { newId } from "../../src/id.ts";
import { listAllRate } from "../../src/sql/rate.ts";
import { dataOf, type PeopledApp, type Person, startWithPeople } from "../harness/people.ts";

interface Wire {
  id: string;
  base: string;
  quote: string;
  value: string;
  valid_from: string;
  [field: string]: unknown;
}
interface Page {
  items: Wire[];
  next_cursor: string | null;
}

const make = async (person: Person, body: object) =>
  dataOf(await person.call<Wire>("POST", "/rate", { body }));
const list = async ({ owner }: PeopledApp, query = "") =>
  dataOf(await owner.call<Page>("GET", `/rate${query}`));

test("keeps rates from a time on, exactly, and everybody sees them", async () => {
  await using app = await startWithPeople();
  const body = {
    base: "USD",
    quote: "CNY",
    value: "007.123456789010",
    valid_from: "2026-01-01T08:00:00+08:00",
    source: "https://example.com",
  };
  const first = await make(app.owner, body);
  expect(first).toEqual({
    ...body,
    id: expect.any(String),
    value: "7.12345678901",
    valid_from: "2026-01-01T00:00:00.000Z",
    created_at: expect.stringMatching(/Z$/),
  });
  const before = Date.now();
  const second = await make(app.owner, { base: "EUR", quote: "CNY", value: "999999999999.000000000001" });
  expect(second).toMatchObject({ value: "999999999999.000000000001", source: "" });
  expect(Date.parse(second.valid_from)).toBeWithin(before, Date.now() + 1);
  expect(await list(app)).toEqual({ items: [second, first], next_cursor: null });
  const viewer = await app.add("viewer");
  expect(dataOf(await viewer.call<Page>("GET", "/rate")).items).toEqual([second, first]);
  // The oldest first, for whoever looks for the last that is valid.
  const stored = await listAllRate(app.database.sql);
  expect(stored.map(({ id, value }) => [id, value])).toEqual([
    [first.id, first.value],
    [second.id, second.value],
  ]);
});

test("refuses a rate of 0, of a currency in itself, and a second one of the same time", async () => {
  await using app = await startWithPeople();
  const body = { base: "USD", quote: "CNY", value: "7.1", valid_from: "2026-01-01T00:00:00Z" };
  const call = (change: object) => app.owner.call("POST", "/rate", { body: { ...body, ...change } });
  expect(await call({ value: "0.000" })).toMatchObject({
    code: "VALIDATE_ERROR",
    data: { value: ["必须大于 0"] },
  });
  expect(await call({ quote: "USD" })).toMatchObject({
    code: "VALIDATE_ERROR",
    data: { quote: ["必须是另一种货币"] },
  });
  expect(await list(app)).toEqual({ items: [], next_cursor: null });
  dataOf(await call({}));
  expect((await call({ value: "8" })).code).toBe("CONFLICT");
  dataOf(await call({ valid_from: "2026-01-01T00:00:00.001Z" }));
  dataOf(await call({ base: "CNY", quote: "USD" }));
});

test("lists by both currencies, page by page", async () => {
  await using app = await startWithPeople();
  const made: string[] = [];
  for (const [base, quote] of [
    ["USD", "CNY"],
    ["EUR", "CNY"],
    ["USD", "EUR"],
    ["JPY", "CNY"],
  ]) {
    made.unshift((await make(app.owner, { base, quote, value: "1" })).id);
  }
  const ids = async (query: string) => (await list(app, query)).items.map(({ id }) => id);
  expect(await ids("?base=USD")).toEqual([made[1] ?? "", made[3] ?? ""]);
  expect(await ids("?quote=CNY&base=EUR")).toEqual([made[2] ?? ""]);
  const first = await list(app, "?quote=CNY&limit=2");
  expect(first.items.map(({ id }) => id)).toEqual([made[0] ?? "", made[2] ?? ""]);
  expect(await ids(`?quote=CNY&limit=2&cursor=${first.next_cursor}`)).toEqual([made[3] ?? ""]);
  for (const bad of ["base=usd", "quote=", "limit=101", "cursor=x", "base=USD&base=USD"]) {
    expect((await app.owner.call("GET", `/rate?${bad}`)).code).toBe("VALIDATE_ERROR");
  }
});

test("deletes a rate once, and both ends of it are on record", async () => {
  await using app = await startWithPeople();
  const { id } = await make(app.owner, { base: "USD", quote: "CNY", value: "7.1" });
  expect(await app.owner.call("POST", `/rate/${id}/delete`)).toMatchObject({
    code: "SUCCESS",
    message: "汇率已经成功删除",
    data: {},
  });
  for (const gone of [id, newId()]) {
    expect(await app.owner.call("POST", `/rate/${gone}/delete`)).toMatchObject({
      code: "NOT_FOUND",
      message: "汇率不存在",
    });
  }
  expect((await list(app)).items).toEqual([]);
  const log = dataOf(
    await app.owner.call<{ items: Record<string, unknown>[] }>("GET", "/audit?subject_kind=rate"),
  );
  expect(log.items).toMatchObject([
    { action: "rate.delete", subject_id: id, before: { base: "USD", value: "7.1" }, after: null },
    { action: "rate.create", subject_id: id, before: null, after: { quote: "CNY", value: "7.1" } },
  ]);
});
