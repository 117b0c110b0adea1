import { describe, expect, test } from "bun:test";
import type { Envelope } from "../../src/errors/envelope.ts";
import type { OidcChange } from "../../src/services/oidc.ts";
import { publicUrl, redirectUri, startOidcApp } from "../harness/oidc-app.ts";
import { startWithRogue as start } from "../harness/oidc-rogue.ts";

const call = async (
  app: { fetch: (request: Request) => Promise<Response> },
  method: "GET" | "POST",
  body?: object,
): Promise<Envelope<Record<string, unknown>>> => {
  const headers = { "content-type": "application/json" };
  const init = body === undefined ? { method } : { method, headers, body: JSON.stringify(body) };
  const response = await app.fetch(new Request(`${publicUrl}/oidc`, init));
  expect(response.status).toBe(200);
  return (await response.json()) as Envelope<Record<string, unknown>>;
};

describe("the settings", () => {
  test("are NOT_FOUND at first, with the address to register", async () => {
    await using app = await startOidcApp();
    const { code, data } = await call(app, "GET");
    expect({ code, data }).toEqual({ code: "NOT_FOUND", data: { redirect_uri: redirectUri } });
  });

  test("are answered and recorded without the secret, which is stored sealed", async () => {
    await using it = await start();
    const { app, rogue } = it;
    const set = await call(app, "POST", {
      client_secret: "canary secret",
      allowed_domains: ["Example.COM"],
      role_claim: "groups",
      role_map: [{ value: "__proto__", role: "admin" }],
    });
    expect(set).toMatchObject({ code: "SUCCESS", message: "The single sign-on settings have been saved" });
    expect(set.data).toEqual({
      issuer: rogue.issuer,
      client_id: rogue.clientId,
      client_secret_set: true,
      scopes: "openid email profile",
      allowed_domains: ["example.com"],
      role_claim: "groups",
      role_map: [{ value: "__proto__", role: "admin" }],
      default_role: "viewer",
      enabled: true,
      redirect_uri: redirectUri,
      created_at: expect.any(String),
      updated_at: expect.any(String),
    });
    expect((await call(app, "GET")).data).toEqual(set.data);
    const [first, second] = await app.audited();
    expect(first).toMatchObject({ action: "oidc.update", actor_kind: "development", before: null });
    expect(first?.after).toMatchObject({ issuer: rogue.issuer, client_secret: "***" });
    expect(second?.after).toEqual({
      ...set.data,
      role_map: expect.anything(),
      client_secret: "*** (changed)",
    });
    const [row] = await app.sql`select client_secret_sealed from oidc`;
    const seen = JSON.stringify([first, second]) + Buffer.from(row?.client_secret_sealed).toString("latin1");
    expect(seen).not.toContain("canary");
  });

  test("keep the secret where it is empty or absent, and everything that is not named", async () => {
    await using it = await start();
    const { app } = it;
    const before = (await call(app, "GET")).data;
    const [sealed] = await app.sql`select client_secret_sealed from oidc`;
    for (const body of [{}, { client_secret: "" }]) {
      expect((await call(app, "POST", body)).data).toEqual({ ...before, updated_at: expect.any(String) });
    }
    expect(await app.sql`select client_secret_sealed from oidc`).toEqual([sealed] as never);
    expect((await app.logIn(app.browser())).status).toBe(200);
  });

  test("can be switched off while the provider is away, and not on", async () => {
    await using it = await start();
    it.rogue.plan = { discovery: () => new Response("", { status: 503 }) };
    expect((await call(it.app, "POST", { enabled: false })).code).toBe("SUCCESS");
    expect((await call(it.app, "POST", { enabled: true })).data).toEqual({
      issuer: ["cannot be reached: check the address and the network"],
    });
  });

  test("do not send the secret to another issuer", async () => {
    await using it = await start();
    const { code, data } = await call(it.app, "POST", { issuer: "https://evil.example" });
    expect({ code, data }).toEqual({
      code: "VALIDATE_ERROR",
      data: { client_secret: ["must be given again when the issuer changes"] },
    });
  });
});

