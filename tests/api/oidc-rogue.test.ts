import { describe, expect, test } from "bun:test";
import { never, startWithRogue as start } from "../harness/oidc-rogue.ts";

test("an honest provider logs people in", async () => {
  await using it = await start();
  expect(await it.app.logIn(it.app.browser())).toMatchObject({ status: 200, account: expect.any(String) });
});

describe("502 is answered, and the next login works,", () => {
  const endless = () =>
    new Response(
      new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536).fill(32)) }),
      { headers: { "content-type": "application/json" } },
    );
  const afterHeaders = () =>
    new Response(new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(1)) }));
  const answers: Record<string, () => unknown> = {
    "answers nothing": never,
    "begins an answer and does not end it": afterHeaders,
    "answers 500": () => new Response("{}", { status: 500 }),
    "answers a page": () => new Response("<html>", { headers: { "content-type": "text/html" } }),
    "answers broken JSON": () => new Response("{", { headers: { "content-type": "application/json" } }),
    "sends us elsewhere": () => Response.redirect("http://127.0.0.1:1/"),
    "never stops talking": endless,
  };
  for (const part of ["discovery", "keySet", "token"] as const) {
    for (const [what, answer] of Object.entries(answers)) {
      test(`when the provider ${what} (${part})`, async () => {
        await using it = await start({ timeoutMs: 250 });
        const { app, rogue } = it;
        // Another name for the client makes another configuration: the one in memory is not used.
        await app.sql`update oidc set client_id = ${part === "discovery" ? "llmops2" : "llmops"}`;
        rogue.plan = { [part]: answer };
        const page = await app.logIn(app.browser());
        expect(page).toMatchObject({ account: undefined, status: 502 });
        expect(page.text).toContain("cannot be reached");
        rogue.plan = {};
        await app.sql`update oidc set client_id = 'llmops'`;
        expect((await app.logIn(app.browser())).status).toBe(200);
      });
    }
  }
});

test("a token with more claims than anybody needs is refused, and one with many groups is not", async () => {
  await using it = await start();
  const { app, rogue } = it;
  const groups = (count: number) => Array.from({ length: count }, (_, index) => `group-${index}`);
  rogue.plan = { claims: (claims) => ({ ...claims, groups: groups(2_000) }) };
  expect((await app.logIn(app.browser())).status).toBe(200);
  rogue.plan = { claims: (claims) => ({ ...claims, groups: groups(100_000) }) };
  expect((await app.logIn(app.browser())).status).toBe(502);
});

test("the answer of a failed login shows and logs nothing of the tokens", async () => {
  await using it = await start();
  const { app, rogue } = it;
  rogue.plan = {
    token: () => Response.json({ error: "canary_code", error_description: "canary text" }, { status: 400 }),
  };
  const page = await app.logIn(app.browser());
  expect(page.status).toBe(400);
  expect(page.text).toContain("The identity provider refused the login</p>");
  expect(page.text).not.toContain("canary");
  rogue.plan = { claims: (claims) => ({ ...claims, nonce: "canary nonce", email: "canary@example.com" }) };
  await app.logIn(app.browser());
  for (const { cause } of app.errors) expect(String(cause)).not.toContain("canary");
  expect(String(app.errors.at(-1)?.cause)).toContain('unexpected ID Token "nonce" claim value');
});
