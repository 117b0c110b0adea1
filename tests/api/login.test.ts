import { describe, expect, test } from "bun:test";
import { startTestApp, toRequest } from "../harness/app.ts";
import { bearer, dataOf, firstOwner, password, startWithPeople, type WireTokens } from "../harness/people.ts";

/** A clock that a test turns. */
const turning = () => {
  let now = Date.now();
  return {
    clock: { now: () => new Date(now) },
    pass: (seconds: number) => {
      now += seconds * 1000;
    },
  };
};

const proxied = { LLMOPS_TRUSTED_PROXIES: "127.0.0.1" };
const from = (ip: string) => ({ "x-forwarded-for": ip });

test("answers an access token for 15 minutes and a refresh token for 30 days, and says who is logged in", async () => {
  await using app = await startWithPeople();
  const answer = await app.call<WireTokens>("POST", "/auth/login", { body: firstOwner });
  expect(answer).toMatchObject({ status: 200, code: "SUCCESS", message: "登录成功" });
  expect(answer.headers.getSetCookie()).toEqual([]);
  const { access_token, refresh_token, ...rest } = answer.data;
  expect(rest).toEqual({ token_type: "Bearer", expires_in: 900, refresh_expires_in: 2_592_000 });
  expect(refresh_token).toMatch(/^llr_[\w-]{43}$/);
  const me = await app.call("GET", "/auth/me", { headers: bearer(access_token) });
  expect(me).toMatchObject({ code: "SUCCESS", data: { email: firstOwner.email, role: "owner" } });
});

test("takes an e-mail in any case, and keeps neither password nor token in the database or the log", async () => {
  await using app = await startWithPeople();
  const person = await app.logIn("OWNER@Example.COM");
  expect(person.id).toBe(app.owner.id);
  const { sql } = app.database;
  const rows = await sql`
    select account::text as row from account union all select session::text from session
    union all select refresh_token::text from refresh_token union all select audit::text from audit
    union all select login_attempt::text from login_attempt`;
  const kept = JSON.stringify(rows) + app.logged();
  for (const secret of [password, person.accessToken, person.refreshToken])
    expect(kept).not.toContain(secret);
  expect(kept).toContain("$argon2id$v=19$m=19456,t=2,p=1$");
});

test("refuses a wrong password, an unknown e-mail, a disabled account and one without a password in the same words", async () => {
  await using app = await startWithPeople();
  const gone = await app.add("editor");
  await app.owner.call("POST", `/account/${gone.id}`, { body: { status: "disabled" } });
  const noPassword = "elsewhere@example.com";
  await app.owner.call("POST", "/account", { body: { email: noPassword, role: "viewer" } });
  for (const body of [
    { email: firstOwner.email, password: "wrong" },
    { email: firstOwner.email, password: ` ${password}` },
    { email: firstOwner.email, password: password.toUpperCase() },
    { email: "nobody@example.com", password },
    { email: gone.email, password },
    { email: noPassword, password: "null" },
  ]) {
    const { code, message, data } = await app.call("POST", "/auth/login", { body });
    expect([body, code, message, data]).toEqual([body, "UNAUTHORIZED", "邮箱或密码不正确", {}]);
    await app.database.sql`delete from login_attempt`;
  }
});

