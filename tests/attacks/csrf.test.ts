import { expect, test } from "bun:test";
import { type Answer, type TestApp, toRequest } from "../harness/app.ts";
import { logIn, ownerEmail, ownerPassword, startProduction } from "./kit.ts";

const own = "http://127.0.0.1:5000";
const sites = [undefined, "same-origin", "same-site", "cross-site", "none", "Same-Origin", "x"];
const origins = [
  undefined,
  own,
  "null",
  "https://evil.example",
  "http://127.0.0.1:5000.evil.example",
  "https://127.0.0.1:5000",
  "http://127.0.0.1:5001",
  "http://sub.127.0.0.1:5000",
  "",
];
const referers = [undefined, `${own}/`, "https://evil.example/?http://127.0.0.1:5000/"];
const types = [
  "application/json",
  "text/plain",
  "application/x-www-form-urlencoded",
  "multipart/form-data; boundary=x",
  "",
];

/** Whether a browser says of a request that our own page has made it; `Referer` is no proof. */
const isOurs = (site: string | undefined, origin: string | undefined): boolean =>
  site === undefined ? origin === own : site === "same-origin" || site === "none";

const named = (headers: Record<string, string | undefined>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).filter((pair): pair is [string, string] => pair[1] !== undefined),
  );

const post = async (app: TestApp, path: string, headers: Record<string, string>, body: string) => {
  const response = await app.fetch(toRequest("POST", path, { headers, body }));
  return { ...((await response.json()) as Answer), headers: response.headers };
};

const count = async (app: TestApp) => (await app.database.sql`select 1 from app`).length;

test("FORBIDDEN is answered to a cookie in every request that our own pages have not made, and nothing is written", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const cookie = `llmops_access=${owner.access}`;
  let written = 0;
  for (const site of sites) {
    for (const origin of origins) {
      for (const referer of referers) {
        for (const type of types) {
          const headers = named({ cookie, "sec-fetch-site": site, origin, referer, "content-type": type });
          const { code } = await post(app, "/app", headers, '{"name":"x"}');
          const expected = !isOurs(site, origin)
            ? "FORBIDDEN"
            : type === "application/json"
              ? "SUCCESS"
              : "VALIDATE_ERROR";
          expect([headers, code]).toEqual([headers, expected]);
          if (expected === "SUCCESS") written++;
        }
      }
    }
  }
  expect(written).toBeGreaterThan(0);
  expect(await count(app)).toBe(written);
}, 60_000);

test("FORBIDDEN is answered to a form of another site without a body, on every route that changes something", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const made = await app.call("POST", "/app", { headers: owner.bearer });
  const headers = {
    cookie: `llmops_access=${owner.access}; llmops_refresh=${owner.refresh}`,
    origin: "https://evil.example",
    "sec-fetch-site": "cross-site",
    "content-type": "application/x-www-form-urlencoded",
  };
  const { id } = made.data;
  for (const path of [
    "/app",
    `/app/${id}`,
    `/app/${id}/delete`,
    `/app/${id}/key`,
    `/account/${owner.id}/delete`,
    "/auth/password",
    "/auth/logout",
    "/auth/refresh",
    "/app/completion",
    "/oidc",
  ]) {
    expect([path, (await app.call("POST", path, { headers })).code]).toEqual([path, "FORBIDDEN"]);
  }
  expect((await app.call("GET", `/app/${id}`, { headers: owner.bearer })).code).toBe("SUCCESS");
  expect((await app.call("POST", "/auth/refresh", { body: { refresh_token: owner.refresh } })).code).toBe(
    "SUCCESS",
  );
});

test("FORBIDDEN is answered to another site that logs somebody in as it likes, and no cookie is set", async () => {
  await using app = await startProduction();
  const body = JSON.stringify({ email: ownerEmail, password: ownerPassword, cookie: true });
  for (const path of ["/auth/login", "/auth/setup", "/auth/refresh", "/auth/logout"]) {
    for (const origin of origins.filter((each) => each !== undefined && each !== own)) {
      for (const type of types) {
        const headers = named({ origin, "content-type": type });
        const answer = await post(app, path, headers, path === "/auth/login" ? body : "{}");
        expect([path, headers, answer.code]).toEqual([path, headers, "FORBIDDEN"]);
        expect(answer.headers.getSetCookie()).toEqual([]);
      }
    }
  }
  // A form can carry JSON in a field's name; it cannot say that it is JSON.
  for (const type of types.slice(1)) {
    const answer = await post(app, "/auth/login", { "content-type": type }, body);
    expect([type, answer.code, answer.headers.getSetCookie()]).toEqual([type, "VALIDATE_ERROR", []]);
  }
});

test("a cookie that another site could plant beside ours counts for nothing", async () => {
  await using app = await startProduction();
  const { access } = await logIn(app);
  for (const cookie of [
    `llmops_access=${access}; llmops_access=other`,
    `llmops_access=other; llmops_access=${access}`,
    `llmops_access=${access}; llmops_access=${access}`,
    `LLMOPS_ACCESS=${access}`,
    `xllmops_access=${access}`,
    `a="; llmops_access_=${access}`,
  ]) {
    const { code } = await app.call("GET", "/app", { headers: { cookie } });
    expect([cookie, code]).toEqual([cookie, "UNAUTHORIZED"]);
  }
});

test("no answer lets another site read it", async () => {
  await using app = await startProduction();
  const { access } = await logIn(app);
  const headers = {
    cookie: `llmops_access=${access}`,
    origin: "https://evil.example",
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, content-type",
  };
  for (const method of ["GET", "OPTIONS"]) {
    for (const path of ["/app", "/auth/login", "/ping", "/v1/models", "/swagger/json"]) {
      const response = await app.fetch(toRequest(method, path, { headers }));
      const names = [...response.headers.keys()].filter((name) => name.startsWith("access-control-"));
      expect([method, path, names]).toEqual([method, path, []]);
    }
  }
});

test("the cookies of a login are out of reach of scripts, other sites and plain http", async () => {
  await using app = await startProduction({
    environment: { LLMOPS_PUBLIC_URL: "https://llmops.example.com" },
  });
  const { headers } = await app.call("POST", "/auth/login", {
    body: { email: ownerEmail, password: ownerPassword, cookie: true },
  });
  expect(headers.getSetCookie().map((each) => each.replace(/=[^;]*/, "=…"))).toEqual([
    "llmops_access=…; Path=/; Max-Age=900; HttpOnly; SameSite=Lax; Secure",
    "llmops_refresh=…; Path=/auth; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure",
  ]);
});
