import { expect, test } from "bun:test";
import { startTestApp } from "../harness/app.ts";
import { soonMs, startWithPeople, until } from "../harness/people.ts";

test("ends the session within a second in every process, and no other session", async () => {
  await using app = await startWithPeople();
  await using second = await startTestApp({ dev: false, database: app.database });
  const other = await app.logIn(app.owner.email);
  const { owner } = app;
  expect((await owner.call("GET", "/auth/me", { on: second })).code).toBe("SUCCESS");
  const out = await app.call("POST", "/auth/logout", { body: { refresh_token: owner.refreshToken } });
  expect(out).toMatchObject({ code: "SUCCESS", message: "已退出登录", data: {} });
  for (const on of [app, second]) {
    const isOut = async () => (await owner.call("GET", "/auth/me", { on })).code === "UNAUTHORIZED";
    expect(await until(isOut)).toBeLessThan(soonMs);
  }
  const again = await app.call("POST", "/auth/refresh", { body: { refresh_token: owner.refreshToken } });
  expect(again.code).toBe("UNAUTHORIZED");
  expect((await other.call("GET", "/auth/me")).code).toBe("SUCCESS");
  const { data } = await other.call<{ items: object[] }>("GET", "/audit?action=session.end");
  expect(data.items).toMatchObject([{ actor_id: owner.id, subject_id: owner.sessionId }]);
});

test("ends the session of a cookie and removes both cookies", async () => {
  await using app = await startWithPeople();
  const headers = { cookie: `llmops_refresh=${app.owner.refreshToken}`, "sec-fetch-site": "same-origin" };
  const out = await app.call("POST", "/auth/logout", { headers });
  expect(out.headers.getSetCookie()).toEqual([
    "llmops_access=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax",
    "llmops_refresh=; Path=/auth; Max-Age=0; HttpOnly; SameSite=Strict",
  ]);
  const isOut = async () => (await app.owner.call("GET", "/auth/me")).code === "UNAUTHORIZED";
  expect(await until(isOut)).toBeLessThan(soonMs);
});

test("answers the same to a token that is unknown, ended or missing, and ends nothing", async () => {
  await using app = await startWithPeople();
  const { owner } = app;
  const gone = await app.logIn(owner.email);
  await app.call("POST", "/auth/logout", { body: { refresh_token: gone.refreshToken } });
  for (const body of [{ refresh_token: gone.refreshToken }, { refresh_token: "llr_x" }, {}, undefined]) {
    const out = await app.call("POST", "/auth/logout", { ...(body && { body }) });
    expect(out).toMatchObject({ code: "SUCCESS", data: {} });
  }
  expect((await owner.call("GET", "/auth/me")).code).toBe("SUCCESS");
  const { data } = await owner.call<{ items: object[] }>("GET", "/audit?action=session.end");
  expect(data.items).toHaveLength(1);
});
