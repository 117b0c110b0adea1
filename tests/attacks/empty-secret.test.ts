import { expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/config/config.ts";
import { startTestApp } from "../harness/app.ts";
import { keyStatus, logIn, ownerEmail, ownerPassword, startProduction } from "./kit.ts";

const admin = { LLMOPS_ADMIN_EMAIL: ownerEmail, LLMOPS_ADMIN_PASSWORD: ownerPassword };

/** An access token as whoever knows the key would sign it. */
function sign(key: string, claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const head = `${part({ alg: "HS256", typ: "at+jwt" })}.${part(claims)}`;
  return `${head}.${createHmac("sha256", key).update(head).digest("base64url")}`;
}

test("an empty LLMOPS_SECRET_KEY is none: a random one is made, and nothing is signed with an empty one", async () => {
  for (const empty of ["", " ", "\t"]) {
    const dataDir = mkdtempSync(join(tmpdir(), "llmops-empty-"));
    {
      await using app = await startTestApp({
        dev: false,
        environment: { ...admin, LLMOPS_SECRET_KEY: empty, LLMOPS_DATA_DIR: dataDir },
      });
      expect(readFileSync(join(dataDir, "secret"), "utf8").trim().length).toBeGreaterThanOrEqual(32);
      const owner = await logIn(app);
      const claims = JSON.parse(Buffer.from(owner.access.split(".")[1] ?? "", "base64url").toString());
      for (const key of ["", " ", "\t", "llmops", "\0".repeat(32)]) {
        const headers = { authorization: `Bearer ${sign(key, claims)}` };
        expect((await app.call("GET", "/app", { headers })).code).toBe("UNAUTHORIZED");
      }
    }
    rmSync(dataDir, { recursive: true });
  }
}, 60_000);

test("a secret of fewer than 32 bytes stops the start, and is not repeated", () => {
  for (const secret of ["x", "0", "null", "undefined", "short secret of 31 bytes-------"]) {
    const load = () => loadConfig({ environment: { LLMOPS_SECRET_KEY: secret } });
    expect(load).toThrow("LLMOPS_SECRET_KEY has a value that is not allowed");
    expect(load).not.toThrow(`'${secret}'`);
  }
});

test("UNAUTHORIZED is answered to every way of sending nothing as a login", async () => {
  await using app = await startProduction();
  await logIn(app);
  const nothing: Record<string, string>[] = [
    {},
    ...[
      "",
      "Bearer",
      "Bearer ",
      "Bearer  ",
      "bearer",
      "Bearer \t",
      "Bearer null",
      "Bearer undefined",
      "Basic Og==",
    ].map((authorization) => ({ authorization })),
    ...["Bearer ,", "Bearer .", "Bearer ..", "Bearer ...", "Bearer e30.e30.", "Bearer =", 'Bearer ""'].map(
      (authorization) => ({ authorization }),
    ),
    ...[
      "llmops_access=",
      "llmops_access",
      'llmops_access=""',
      "llmops_access=; llmops_access=",
      "=; =",
      ";;;",
      "llmops_access=null",
    ].map((cookie) => ({ cookie })),
    { authorization: "", cookie: "llmops_access=" },
    { "x-api-key": "" },
  ];
  for (const headers of nothing) {
    expect([headers, (await app.call("GET", "/app", { headers })).code]).toEqual([headers, "UNAUTHORIZED"]);
    expect([headers, await keyStatus(app, headers)]).toEqual([headers, 401]);
  }
});

test("no empty refresh token, setup token or password opens anything", async () => {
  await using app = await startProduction();
  const before = await app.database.sql`select id from account`;
  const setup = (token: string) => ({ token, email: "me@example.com", password: "a long passphrase" });
  for (const [path, body, code] of [
    ["/auth/refresh", {}, "UNAUTHORIZED"],
    ["/auth/refresh", { refresh_token: "" }, "VALIDATE_ERROR"],
    ["/auth/refresh", { refresh_token: " " }, "UNAUTHORIZED"],
    ["/auth/refresh", { refresh_token: "llr_" }, "UNAUTHORIZED"],
    ["/auth/setup", setup(""), "VALIDATE_ERROR"],
    ["/auth/setup", setup(" "), "UNAUTHORIZED"],
    ["/auth/setup", setup("-"), "UNAUTHORIZED"],
    ["/auth/login", { email: ownerEmail, password: "" }, "VALIDATE_ERROR"],
    ["/auth/login", { email: ownerEmail, password: " " }, "UNAUTHORIZED"],
  ] as const) {
    expect([path, body, (await app.call("POST", path, { body })).code]).toEqual([path, body, code]);
  }
  const headers = { cookie: "llmops_refresh=", origin: "http://127.0.0.1:5000" };
  expect((await app.call("POST", "/auth/refresh", { headers })).code).toBe("UNAUTHORIZED");
  expect(await app.database.sql`select id from account`).toEqual(before);
});

test("UNAUTHORIZED is answered to any password for an account that has none", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const email = "elsewhere@example.com";
  await app.call("POST", "/account", { headers: owner.bearer, body: { email, role: "admin" } });
  for (const password of [" ", "null", "undefined", email]) {
    expect((await app.call("POST", "/auth/login", { body: { email, password } })).code).toBe("UNAUTHORIZED");
  }
});
