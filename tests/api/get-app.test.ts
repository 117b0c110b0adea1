import { expect, test } from "bun:test";
import { startTestApp } from "../harness/app.ts";

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