describe("attempts", () => {
  test("have to wait from the fifth on: 1 s, twice as long each time, at most 30 s", async () => {
    const { clock, pass } = turning();
    await using app = await startWithPeople({ clock });
    const attempt = async (secret = "wrong") =>
      app.call("POST", "/auth/login", { body: { email: firstOwner.email, password: secret } });
    for (let i = 1; i <= 5; i++) expect([i, (await attempt()).code]).toEqual([i, "UNAUTHORIZED"]);
    for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
      // The right password has to wait as well, or its wait would tell that it is the right one.
      for (const secret of ["wrong", password]) {
        expect(await attempt(secret)).toMatchObject({
          code: "RATE_LIMITED",
          message: `尝试过于频繁,请在 ${seconds} 秒后重试`,
          data: { retry_after: seconds },
        });
      }
      pass(seconds - 0.001);
      expect((await attempt(password)).data).toEqual({ retry_after: 1 });
      pass(0.001);
      expect([seconds, (await attempt()).code]).toEqual([seconds, "UNAUTHORIZED"]);
    }
    pass(30);
    expect((await attempt(password)).code).toBe("SUCCESS");
  });

  test("on an account start anew once its owner has shown who they are", async () => {
    await using app = await startWithPeople({ environment: proxied });
    const victim = (await app.add("editor")).email;
    let networks = 0;
    const attempt = async (secret: string) => {
      const headers = from(`198.51.${++networks}.1`);
      return (await app.call("POST", "/auth/login", { body: { email: victim, password: secret }, headers }))
        .code;
    };
    for (const round of [1, 2]) {
      for (let i = 1; i <= 4; i++)
        expect([round, i, await attempt("wrong")]).toEqual([round, i, "UNAUTHORIZED"]);
      expect(await attempt(password)).toBe("SUCCESS");
    }
    for (let i = 1; i <= 5; i++) expect([i, await attempt("wrong")]).toEqual([i, "UNAUTHORIZED"]);
    expect(await attempt("wrong")).toBe("RATE_LIMITED");
  });

  test("are counted one by one where they come at the same moment", async () => {
    await using app = await startWithPeople();
    const answers = await Promise.all(
      Array.from({ length: 12 }, () =>
        app.call("POST", "/auth/login", { body: { email: "nobody@example.com", password: "wrong" } }),
      ),
    );
    const codes = answers.map(({ code }) => code).sort();
    expect(codes).toEqual([...Array(7).fill("RATE_LIMITED"), ...Array(5).fill("UNAUTHORIZED")]);
  });

  test("start anew after a quarter of an hour of quiet", async () => {
    const { clock, pass } = turning();
    await using app = await startWithPeople({ clock });
    const attempt = () =>
      app.call("POST", "/auth/login", { body: { email: firstOwner.email, password: "wrong" } });
    for (let i = 0; i < 5; i++) await attempt();
    pass(15 * 60 + 1);
    for (let i = 1; i <= 5; i++) expect([i, (await attempt()).code]).toEqual([i, "UNAUTHORIZED"]);
    expect((await attempt()).code).toBe("RATE_LIMITED");
  });

  test("from many networks slow an account down, but not its owner where they have logged in before", async () => {
    await using app = await startWithPeople({ environment: proxied });
    const victim = (await app.add("editor")).email;
    await app.logIn(victim, password, from("203.0.113.7"));
    const attack = (ip: string) =>
      app.call("POST", "/auth/login", { body: { email: victim, password: "wrong" }, headers: from(ip) });
    for (let i = 1; i <= 5; i++) expect((await attack(`198.51.${i}.1`)).code).toBe("UNAUTHORIZED");
    expect((await attack("198.51.100.1")).code).toBe("RATE_LIMITED");
    const known = await app.logIn(victim, password, from("203.0.113.99"));
    expect(known.email).toBe(victim);
    expect((await attack("198.51.100.1")).code).toBe("RATE_LIMITED");
  });

  test("from one network on many accounts slow that network down, and no other", async () => {
    await using app = await startWithPeople({ environment: proxied });
    const attack = (ip: string, n: number) =>
      app.call("POST", "/auth/login", {
        body: { email: `nobody-${n}@example.com`, password: "wrong" },
        headers: from(ip),
      });
    for (let i = 1; i <= 5; i++) expect((await attack(`198.51.100.${i}`, i)).code).toBe("UNAUTHORIZED");
    expect((await attack("198.51.100.200", 6)).code).toBe("RATE_LIMITED");
    expect((await attack("198.51.101.1", 7)).code).toBe("UNAUTHORIZED");
    for (let i = 1; i <= 5; i++) {
      expect((await attack(`2001:db8:0:12${i}::${i}`, 10 + i)).code).toBe("UNAUTHORIZED");
    }
    expect((await attack("2001:db8:0:1ff::9", 20)).code).toBe("RATE_LIMITED");
    expect((await attack("2001:db8:0:200::9", 21)).code).toBe("UNAUTHORIZED");
  });

  test("cannot choose their address where no proxy is trusted", async () => {
    await using app = await startWithPeople();
    const attack = (n: number) =>
      app.call("POST", "/auth/login", {
        body: { email: `nobody-${n}@example.com`, password: "wrong" },
        headers: from(`198.51.${n}.1`),
      });
    for (let i = 1; i <= 5; i++) expect((await attack(i)).code).toBe("UNAUTHORIZED");
    expect((await attack(6)).code).toBe("RATE_LIMITED");
  });
});

