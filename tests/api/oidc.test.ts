import { describe, expect, test } from "bun:test";
import { oidcCookie } from "../../src/auth/oidc-cookie.ts";
import { publicUrl, redirectUri, startOidcApp } from "../harness/oidc-app.ts";
import { type OidcTestProviderOptions, type Person, startOidcProvider } from "../harness/oidc-provider.ts";

const alice: Person = {
  sub: "alice-1",
  email: "Alice@Example.com",
  email_verified: true,
  name: "Alice <b>\u0000",
};

/** The service and a provider that it is set up with. */
async function start(options: Partial<OidcTestProviderOptions> = {}) {
  const stack = new AsyncDisposableStack();
  const provider = stack.use(await startOidcProvider({ redirectUri, ...options }));
  const app = stack.use(await startOidcApp());
  const { issuer, clientId, clientSecret } = provider;
  await app.configure({ issuer, client_id: clientId, client_secret: clientSecret });
  return { app, provider, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

describe("a login", () => {
  for (const options of [
    { inIdToken: false, tokenEndpointAuthMethod: "client_secret_basic" },
    { inIdToken: true, tokenEndpointAuthMethod: "client_secret_post" },
  ] as const) {
    test(`makes an account and comes back, with claims ${options.inIdToken ? "in the ID token" : "at UserInfo"} and ${options.tokenEndpointAuthMethod}`, async () => {
      await using it = await start(options);
      const { app, provider } = it;
      provider.person = alice;
      const browser = app.browser();
      const { account, status, url } = await app.logIn(browser, "/console?tab=apps#top");
      expect(status).toBe(200);
      expect(url.href).toBe(`${publicUrl}/console?tab=apps#top`);
      expect(await app.listAccounts()).toEqual([
        { email: "alice@example.com", name: "Alice <b>", role: "viewer" },
      ]);
      const [row] = await app.sql`select id from account`;
      expect(account).toBe(row?.id);
      expect(browser.cookie(publicUrl, "llmops_refresh")?.header).toContain("Path=/auth");
      expect(browser.cookie(publicUrl, oidcCookie)).toBeUndefined();
      expect(provider.requests.includes("GET /me")).toBe(!options.inIdToken);
    });
  }

  test("finds the same account again, whatever the e-mail is by then", async () => {
    await using it = await start();
    const { app, provider } = it;
    provider.person = alice;
    const first = await app.logIn(app.browser());
    provider.person = { ...alice, email: "alice@other.example" };
    const second = await app.logIn(app.browser());
    expect(second.account).toBe(first.account);
    expect(await app.listAccounts()).toHaveLength(1);
  });

  test("makes one account of first logins at the same moment", async () => {
    await using it = await start();
    const { accounts } = it.app;
    const who = { issuer: it.provider.issuer, name: "", role: "viewer", syncRole: false } as const;
    for (const subject of ["a", "b", "c", "d", "e"]) {
      const identity = { ...who, subject, email: `${subject}@example.com`, emailVerified: true as const };
      const logIn = () => accounts.findOrCreateByIdentity(identity);
      const outcomes = await Promise.all([logIn(), logIn()]);
      expect(outcomes.map(({ outcome }) => outcome as string).sort()).toEqual(["created", "found"]);
    }
    expect(await it.app.listAccounts()).toHaveLength(5);
  });

  test("links the account of a verified e-mail in any case, and leaves its role and name alone", async () => {
    await using it = await start();
    const { app, provider } = it;
    const id = await app.addAccount({ email: "alice@example.com", name: "A.", role: "owner" });
    provider.person = { ...alice, email: "ALICE@EXAMPLE.COM" };
    expect((await app.logIn(app.browser())).account).toBe(id);
    expect(await app.listAccounts()).toEqual([{ email: "alice@example.com", name: "A.", role: "owner" }]);
  });

  test("sends code, S256, state, nonce and the exact redirect URI, in a cookie that scripts cannot read", async () => {
    await using it = await start();
    const browser = it.app.browser();
    const { url } = await browser.visit(`${publicUrl}/auth/oidc/start`, { until: () => true });
    const query = Object.fromEntries(url.searchParams);
    expect(query).toMatchObject({
      client_id: "llmops",
      response_type: "code",
      redirect_uri: redirectUri,
      scope: "openid email profile",
      code_challenge_method: "S256",
    });
    for (const name of ["state", "nonce", "code_challenge"]) expect(query[name]).toMatch(/^[\w-]{43}$/);
    const { header = "", value = "" } = browser.cookie(publicUrl, oidcCookie) ?? {};
    expect(header).toEndWith("; Path=/auth/oidc; Max-Age=600; HttpOnly; SameSite=Lax");
    expect(header.length).toBeLessThan(4096);
    for (const secret of [query.state, query.nonce]) {
      expect(Buffer.from(value, "base64url").toString("latin1")).not.toContain(secret ?? "none");
    }
  });

  test("asks the provider for its configuration once, also when twenty begin at the same moment", async () => {
    await using it = await start();
    const { app, provider } = it;
    const asked = () => provider.requests.filter((each) => each.includes(".well-known")).length;
    const before = asked();
    const begin = () => app.browser().visit(`${publicUrl}/auth/oidc/start`, { until: () => true });
    await Promise.all(Array.from({ length: 20 }, begin));
    provider.person = alice;
    await app.logIn(app.browser());
    expect(asked() - before).toBe(1);
  });
});

describe("a login is refused, with a page that says why,", () => {
  const refused: [string, Partial<Person>, number, string][] = [
    ["without an e-mail", { email: undefined as never }, 403, "gave no e-mail"],
    ["with an unverified one", { email_verified: false }, 403, "has not verified"],
    ["with one whose mark is missing", { email_verified: undefined as never }, 403, "has not verified"],
    ["with a mark that is text", { email_verified: "true" }, 403, "has not verified"],
    ["with two @", { email: "a@example.com@evil.example" }, 403, "gave no e-mail"],
    [
      "with a letter that becomes another in lower case",
      { email: "\u212Aate@example.com" },
      403,
      "gave no e-mail",
    ],
    ["with a line end in it", { email: "alice@example.com\n" }, 403, "gave no e-mail"],
  ];
  for (const [what, claims, status, message] of refused) {
    test(`${what}`, async () => {
      await using it = await start();
      const { app, provider } = it;
      await app.addAccount({ email: "alice@example.com", role: "owner" });
      await app.addAccount({ email: "kate@example.com" });
      provider.person = { ...alice, ...claims };
      const page = await app.logIn(app.browser());
      expect(page).toMatchObject({ account: undefined, status });
      expect(page.text).toContain(message);
      expect(await app.listAccounts()).toHaveLength(2);
    });
  }

  test("to a disabled account, which is not linked either", async () => {
    await using it = await start();
    const { app, provider } = it;
    await app.addAccount({ email: "alice@example.com", status: "disabled" });
    provider.person = alice;
    const page = await app.logIn(app.browser());
    expect(page).toMatchObject({ account: undefined, status: 403 });
    expect(page.text).toContain("The account is disabled");
    expect(await app.sql`select 1 from account_identity`).toHaveLength(0);
  });

  test("to another subject that comes with the e-mail of a linked account", async () => {
    await using it = await start();
    const { app, provider } = it;
    provider.person = alice;
    await app.logIn(app.browser());
    provider.person = { ...alice, sub: "mallory" };
    const page = await app.logIn(app.browser());
    expect(page).toMatchObject({ account: undefined, status: 403 });
    expect(page.text).toContain("belongs to another user");
  });

  test("when the provider denies it: with the standard's code and nothing else of what it says", async () => {
    await using it = await start();
    const browser = it.app.browser();
    const page = await it.app.logIn(browser);
    expect(page).toMatchObject({ account: undefined, status: 400 });
    expect(page.text).toContain("refused the login: access_denied");
    expect(page.text).not.toContain("not you");
    expect(browser.cookie(publicUrl, oidcCookie)).toBeUndefined();
  });
});

test("a domain is allowed as a whole, in any case, and nothing that only looks like it", async () => {
  await using it = await start({ inIdToken: true });
  const { app, provider } = it;
  await app.configure({ allowed_domains: ["Example.COM"] });
  for (const [email, status] of [
    ["a@example.com", 200],
    ["b@EXAMPLE.com", 200],
    ["a@sub.example.com", 403],
    ["a@evil-example.com", 403],
    ["a@example.com.evil", 403],
    ["a@example.comm", 403],
    ["a@example.com.", 403],
    ["example.com@evil.example", 403],
    ['"a@example.com"@evil.example', 403],
    ["a@xample.com", 403],
  ] as const) {
    provider.person = { ...alice, sub: email, email };
    const page = await app.logIn(app.browser());
    expect({ in: page.account !== undefined, status: page.status }, email).toEqual({
      in: status === 200,
      status,
    });
  }
});