describe("VALIDATE_ERROR is answered", () => {
  const wrong: [string, object, string][] = [
    ["http elsewhere", { issuer: "http://id.example.com" }, "issuer"],
    ["no address", { issuer: "id.example.com" }, "issuer"],
    ["a file", { issuer: "file:///etc/passwd" }, "issuer"],
    ["an address with a query", { issuer: "https://id.example.com/?x" }, "issuer"],
    ["an address with a password", { issuer: "https://a:b@id.example.com" }, "issuer"],
    [
      "the document's address",
      { issuer: "https://id.example.com/.well-known/openid-configuration" },
      "issuer",
    ],
    ["scopes without openid", { scopes: "email profile" }, "scopes"],
    ["a domain with a wildcard", { allowed_domains: ["*.example.com"] }, "allowed_domains"],
    ["a domain with an @", { allowed_domains: ["@example.com"] }, "allowed_domains"],
    ["the owner's role from a claim", { role_map: [{ value: "x", role: "owner" }] }, "role_map.0.role"],
    ["the admin's role for everybody", { default_role: "admin" }, "default_role"],
    ["a field of the table's own", { client_secret_sealed: "x" }, "client_secret_sealed"],
  ];
  test("for what cannot be a setting, naming the field", async () => {
    await using it = await start();
    for (const [what, body, field] of wrong) {
      const { code, data } = await call(it.app, "POST", { client_secret: "s", ...body });
      expect({ code, fields: Object.keys(data) }, what).toEqual({ code: "VALIDATE_ERROR", fields: [field] });
    }
  });

  const documents: Record<string, (document: Record<string, unknown>) => unknown> = {
    "names another issuer": (document) => ({ ...document, issuer: "https://evil.example" }),
    "names no issuer": ({ issuer: _, ...document }) => document,
    "has no key set": ({ jwks_uri: _, ...document }) => document,
    "has no token endpoint": ({ token_endpoint: _, ...document }) => document,
    "sends the secret over http": (document) => ({
      ...document,
      token_endpoint: "http://id.example.com/token",
    }),
    "sends browsers to a script": (document) => ({
      ...document,
      authorization_endpoint: "javascript:alert(1)",
    }),
    "is a list": () => [],
  };
  test("for an issuer whose document cannot be used", async () => {
    await using it = await start();
    for (const [what, discovery] of Object.entries(documents)) {
      it.rogue.plan = { discovery };
      const { code, data } = await call(it.app, "POST", { client_id: "another" });
      expect(code, what).toBe("VALIDATE_ERROR");
      expect(data, what).toEqual({ issuer: [expect.stringContaining("has no usable OpenID configuration")] });
    }
  });
});

describe("a role", () => {
  const rules: OidcChange = {
    role_claim: "realm_access.roles",
    role_map: { admins: "admin", editors: "editor" },
    default_role: "viewer",
  };
  const claims: [string, unknown, string][] = [
    ["admin for a mapped value", ["admins"], "admin"],
    ["the highest of several", ["editors", "admins", "x"], "admin"],
    ["a single value that is no list", "editors", "editor"],
    ["the default for unknown values", ["Admins", "admin", "owner"], "viewer"],
    ["the default for no claim", undefined, "viewer"],
    ["the default for what is no text", [{ admins: 1 }, ["admins"], 1, null], "viewer"],
    ["the default for names of an object's own parts", ["constructor", "__proto__", "toString"], "viewer"],
  ];
  test("is what the claim's values map to", async () => {
    await using it = await start();
    const { app, rogue } = it;
    await app.configure(rules);
    for (const [index, [what, roles, role]] of claims.entries()) {
      const who = { sub: `${index}`, email: `${index}@example.com` };
      rogue.plan = {
        claims: (all) => ({ ...all, ...who, realm_access: { roles } }),
        userInfo: (all) => ({ ...all, ...who }),
      };
      await app.logIn(app.browser());
      expect((await app.listAccounts()).at(-1), what).toMatchObject({
        email: who.email,
        role: role as never,
      });
    }
  });

  test("follows the claim at each login, and an owner's is neither given nor taken", async () => {
    await using it = await start();
    const { app, rogue } = it;
    await app.configure(rules);
    const logIn = async (sub: string, roles: string[]) => {
      const email = `${sub}@example.com`;
      rogue.plan = { claims: (all) => ({ ...all, sub, email, realm_access: { roles } }) };
      await app.logIn(app.browser());
      return (await app.sql`select role from account where email = ${email}`)[0]?.role;
    };
    expect(await logIn("bob", ["admins"])).toBe("admin");
    expect(await logIn("bob", [])).toBe("viewer");
    await app.addAccount({ email: "carol@example.com", role: "owner" });
    expect(await logIn("carol", [])).toBe("owner");
    expect(await logIn("carol", ["editors"])).toBe("owner");
    await app.configure({ role_claim: "" });
    await app.sql`update account set role = 'editor' where email = 'bob@example.com'`;
    expect(await logIn("bob", ["admins"])).toBe("editor");
  });

  test("of an owner cannot stand in the table at all", async () => {
    await using it = await start();
    for (const roles of [{ x: "owner" }, ["owner"], { x: 1 }]) {
      const set = it.app.sql`update oidc set role_map = ${it.app.sql.json(roles as never)}`;
      expect(await set.catch(({ code }) => code)).toBe("23514");
    }
  });
});