describe("a login by cookies", () => {
  const inCookies = { ...firstOwner, cookie: true };
  const https = { LLMOPS_PUBLIC_URL: "https://llmops.example.com" };
  const origin = "http://localhost:5000";

  test("puts the tokens where no script reads them, and nowhere else", async () => {
    await using app = await startWithPeople();
    const answer = await app.call("POST", "/auth/login", { body: inCookies });
    expect(answer.data).toMatchObject({ access_token: null, refresh_token: null, expires_in: 900 });
    expect(answer.headers.getSetCookie().map((each) => each.replace(/=[\w.-]+;/, "=…;"))).toEqual([
      "llmops_access=…; Path=/; Max-Age=900; HttpOnly; SameSite=Lax",
      "llmops_refresh=…; Path=/auth; Max-Age=2592000; HttpOnly; SameSite=Strict",
    ]);
  });

  test("sends them over https alone where browsers reach the service so", async () => {
    await using app = await startWithPeople({ environment: https });
    const answer = await app.call("POST", "/auth/login", { body: inCookies });
    for (const cookie of answer.headers.getSetCookie()) expect(cookie).toEndWith("; Secure");
    const out = await app.call("POST", "/auth/logout");
    expect(out.headers.getSetCookie()).toEqual([
      "llmops_access=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure",
      "llmops_refresh=; Path=/auth; Max-Age=0; HttpOnly; SameSite=Strict; Secure",
    ]);
  });

  /** What a browser sends of where a request comes from, and whether it may change something by a cookie alone. */
  const guard: [headers: Record<string, string>, own: boolean][] = [
    [{ "sec-fetch-site": "same-origin" }, true],
    [{ "sec-fetch-site": "none" }, true],
    [{ "sec-fetch-site": "same-origin", origin }, true],
    [{ origin }, true],
    [{ "sec-fetch-site": "same-site" }, false],
    [{ "sec-fetch-site": "cross-site" }, false],
    [{ "sec-fetch-site": "cross-site", origin }, false],
    [{ "sec-fetch-site": "" }, false],
    [{ "sec-fetch-site": "SAME-ORIGIN" }, false],
    [{ origin: "https://evil.example" }, false],
    [{ origin: "http://localhost:5001" }, false],
    [{ origin: "https://localhost:5000" }, false],
    [{ origin: "http://localhost:5000.evil.example" }, false],
    [{ origin: "null" }, false],
    [{ origin: "" }, false],
    [{ referer: `${origin}/` }, false],
    [{}, false],
  ];

  test("changes something only in a request from our own pages, and reads from anywhere", async () => {
    await using app = await startWithPeople();
    const headers = { host: "localhost:5000", cookie: `llmops_access=${app.owner.accessToken}` };
    for (const [sent, own] of guard) {
      const call = (method: string, more = {}) =>
        app.call(method, "/app", { headers: { ...headers, ...sent, ...more } });
      const { code, message } = await call("POST");
      expect([sent, code, message.slice(0, 8)]).toEqual(
        own ? [sent, "SUCCESS", "应用已经成功创建"] : [sent, "FORBIDDEN", "请求来自其他网站"],
      );
      expect([sent, (await call("GET")).code]).toEqual([sent, "SUCCESS"]);
      // No browser adds this header by itself.
      expect([sent, (await call("POST", app.owner.headers)).code]).toEqual([sent, "SUCCESS"]);
    }
  });

  test("is refreshed and ended only by a request from our own pages", async () => {
    await using app = await startWithPeople();
    for (const [sent, own] of guard) {
      for (const path of ["/auth/refresh", "/auth/logout"]) {
        const { refreshToken } = await app.logIn(firstOwner.email);
        const cookie = `llmops_refresh=${refreshToken}`;
        const headers = { host: "localhost:5000", cookie, ...sent };
        const { code } = await app.call("POST", path, { headers });
        expect([path, sent, code]).toEqual([path, sent, own ? "SUCCESS" : "FORBIDDEN"]);
      }
    }
  }, 20_000);

  test("begins only in a request from our own pages, or from no page at all", async () => {
    await using app = await startWithPeople();
    for (const [sent, own] of guard) {
      const headers = { host: "localhost:5000", ...sent };
      const { code } = await app.call("POST", "/auth/login", { body: inCookies, headers });
      const fromNoPage = !("origin" in sent) && !("sec-fetch-site" in sent);
      expect([sent, code]).toEqual([sent, own || fromNoPage ? "SUCCESS" : "FORBIDDEN"]);
    }
  });

  test("counts from anywhere in development with WTF_CSRF_ENABLED=false, and with a foreign name not without it", async () => {
    const environment = { LLMOPS_ENV: "development", WTF_CSRF_ENABLED: "false" };
    await using app = await startWithPeople({ environment });
    const headers = { cookie: `llmops_access=${app.owner.accessToken}`, origin: "https://evil.example" };
    expect((await app.call("POST", "/app", { headers })).code).toBe("SUCCESS");
  });

  test("does not count where a cookie is there twice, or is another token", async () => {
    await using app = await startWithPeople();
    const { accessToken, refreshToken } = app.owner;
    for (const cookie of [
      `llmops_access=${accessToken}; llmops_access=${accessToken}`,
      `llmops_access=${refreshToken}`,
      `llmops_refresh=${accessToken}`,
      `xllmops_access=${accessToken}`,
      "llmops_access=",
      "llmops_access",
    ]) {
      const { code } = await app.call("GET", "/auth/me", { headers: { cookie } });
      expect([cookie.slice(0, 30), code]).toEqual([cookie.slice(0, 30), "UNAUTHORIZED"]);
    }
  });
});

test("does not open the first owner's account where settings name one and there is somebody already", async () => {
  await using app = await startWithPeople();
  const environment = { LLMOPS_ADMIN_EMAIL: "second@example.com", LLMOPS_ADMIN_PASSWORD: password };
  await using second = await startTestApp({ dev: false, database: app.database, environment });
  const { code } = await second.call("POST", "/auth/login", {
    body: { email: "second@example.com", password },
  });
  expect(code).toBe("UNAUTHORIZED");
  const { items } = dataOf(await app.owner.call<{ items: unknown[] }>("GET", "/account"));
  expect(items).toHaveLength(1);
});

test("carries no cookie and no token in an answer that a cache may keep", async () => {
  await using app = await startWithPeople();
  const response = await app.fetch(toRequest("POST", "/auth/login", { body: firstOwner }));
  expect(response.headers.get("cache-control")).toBe("no-store");
});
