import { expect, test } from "bun:test";
import { startTestApp } from "../harness/app.ts";
import {
  bearer,
  dataOf,
  type Person,
  soonMs,
  startWithPeople,
  until,
  type WireTokens,
} from "../harness/people.ts";

const refresh = (app: { call: Person["call"] }, token: string) =>
  app.call<WireTokens>("POST", "/auth/refresh", { body: { refresh_token: token } });

const isOut = (app: { call: Person["call"] }, token: string) => async () =>
  (await app.call("GET", "/auth/me", { headers: bearer(token) })).code === "UNAUTHORIZED";

test("gives a new pair for the same session, which both old and new access tokens belong to", async () => {
  await using app = await startWithPeople();
  const { accessToken, refreshToken, sessionId } = app.owner;
  const tokens = dataOf(await refresh(app, refreshToken));
  expect(tokens.refresh_token).not.toBe(refreshToken);
  for (const token of [accessToken, tokens.access_token]) {
    const me = await app.call("GET", "/auth/me", { headers: bearer(token) });
    expect(me.data).toMatchObject({ session_id: sessionId });
  }
  expect(dataOf(await refresh(app, tokens.refresh_token)).token_type).toBe("Bearer");
});

test("refuses a token that comes again, and ends the whole family within a second, in every process", async () => {
  await using app = await startWithPeople();
  await using second = await startTestApp({ dev: false, database: app.database });
  const other = await app.logIn(app.owner.email);
  const first = app.owner.refreshToken;
  const tokens = dataOf(await refresh(app, first));
  const all = [app.owner.accessToken, tokens.access_token];
  for (const token of all) {
    for (const process of [app, second]) expect(await isOut(process, token)()).toBe(false);
  }
  expect(await refresh(second, first)).toMatchObject({
    code: "UNAUTHORIZED",
    message: "登录已失效,请重新登录",
  });
  for (const token of all) {
    for (const process of [app, second]) expect(await until(isOut(process, token))).toBeLessThan(soonMs);
  }
  // The thief's newest token is worth nothing, and neither is a third try with the first.
  for (const token of [tokens.refresh_token, first]) {
    expect((await refresh(app, token)).code).toBe("UNAUTHORIZED");
  }
  // Another login of the same person is none of it.
  expect((await other.call("GET", "/auth/me")).code).toBe("SUCCESS");
  const { data } = await other.call<{ items: { action: string }[] }>("GET", "/audit?action=session.reuse");
  expect(data.items).toHaveLength(1);
});

test("is won by one of many at the same moment, and the family ends", async () => {
  await using app = await startWithPeople();
  const answers = await Promise.all(Array.from({ length: 6 }, () => refresh(app, app.owner.refreshToken)));
  const won = answers.filter(({ code }) => code === "SUCCESS");
  expect([won.length, answers.filter(({ code }) => code === "UNAUTHORIZED").length]).toEqual([1, 5]);
  const tokens = won[0]?.data;
  expect(await until(isOut(app, tokens?.access_token ?? ""))).toBeLessThan(soonMs);
  expect((await refresh(app, tokens?.refresh_token ?? "")).code).toBe("UNAUTHORIZED");
});

test("lasts for 30 days from the last exchange on, and the access token for 15 minutes", async () => {
  let now = Date.now();
  const days = (count: number) => {
    now += count * 24 * 3600 * 1000;
  };
  await using app = await startWithPeople({ clock: { now: () => new Date(now) } });
  const { accessToken, refreshToken } = app.owner;
  now += 15 * 60_000 - 1000;
  expect(await isOut(app, accessToken)()).toBe(false);
  now += 1000;
  expect(await isOut(app, accessToken)()).toBe(true);
  days(29);
  const second = dataOf(await refresh(app, refreshToken));
  expect(await isOut(app, second.access_token)()).toBe(false);
  days(29);
  const third = dataOf(await refresh(app, second.refresh_token));
  expect(await until(async () => !(await isOut(app, third.access_token)()))).toBeLessThan(soonMs);
  days(30);
  expect((await refresh(app, third.refresh_token)).code).toBe("UNAUTHORIZED");
});

test("exchanges a cookie for new cookies, and a token in the body for tokens in the answer", async () => {
  await using app = await startWithPeople();
  const { refreshToken } = app.owner;
  const headers = { cookie: `llmops_refresh=${refreshToken}`, "sec-fetch-site": "same-origin" };
  const answer = await app.call<WireTokens>("POST", "/auth/refresh", { headers });
  expect(answer.data).toMatchObject({ access_token: null, refresh_token: null });
  const [access = "", refreshed = ""] = answer.headers.getSetCookie();
  expect([access, refreshed]).toEqual([
    expect.stringMatching(/^llmops_access=[\w.-]{50,}; Path=\/;/),
    expect.stringMatching(/^llmops_refresh=llr_[\w-]{43}; Path=\/auth;/),
  ]);
  const body = { refresh_token: /=([^;]+)/.exec(refreshed)?.[1] };
  const plain = await app.call<WireTokens>("POST", "/auth/refresh", { body });
  expect(plain.headers.getSetCookie()).toEqual([]);
  expect(plain.data.refresh_token).toStartWith("llr_");
});

test("refuses what is no refresh token, and a request without one", async () => {
  await using app = await startWithPeople();
  const { accessToken, refreshToken } = app.owner;
  for (const token of [
    accessToken,
    refreshToken.slice(4),
    refreshToken.slice(0, -1),
    `${refreshToken}x`,
    "llr_",
  ]) {
    expect([token.slice(0, 5), (await refresh(app, token.slice(0, 255))).code]).toEqual([
      token.slice(0, 5),
      "UNAUTHORIZED",
    ]);
  }
  expect((await app.call("POST", "/auth/refresh")).code).toBe("UNAUTHORIZED");
  expect((await refresh(app, refreshToken)).code).toBe("SUCCESS");
});
