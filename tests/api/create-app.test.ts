import { expect, test } from "bun:test";
import type { WireApp } from "../../src/handlers/app.ts";
import { startTestApp } from "../harness/app.ts";

const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

test("answers a call without a body with the seed's app and the seed's message", async () => {
  await using app = await startTestApp();
  const { status, code, message, data } = await app.call<WireApp>("POST", "/app");
  expect({ status, code, message }).toEqual({
    status: 200,
    code: "SUCCESS",
    message: `应用已经成功创建,id 为 ${data.id}`,
  });
  expect(data).toEqual({
    id: expect.stringMatching(uuid7),
    account_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    name: "bot",
    icon: "",
    description: "A simple bot",
    status: "",
    config: {},
    created_at: expect.stringMatching(rfc3339),
    updated_at: data.created_at,
  });
  const [row] = await app.database.sql`select id, name, description, deleted_at from app`;
  expect(row).toEqual({ id: data.id, name: "bot", description: "A simple bot", deleted_at: null });
});

test("answers an empty object like no body at all", async () => {
  await using app = await startTestApp();
  const { code, data } = await app.call<WireApp>("POST", "/app", { body: {} });
  expect({ code, name: data.name }).toEqual({ code: "SUCCESS", name: "bot" });
});

test("answers in English where that is asked for", async () => {
  await using app = await startTestApp();
  const { message, data } = await app.call<WireApp>("POST", "/app", { headers: { "accept-language": "en" } });
  expect(message).toBe(`The app has been created, id ${data.id}`);
});

test("answers with every field that was sent, to the letter", async () => {
  await using app = await startTestApp();
  const sent = {
    name: "'; drop table app; -- 翻译🙂\u202e",
    icon: "https://example.com/图标.png?a=%00&b={id}",
    description: '第一行\n第二行\t"引号" \\ {name} $1 %s',
    config: {
      model: "kimi-k2.5",
      system_prompt: "把下面的话翻译成英文。\r\n\u007f\u0001",
      parameters: {
        temperature: 0.1,
        top_p: 1,
        max_tokens: 10_000_000,
        presence_penalty: -2,
        frequency_penalty: 1e-7,
        seed: Number.MIN_SAFE_INTEGER,
        stop: ["\n", "停"],
        response_format: { type: "json_object" },
      },
    },
  };
  const made = await app.call<WireApp>("POST", "/app", { body: sent });
  expect(made.data).toMatchObject(sent);
  const found = await app.call<WireApp>("GET", `/app/${made.data.id}`);
  expect(found.data).toEqual(made.data);
  expect(found.message).toBe(`应用已经成功获取,名字是${sent.name}`);
});

test("takes texts at their limits, counted in code points", async () => {
  await using app = await startTestApp();
  for (const character of ["a", "中", "🙂"]) {
    const body = {
      name: character.repeat(255),
      icon: character.repeat(2048),
      description: character.repeat(2000),
      config: { model: character.repeat(255), system_prompt: character.repeat(32_768) },
    };
    const { code, data } = await app.call<WireApp>("POST", "/app", { body });
    expect(code).toBe("SUCCESS");
    expect(data).toMatchObject(body);
  }
});

test("takes every other spelling of a JSON content type", async () => {
  await using app = await startTestApp();
  for (const type of [
    "application/json; charset=utf-8",
    "APPLICATION/JSON",
    "application/merge-patch+json",
  ]) {
    const { code, data } = await app.call<WireApp>("POST", "/app", {
      body: { name: "typed" },
      headers: { "content-type": type },
    });
    expect([type, code, data.name]).toEqual([type, "SUCCESS", "typed"]);
  }
});

test("gives all apps of one development installation to one account", async () => {
  await using app = await startTestApp();
  const [first, second] = await Promise.all([
    app.call<WireApp>("POST", "/app"),
    app.call<WireApp>("POST", "/app"),
  ]);
  const [installation] = await app.database.sql`select development_account_id as id from installation`;
  expect([first.data.account_id, second.data.account_id]).toEqual([installation?.id, installation?.id]);
  expect(first.data.id).not.toBe(second.data.id);
});

test("makes one app per call, however many come at once", async () => {
  await using app = await startTestApp();
  const made = await Promise.all(Array.from({ length: 50 }, () => app.call<WireApp>("POST", "/app")));
  expect(new Set(made.map(({ data }) => data.id)).size).toBe(50);
  const [counted] = await app.database.sql`select count(*)::int as apps from app`;
  expect(counted?.apps).toBe(50);
});
