import { expect, test } from "bun:test";
import { dataOf, startWithPeople } from "../harness/people.ts";
import { startProvider } from "../harness/provider.ts";

interface Wire {
  id: string;
  name: string;
  has_key: boolean;
  header_names: string[];
  [field: string]: unknown;
}

const key = `sk-canary-${crypto.randomUUID()}`;
const secretHeader = `canary-${crypto.randomUUID()}`;

test("keeps a provider whose key and headers nobody sees again", async () => {
  await using app = await startWithPeople();
  const body = {
    name: "deepseek",
    base_url: "https://api.deepseek.com/",
    api_key: key,
    headers: { "x-team": secretHeader },
    timeouts: { first_byte: 30 },
    concurrency_max: 7,
  };
  const made = dataOf(await app.owner.call<Wire>("POST", "/provider", { body }));
  expect(made).toMatchObject({
    name: "deepseek",
    dialect: "openai",
    base_url: "https://api.deepseek.com",
    has_key: true,
    header_names: ["x-team"],
    timeouts: { first_byte: 30 },
    concurrency_max: 7,
    local: false,
    status: "",
  });
  const got = dataOf(await app.owner.call<Wire>("GET", `/provider/${made.id}`));
  expect(got).toEqual(made);
  const listed = dataOf(await app.owner.call<{ items: Wire[] }>("GET", "/provider"));
  expect(listed.items).toEqual([made]);
  const { sql } = app.database;
  const [stored] =
    await sql`select (select provider::text from provider) || (select string_agg(audit::text, '') from audit) as text`;
  for (const text of [JSON.stringify(made), String(stored?.text), app.logged()]) {
    expect(text).not.toContain(key);
    expect(text).not.toContain(secretHeader);
  }
});

test("drops the key where the address goes to another host, and keeps it where it does not", async () => {
  await using app = await startWithPeople();
  const body = { name: "x", base_url: "https://one.example/v1", api_key: key };
  const { id } = dataOf(await app.owner.call<Wire>("POST", "/provider", { body }));
  const change = async (fields: object) =>
    dataOf(await app.owner.call<Wire>("POST", `/provider/${id}`, { body: fields }));
  expect((await change({ base_url: "https://one.example/v2" })).has_key).toBe(true);
  expect((await change({ base_url: "https://two.example/v2" })).has_key).toBe(false);
  expect((await change({ base_url: "https://three.example", api_key: key })).has_key).toBe(true);
  expect((await change({ api_key: null })).has_key).toBe(false);
});

test("refuses a name twice, and to delete what models use", async () => {
  await using app = await startWithPeople();
  const body = { name: "x", base_url: "https://one.example/v1" };
  const { id } = dataOf(await app.owner.call<Wire>("POST", "/provider", { body }));
  expect((await app.owner.call("POST", "/provider", { body })).code).toBe("CONFLICT");
  const model = { name: "m", provider_id: id, upstream_name: "m-1" };
  const made = dataOf(await app.owner.call<Wire>("POST", "/model", { body: model }));
  expect((await app.owner.call("POST", `/provider/${id}/delete`)).code).toBe("CONFLICT");
  dataOf(await app.owner.call("POST", `/model/${made.id}/delete`));
  dataOf(await app.owner.call("POST", `/provider/${id}/delete`));
  expect((await app.owner.call("GET", `/provider/${id}`)).code).toBe("NOT_FOUND");
});

test("asks a provider for its models with its own key, and says what is wrong where it cannot", async () => {
  await using upstream = await startProvider();
  await using app = await startWithPeople();
  const body = { name: "x", base_url: upstream.baseUrl, api_key: key, local: true };
  const { id } = dataOf(await app.owner.call<Wire>("POST", "/provider", { body }));
  const answer = await app.owner.call("POST", `/provider/${id}/test`);
  expect(answer).toMatchObject({ code: "SUCCESS", data: { models: ["model-1"] } });
  // A base URL that leads nowhere is not a model that is missing.
  const elsewhere = { name: "y", base_url: `${upstream.baseUrl}/wrong`, api_key: key, local: true };
  const wrong = dataOf(await app.owner.call<Wire>("POST", "/provider", { body: elsewhere }));
  expect(await app.owner.call("POST", `/provider/${wrong.id}/test`)).toMatchObject({
    code: "UPSTREAM_ERROR",
    data: { reason: "not_found" },
  });
  await upstream[Symbol.asyncDispose]();
  expect(await app.owner.call("POST", `/provider/${id}/test`)).toMatchObject({
    code: "UPSTREAM_ERROR",
    data: { reason: "unreachable" },
  });
});
