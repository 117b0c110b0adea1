import { expect, test } from "bun:test";
import { startTestApp } from "../harness/app.ts";

const nobody = "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f";

test("answers with the app and the seed's message", async () => {
  await using app = await startTestApp();
  const { data: made } = await app.call<{ id: string }>("POST", "/app");
  const found = await app.call("GET", `/app/${made.id}`);
  expect(found).toMatchObject({
    status: 200,
    code: "SUCCESS",
    message: "应用已经成功获取,名字是bot",
    data: made,
  });
});

test("answers in English where that is asked for", async () => {
  await using app = await startTestApp();
  const { data: made } = await app.call<{ id: string }>("POST", "/app", { body: { name: "翻译" } });
  const found = await app.call("GET", `/app/${made.id}`, { headers: { "accept-language": "en" } });
  expect(found.message).toBe("The app has been found, its name is 翻译");
});

test("finds the app by its id in capitals as well", async () => {
  await using app = await startTestApp();
  const { data: made } = await app.call<{ id: string }>("POST", "/app");
  const found = await app.call("GET", `/app/${made.id.toUpperCase()}`);
  expect(found.data).toEqual(made);
});

test("refuses an id that no app has, in both languages, without repeating it", async () => {
  await using app = await startTestApp();
  const refused = await app.fetch(new Request(`http://localhost:5000/app/${nobody}`));
  expect(refused.status).toBe(200);
  expect(refused.headers.get("x-llmops-code")).toBe("NOT_FOUND");
  expect(await refused.text()).toBe('{"code":"NOT_FOUND","message":"应用不存在","data":{}}');
  const english = await app.call("GET", `/app/${nobody}`, { headers: { "accept-language": "en" } });
  expect(english.message).toBe("There is no such app");
});

test("refuses a deleted app as if there had never been one", async () => {
  await using app = await startTestApp();
  const { data: made } = await app.call<{ id: string }>("POST", "/app");
  const never = await app.call("GET", `/app/${nobody}`);
  await app.call("POST", `/app/${made.id}/delete`);
  const { code, message, data } = await app.call("GET", `/app/${made.id}`);
  expect({ code, message, data }).toEqual({ code: "NOT_FOUND", message: never.message, data: never.data });
});
