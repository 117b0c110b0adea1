import { expect, test } from "bun:test";
import { startTestApp } from "../harness/app.ts";
import { openBrowser } from "../harness/browser.ts";
import { publicUrl, redirectUri } from "../harness/oidc-app.ts";
import { startOidcProvider } from "../harness/oidc-provider.ts";

const owner = { email: "owner@example.com", password: "correct horse battery staple" };

test("a login with the provider opens a session of the whole service, and nobody but an owner sets it up", async () => {
  await using provider = await startOidcProvider({ redirectUri });
  await using app = await startTestApp({
    dev: false,
    environment: {
      LLMOPS_PUBLIC_URL: publicUrl,
      LLMOPS_ADMIN_EMAIL: owner.email,
      LLMOPS_ADMIN_PASSWORD: owner.password,
    },
  });
  const { issuer, clientId, clientSecret } = provider;
  const settings = { issuer, client_id: clientId, client_secret: clientSecret };
  expect((await app.call("POST", "/oidc", { body: settings })).code).toBe("UNAUTHORIZED");
  const { data } = await app.call<{ access_token: string }>("POST", "/auth/login", { body: owner });
  const headers = { authorization: `Bearer ${data.access_token}` };
  expect((await app.call("POST", "/oidc", { body: settings, headers })).code).toBe("SUCCESS");

  provider.person = { sub: "alice", email: "alice@example.com", email_verified: true, name: "Alice" };
  const browser = openBrowser({ [publicUrl]: app.fetch });
  const { url } = await browser.visit(`${publicUrl}/auth/oidc/start?return_to=/auth/me`);
  expect(url.href).toBe(`${publicUrl}/auth/me`);
  const { response } = await browser.visit(`${publicUrl}/auth/me`);
  expect(await response.json()).toMatchObject({
    code: "SUCCESS",
    data: { email: "alice@example.com", role: "viewer" },
  });
  const denied = await browser.visit(`${publicUrl}/oidc`);
  expect(((await denied.response.json()) as { code: string }).code).toBe("FORBIDDEN");
  expect(app.logged()).not.toContain(clientSecret);
});
