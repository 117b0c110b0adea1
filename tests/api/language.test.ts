import { expect, test } from "bun:test";
import { startTestApp } from "../harness/app.ts";

const chinese = "没有这个接口";
const english = "There is no such route";

test("answers in the language that Accept-Language prefers, Chinese where it names neither", async () => {
  await using app = await startTestApp();
  const cases: [header: string | undefined, message: string][] = [
    [undefined, chinese],
    ["", chinese],
    ["*", chinese],
    ["en", english],
    ["EN", english],
    ["en-US", english],
    ["en-GB,en;q=0.9", english],
    ["en-US,en;q=0.9,zh-CN;q=0.8", english],
    ["zh-CN,zh;q=0.9,en;q=0.8", chinese],
    ["zh;q=0.8,en;q=0.9", english],
    ["zh;q=0.9,en;q=0.8", chinese],
    ["zh,en", chinese],
    ["en,zh", english],
    ["zh;q=0.5,en;q=0.5", chinese],
    ["en;q=0", chinese],
    ["zh;q=0,en;q=0.001", english],
    ["fr,de;q=0.9", chinese],
    ["fr,en;q=0.1", english],
    ["fr;q=1.0, en;q=0.5, *;q=0.1", english],
    [" en ; q=0.5 , zh ; q=0.4 ", english],
    ["zh ; q=0.4 , en ; Q=0.5", english],
    ["en;q=abc", chinese],
    ["en;q=", chinese],
    ["en;q=-1", chinese],
    ["english", chinese],
    ["zhongwen,en;q=0.1", english],
    [";;;,,,q=1;en", chinese],
    [`${"fr,".repeat(1000)}en`, chinese],
  ];
  for (const [header, message] of cases) {
    const answer = await app.call("GET", "/nowhere", {
      headers: header === undefined ? {} : { "accept-language": header },
    });
    expect([header?.slice(0, 60), answer.code, answer.message]).toEqual([
      header?.slice(0, 60),
      "NOT_FOUND",
      message,
    ]);
  }
});

test("answers field problems in the caller's language too", async () => {
  await using app = await startTestApp();
  const body = { name: "", icon: 5, status: "x" };
  const zh = await app.call("POST", "/app/1", { body });
  const en = await app.call("POST", "/app", { body, headers: { "accept-language": "en" } });
  expect(zh).toMatchObject({ message: "参数校验失败", data: { id: ["不是有效的 UUID"] } });
  expect(en).toMatchObject({
    message: "The input is not valid",
    data: { name: ["is required"], icon: ["must be of type string"], status: ["is not a known field"] },
  });
});
