import { describe, expect, test } from "bun:test";
import { oidcCookie } from "../../src/auth/oidc-cookie.ts";
import { returnPath } from "../../src/services/oidc-state.ts";
import { publicUrl, redirectUri, startOidcApp } from "../harness/oidc-app.ts";
import { startOidcProvider } from "../harness/oidc-provider.ts";

/** A login that stops at the door: the browser holds its cookie, and `back` is where the provider sends it. */
async function start({ now = () => new Date() } = {}) {
  const stack = new AsyncDisposableStack();
  const provider = stack.use(await startOidcProvider({ redirectUri }));
  const app = stack.use(await startOidcApp({ now }));
  const { issuer, clientId, clientSecret } = provider;
  await app.configure({ issuer, client_id: clientId, client_secret: clientSecret });
  provider.person = { sub: "alice", email: "alice@example.com", email_verified: true };
  const begin = async () => {
    const browser = app.browser();
    const { url: back } = await browser.visit(`${publicUrl}/auth/oidc/start`, {
      until: (next) => next.href.startsWith(redirectUri),
    });
    return { browser, back, cookie: browser.cookie(publicUrl, oidcCookie)?.value ?? "none" };
  };
  const tokensAsked = () => provider.requests.filter((each) => each === "POST /token").length;
  return { app, provider, begin, tokensAsked, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** What the callback answers to an address and a `Cookie` header. */
async function comeBack(app: { fetch: (request: Request) => Promise<Response> }, url: URL, cookie?: string) {
  const response = await app.fetch(
    new Request(url.href, { headers: cookie === undefined ? {} : { cookie } }),
  );
  return { status: response.status, text: await response.text(), cookies: response.headers.getSetCookie() };
}

const withState = (url: URL, ...states: string[]): URL => {
  const changed = new URL(url);
  changed.searchParams.delete("state");
  for (const state of states) changed.searchParams.append("state", state);
  return changed;
};

describe("400 is answered, and the provider is not asked,", () => {
  type Started = Awaited<ReturnType<typeof start>>;
  type Begun = Awaited<ReturnType<Started["begin"]>>;
  const attacks: Record<string, (begun: Begun, it: Started) => [URL, string?] | Promise<[URL, string?]>> = {
    "when the state is forged": ({ back, cookie }) => [
      withState(back, "x".repeat(43)),
      `${oidcCookie}=${cookie}`,
    ],
    "when the state is missing": ({ back, cookie }) => [withState(back), `${oidcCookie}=${cookie}`],
    "when the state is there twice": ({ back, cookie }) => {
      const state = back.searchParams.get("state") ?? "";
      return [withState(back, state, state), `${oidcCookie}=${cookie}`];
    },
    "when the cookie is missing": ({ back }) => [back],
    "when the cookie is empty": ({ back }) => [back, `${oidcCookie}=`],
    "when the cookie is another browser's": async ({ back }, { begin }) => [
      back,
      `${oidcCookie}=${(await begin()).cookie}`,
    ],
    "when the cookie is there twice": async ({ back, cookie }, { begin }) => [
      back,
      `${oidcCookie}=${cookie}; ${oidcCookie}=${(await begin()).cookie}`,
    ],
    "when the cookie was changed": ({ back, cookie }) => {
      const bytes = Buffer.from(cookie, "base64url");
      bytes[40] = (bytes[40] ?? 0) ^ 1;
      return [back, `${oidcCookie}=${bytes.toString("base64url")}`];
    },
    "when the cookie was sealed for something else": ({ back }, { app: { keyring } }) => {
      const state = back.searchParams.get("state");
      const sealed = keyring.seal(JSON.stringify({ state, createdAt: Date.now() }), "oidc.client_secret");
      return [back, `${oidcCookie}=${Buffer.from(sealed).toString("base64url")}`];
    },
    "when the cookie was never sealed": ({ back }) => {
      const state = back.searchParams.get("state");
      const open = Buffer.from(JSON.stringify({ state, createdAt: Date.now() }));
      return [back, `${oidcCookie}=${open.toString("base64url")}`];
    },
    "when the settings name another client by now": async ({ back, cookie }, { app }) => {
      await app.configure({ client_id: "another" });
      return [back, `${oidcCookie}=${cookie}`];
    },
  };
  for (const [title, attack] of Object.entries(attacks)) {
    test(title, async () => {
      await using it = await start();
      const [url, cookie] = await attack(await it.begin(), it);
      const page = await comeBack(it.app, url, cookie);
      expect(page.status).toBe(400);
      expect(page.text).toContain("was not begun in this browser");
      expect(page.cookies).toEqual([`${oidcCookie}=; Path=/auth/oidc; Max-Age=0; HttpOnly; SameSite=Lax`]);
      expect(it.tokensAsked()).toBe(0);
      expect(await it.app.listAccounts()).toEqual([]);
    });
  }

  test("when the login has taken longer than ten minutes, and not a second before", async () => {
    for (const [ms, status] of [
      [599_999, 302],
      [600_000, 400],
    ] as const) {
      let at = Date.now();
      await using it = await start({ now: () => new Date(at) });
      const { back, cookie } = await it.begin();
      at += ms;
      expect((await comeBack(it.app, back, `${oidcCookie}=${cookie}`)).status).toBe(status);
    }
  });

  test("when a login comes back a second time, with the cookie that was removed", async () => {
    await using it = await start();
    const { back, cookie } = await it.begin();
    const [first, second] = await Promise.all([
      comeBack(it.app, back, `${oidcCookie}=${cookie}`),
      comeBack(it.app, back, `${oidcCookie}=${cookie}`),
    ]);
    expect([first.status, second.status].sort()).toEqual([302, 400]);
    expect(it.tokensAsked()).toBe(1);
    expect((await comeBack(it.app, back, `${oidcCookie}=${cookie}`)).status).toBe(400);
  });
});

test("a code that was used is refused by the provider, in a login of its own", async () => {
  await using it = await start();
  const first = await it.begin();
  await first.browser.visit(first.back.href);
  const second = await it.begin();
  second.back.searchParams.set("code", first.back.searchParams.get("code") ?? "");
  const page = await comeBack(it.app, second.back, `${oidcCookie}=${second.cookie}`);
  expect(page.status).toBe(400);
  expect(page.text).toContain("refused the login: invalid_grant");
});

test("somebody else's code is worth nothing: the verifier is in their browser", async () => {
  await using it = await start();
  const victim = await it.begin();
  it.provider.person = { sub: "mallory", email: "mallory@example.com", email_verified: true };
  const mallory = await it.begin();
  mallory.back.searchParams.set("code", victim.back.searchParams.get("code") ?? "");
  const page = await comeBack(it.app, mallory.back, `${oidcCookie}=${mallory.cookie}`);
  expect(page.status).toBe(400);
  expect(page.text).toContain("invalid_grant");
  expect(await it.app.listAccounts()).toEqual([]);
});

describe("a login ends on a path of this service", () => {
  for (const [wanted, path] of [
    ["/console", "/console"],
    ["/a/../b?x=1#y", "/b?x=1#y"],
    ["/%2f/evil.example", "/%2f/evil.example"],
    ["/应用", "/%E5%BA%94%E7%94%A8"],
    ["/?next=https://evil.example", "/?next=https://evil.example"],
    ["/@evil.example", "/@evil.example"],
    ["", "/"],
    ["console", "/"],
    ["//evil.example", "/"],
    ["///evil.example", "/"],
    ["/\\evil.example", "/"],
    ["/a\\b", "/"],
    ["\\\\evil.example", "/"],
    ["/\t/evil.example", "/"],
    ["/\n/evil.example", "/"],
    ["/\r\nlocation: https://evil.example", "/"],
    ["\t//evil.example", "/"],
    [" //evil.example", "/"],
    ["/.//evil.example", "/"],
    ["/x/..//evil.example", "/"],
    ["/\u007f/evil.example", "/"],
    ["https://evil.example", "/"],
    ["https:evil.example", "/"],
    ["http://localhost:5000@evil.example", "/"],
    ["javascript:alert(1)", "/"],
    ["data:text/html,x", "/"],
    [`/${"a".repeat(1024)}`, "/"],
    [`/${"应".repeat(1000)}`, "/"],
  ] as const) {
    test(`${JSON.stringify(wanted.slice(0, 40))} becomes ${path}`, () => {
      expect(returnPath(wanted, publicUrl)).toBe(path);
      expect(new URL(path, publicUrl).origin).toBe(publicUrl);
    });
  }

  test("also the redirect itself, whatever was asked for", async () => {
    await using it = await start();
    const visit = await it.app.logIn(it.app.browser(), "//evil.example/x");
    expect(visit.url.href).toBe(`${publicUrl}/`);
    const other = await it.app.logIn(it.app.browser(), "/.//evil.example");
    expect(other.url.href).toBe(`${publicUrl}/`);
  });
});

test("the page of a failed login loads nothing, is kept by nobody, and is in the caller's words", async () => {
  await using it = await start();
  const response = await it.app.fetch(new Request(`${redirectUri}?error=%3Cscript%3E&state=%3Cscript%3E`));
  expect(response.status).toBe(400);
  expect(Object.fromEntries(response.headers)).toMatchObject({
    "content-type": "text/html; charset=utf-8",
    "content-security-policy":
      "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-llmops-code": "UNAUTHORIZED",
  });
  const text = await response.text();
  expect(text).not.toContain("<script>");
  expect(text).toStartWith("<!doctype html>");
});

test("404 is answered where there is no provider, or logins are switched off", async () => {
  await using it = await start();
  await it.app.configure({ enabled: false });
  const { response } = await it.app.browser().visit(`${publicUrl}/auth/oidc/start`);
  expect(response.status).toBe(404);
  await it.app.sql`delete from oidc`;
  expect((await it.app.browser().visit(`${publicUrl}/auth/oidc/start`)).response.status).toBe(404);
  expect(await it.app.oidc.callback(redirectUri, undefined).catch(({ key }) => key)).toBe("oidc.state");
});
