import { expect, test } from "bun:test";
import type { WireApp } from "../../src/handlers/app.ts";
import { startTestApp, type TestApp } from "../harness/app.ts";
import { appRows } from "../harness/rows.ts";

/** An app that was last changed long ago, so that a change shows whatever the clock's resolution. */
async function oldApp(app: TestApp, body: object = {}): Promise<WireApp> {
  const { data } = await app.call<WireApp>("POST", "/app", { body });
  const long = "2020-01-02T03:04:05.678Z";
  await app.database.sql`update app set created_at = ${long}, updated_at = ${long} where id = ${data.id}`;
  return { ...data, created_at: long, updated_at: long };
}

test("answers with the changed app and the seed's message, in both languages", async () => {
  await using app = await startTestApp();
  const { id } = await oldApp(app);
  const chinese = await app.call("POST", `/app/${id}`, { body: { name: "翻译" } });
  expect(chinese).toMatchObject({ status: 200, code: "SUCCESS", message: "应用已经成功修改,名字是翻译" });
  const headers = { "accept-language": "en" };
  const english = await app.call("POST", `/app/${id}`, { body: { name: "translator" }, headers });
  expect(english.message).toBe("The app has been changed, its name is translator");
});

test("changes each field that is sent, alone, and no other but updated_at", async () => {
  await using app = await startTestApp();
  const changes = [
    { name: "new name" },
    { icon: "🙂" },
    { description: "" },
    { status: "disabled" },
    { status: "archived" },
    { config: { model: "kimi-k2.5", parameters: { temperature: 1 } } },
    { name: "two", icon: "fields" },
  ];
  for (const change of changes) {
    const old = await oldApp(app, { icon: "i", config: { system_prompt: "old" } });
    const { code, data } = await app.call<WireApp>("POST", `/app/${old.id}`, { body: change });
    expect(code).toBe("SUCCESS");
    expect(data).toEqual({ ...old, ...change, updated_at: data.updated_at } as WireApp);
    expect(Date.parse(data.updated_at)).toBeGreaterThan(Date.parse(old.updated_at));
    expect((await app.call<WireApp>("GET", `/app/${old.id}`)).data).toEqual(data);
  }
});

test("puts an archived app back in use with an empty status", async () => {
  await using app = await startTestApp();
  const { id } = await oldApp(app);
  await app.call("POST", `/app/${id}`, { body: { status: "archived" } });
  const { data } = await app.call<WireApp>("POST", `/app/${id}`, { body: { status: "" } });
  expect(data.status).toBe("");
});

test("replaces config as a whole", async () => {
  await using app = await startTestApp();
  const old = await oldApp(app, {
    config: { model: "kimi-k2.5", system_prompt: "old", parameters: { temperature: 1, top_p: 0.5 } },
  });
  const config = { parameters: { temperature: 0 } };
  const { data } = await app.call<WireApp>("POST", `/app/${old.id}`, { body: { config } });
  expect(data.config).toEqual(config);
  const emptied = await app.call<WireApp>("POST", `/app/${old.id}`, { body: { config: {} } });
  expect(emptied.data.config).toEqual({});
});

test("changes nothing for an empty body or none, and answers with the app as it is", async () => {
  await using app = await startTestApp();
  const old = await oldApp(app, { name: "same" });
  const before = await appRows(app.database.sql);
  for (const options of [{ body: {} }, {}]) {
    const { message, data } = await app.call<WireApp>("POST", `/app/${old.id}`, options);
    expect(message).toBe("应用已经成功修改,名字是same");
    expect(data).toEqual(old);
  }
  expect(await appRows(app.database.sql)).toEqual(before);
});

test("changes one app and no other", async () => {
  await using app = await startTestApp();
  await oldApp(app, { name: "other" });
  const [other] = await appRows(app.database.sql);
  const { id } = await oldApp(app, { name: "mine" });
  await app.call("POST", `/app/${id}`, { body: { name: "changed" } });
  expect((await appRows(app.database.sql))[0]).toBe(other);
});

test("refuses an id that no app has and makes none", async () => {
  await using app = await startTestApp();
  const path = "/app/019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f";
  for (const body of [{ name: "x" }, {}]) {
    const { code, message, data } = await app.call("POST", path, { body });
    expect({ code, message, data }).toEqual({ code: "NOT_FOUND", message: "应用不存在", data: {} });
  }
  expect(await appRows(app.database.sql)).toEqual([]);
});

test("keeps every field where two change different ones at the same time", async () => {
  await using app = await startTestApp();
  const { id } = await oldApp(app);
  await Promise.all([
    app.call("POST", `/app/${id}`, { body: { name: "n" } }),
    app.call("POST", `/app/${id}`, { body: { icon: "i" } }),
    app.call("POST", `/app/${id}`, { body: { description: "d" } }),
    app.call("POST", `/app/${id}`, { body: { status: "disabled" } }),
  ]);
  const { data } = await app.call<WireApp>("GET", `/app/${id}`);
  expect(data).toMatchObject({ name: "n", icon: "i", description: "d", status: "disabled" });
});
