import { expect, test } from "bun:test";
import { permissions } from "../../src/auth/permissions.ts";
import { startTestApp, type TestApp, toRequest } from "../harness/app.ts";
import { createDatabase } from "../harness/database.ts";
import { startOidcProvider } from "../harness/oidc-provider.ts";
import { startUpstream } from "../harness/upstream.ts";

const canary = (name: string) => `canary-${name}-${crypto.randomUUID()}`;

/** Every spelling in which a secret could have been kept. */
const spellings = (secret: string): string[] => [
  secret,
  Buffer.from(secret).toString("hex"),
  Buffer.from(secret).toString("base64url"),
  encodeURIComponent(secret),
];

/** Which of these secrets stand in a text. */
const found = (secrets: Readonly<Record<string, string>>, text: string): string[] =>
  Object.entries(secrets)
    .filter(([, secret]) => spellings(secret).some((each) => text.includes(each)))
    .map(([name]) => name);

/** Every table of the database, each row as text. */
async function dump({ database: { sql } }: TestApp): Promise<string> {
  const tables = await sql<{ name: string }[]>`
    select format('%I.%I', table_schema, table_name) as name from information_schema.tables
    where table_schema not in ('pg_catalog', 'information_schema') and table_type = 'BASE TABLE'`;
  expect(tables.length).toBeGreaterThan(10);
  const rows: string[] = [];
  for (const { name } of tables) {
    for (const { row } of await sql.unsafe(`select t::text as row from ${name} t`))
      rows.push(`${name} ${row}`);
  }
  return rows.join("\n");
}

test("secrets of every kind stand where they are meant to be, and in no log, table or answer beside", async () => {
  await using database = await createDatabase();
  await using upstream = await startUpstream();
  await using provider = await startOidcProvider({ redirectUri: "http://127.0.0.1:5000/auth/oidc/callback" });

  // The database's own password, on either kind of server: a role for this test alone.
  const databasePassword = canary("database");
  const role = `canary_${crypto.randomUUID().replaceAll("-", "")}`;
  await database.sql.unsafe(`create role ${role} superuser login password '${databasePassword}'`);
  const url = new URL(database.url);
  url.username = role;
  url.password = databasePassword;

  const settings = {
    OPEN_API_KEY: canary("provider-key"),
    LLMOPS_SECRET_KEY: canary("secret-key"),
    LLMOPS_SECRET_KEY_PREVIOUS: canary("previous-secret-key"),
    LLMOPS_ADMIN_PASSWORD: canary("admin-password"),
  };
  const app = await startTestApp({
    dev: false,
    environment: {
      ...settings,
      DATABASE_URL: url.href,
      DATABASE_ECHO: "true",
      LOG_LEVEL: "debug",
      OPEN_API_BASE: upstream.baseUrl,
      OPEN_API_MODEL: "kimi-k2.5",
      LLMOPS_ADMIN_EMAIL: "owner@example.com",
    },
    database,
  });
  const told: string[] = [];
  /** Calls a route; what is answered must hold none of the secrets, unless they are `meant` to be there. */
  const ask = async (
    method: string,
    path: string,
    headers: Record<string, string>,
    body?: unknown,
    meant = false,
  ) => {
    const response = await app.fetch(toRequest(method, path, { headers, body }));
    const text = await response.text();
    const all = JSON.stringify([[...response.headers], text]);
    if (!meant) told.push(`${method} ${path.split("?")[0]} ${all}`);
    return text.startsWith("{")
      ? (JSON.parse(text) as { code: string; data: Record<string, string> })
      : undefined;
  };
  const mustBe = async (...args: Parameters<typeof ask>): Promise<Record<string, string>> => {
    const answer = await ask(...args);
    expect([args[0], args[1], answer?.code]).toEqual([args[0], args[1], "SUCCESS"]);
    return answer?.data ?? {};
  };

  const secrets: Record<string, string> = { ...settings, DATABASE_URL: databasePassword };
  const owner = { email: "owner@example.com", password: settings.LLMOPS_ADMIN_PASSWORD };
  const login = await mustBe("POST", "/auth/login", {}, owner, true);
  secrets.accessToken = login.access_token ?? "";
  secrets.firstRefreshToken = login.refresh_token ?? "";
  const bearer = { authorization: `Bearer ${login.access_token}` };
  const inCookies = toRequest("POST", "/auth/login", { body: { ...owner, cookie: true } });
  for (const [i, cookie] of (await app.fetch(inCookies)).headers.getSetCookie().entries()) {
    secrets[`cookie${i}`] = cookie.slice(cookie.indexOf("=") + 1, cookie.indexOf(";"));
  }
  const next = await mustBe("POST", "/auth/refresh", {}, { refresh_token: login.refresh_token }, true);
  secrets.secondAccessToken = next.access_token ?? "";
  secrets.refreshToken = next.refresh_token ?? "";

  secrets.password = canary("password");
  const person = { email: "editor@example.com", password: secrets.password };
  await mustBe("POST", "/account", bearer, { ...person, role: "editor" });
  const editor = await mustBe("POST", "/auth/login", {}, person, true);
  secrets.editorToken = editor.access_token ?? "";
  secrets.newPassword = canary("new-password");
  const change = { current: person.password, next: secrets.newPassword };
  await mustBe("POST", "/auth/password", { authorization: `Bearer ${editor.access_token}` }, change);

  const made = await mustBe("POST", "/app", bearer);
  const key = await mustBe("POST", `/app/${made.id}/key`, bearer, { name: "key" }, true);
  secrets.key = key.key ?? "";
  secrets.keySecret = (key.key ?? "").slice(-43);
  const rotated = await mustBe("POST", `/app/${made.id}/key/${key.id}/rotate`, bearer, {}, true);
  secrets.rotatedKeySecret = (rotated.key ?? "").slice(-43);
  for (const each of [key.key, rotated.key])
    await ask("GET", "/v1/models", { authorization: `Bearer ${each}` });

  secrets.clientSecret = canary("client-secret");
  const oidc = { issuer: provider.issuer, client_id: "llmops", client_secret: secrets.clientSecret };
  await mustBe("POST", "/oidc", bearer, oidc);
  await ask("POST", "/oidc", bearer, { ...oidc, issuer: "http://127.0.0.1:1" });
  await ask("GET", "/auth/oidc/start", {}, undefined, true);
  expect((await ask("POST", "/app/completion", bearer, { query: "hi" }))?.code).toBe("SUCCESS");
  expect(upstream.requests[0]?.headers.authorization).toBe(`Bearer ${settings.OPEN_API_KEY}`);

  // What nobody has, but might type: into every route, in every place where a secret could stand.
  for (const name of ["typedPassword", "typedToken", "typedCookie", "typedKey", "typedSetup", "typedQuery"]) {
    secrets[name] = canary(name);
  }
  const { typedPassword, typedToken, typedCookie, typedKey, typedSetup, typedQuery } = secrets;
  const body = {
    email: `${typedPassword}@example.com`,
    password: typedPassword,
    current: typedPassword,
    next: typedPassword,
    token: typedSetup,
    refresh_token: typedToken,
    client_secret: typedKey,
    query: 7,
  };
  const me = await mustBe("GET", "/auth/me", bearer);
  const drive = async () => {
    for (const route of Object.keys(permissions)) {
      const [method = "", pattern = ""] = route.split(" ");
      if (route === "POST /auth/logout") continue;
      const path = pattern
        .replace(":id", (pattern.startsWith("/account") ? me.id : made.id) ?? "")
        .replace("*", "x")
        .replaceAll(/:\w+/g, crypto.randomUUID());
      const post = method === "POST";
      for (const headers of [
        {},
        bearer,
        { authorization: `Bearer ${typedToken}` },
        { authorization: `Basic ${Buffer.from(`x:${typedPassword}`).toString("base64")}` },
        { authorization: `Bearer ${key.key}` },
        { authorization: `Bearer ${key.key?.slice(0, -1)}!` },
        { authorization: `Bearer llmops-${key.public_id}-${"A".repeat(43)}`, "x-api-key": typedKey ?? "" },
        { cookie: `llmops_access=${typedCookie}; llmops_refresh=${typedCookie}; llmops_oidc=${typedCookie}` },
        { cookie: `llmops_access=${next.access_token}`, origin: "https://evil.example" },
      ] as Record<string, string>[]) {
        await ask(
          method,
          `${path}?token=${typedQuery}&code=${typedQuery}&state=${typedQuery}`,
          headers,
          post ? body : undefined,
        );
        if (!post) await ask(method, path, headers);
        if (post && !/delete$/.test(path)) await ask(method, path, headers, `{"password":"${typedPassword}`);
      }
    }
  };
  await drive();
  await ask("POST", "/auth/login", {}, { email: owner.email, password: typedPassword });
  await ask("POST", "/auth/refresh", {}, { refresh_token: typedToken });
  await ask("POST", "/auth/refresh", {}, { refresh_token: login.refresh_token });
  await ask(
    "POST",
    "/auth/setup",
    {},
    { token: typedSetup, email: "x@example.com", password: typedPassword },
  );
  await ask("POST", "/auth/logout", {}, { refresh_token: next.refresh_token });
  // And where the inside fails, with all of it at hand.
  const tables = await dump(app);
  // What is kept of a secret to compare it with is nobody's to read either, and has one place each.
  const [kept] = await database.sql<{ password: string; key: Uint8Array }[]>`
    select password_hash as password, secret_hash as key from account, app_key where account.email = ${person.email}`;
  const hashes = { password: kept?.password ?? "", key: [...(kept?.key ?? [])].join(",") };
  const keyHash = Buffer.from(kept?.key ?? []).toString("hex");
  const rowsWith = (text: string) =>
    tables
      .split("\n")
      .filter((row) => row.includes(text))
      .map((row) => row.split(" ")[0]);
  expect([rowsWith(hashes.password), rowsWith(keyHash), rowsWith(hashes.key)]).toEqual([
    ["public.account"],
    ["public.app_key"],
    [],
  ]);
  Object.assign(secrets, { passwordHash: hashes.password, keyHash });
  for (const table of ["session", "app_key", "audit", "login_attempt", "setup_token", "oidc"]) {
    await database.sql.unsafe(`alter table ${table} rename to ${table}_away`);
  }
  await drive();
  await app[Symbol.asyncDispose]();
  // At midnight it has made the partitions of a day.
  await database.sql.unsafe(`drop owned by ${role}`);
  await database.sql.unsafe(`drop role ${role}`);

  for (const [name, secret] of Object.entries(secrets))
    expect([name, secret.length > 20]).toEqual([name, true]);
  const { passwordHash: _, keyHash: __, ...unkept } = secrets;
  expect(found(unkept, tables)).toEqual([]);
  expect(told.filter((each) => found(secrets, each).length > 0)).toEqual([]);
  expect(app.logged()).toContain("request failed");
  expect(
    app
      .logged()
      .split("\n")
      .filter((line) => found(secrets, line).length > 0),
  ).toEqual([]);
}, 60_000);

test("the setup token stands in the link alone, and only its hash in the database", async () => {
  await using app = await startTestApp({
    dev: false,
    environment: { DATABASE_ECHO: "true", LOG_LEVEL: "debug" },
  });
  const token = app.setupUrl?.split("#")[1] ?? "";
  expect(token).toHaveLength(43);
  const secrets = { token, password: canary("password") };
  expect(found(secrets, await dump(app))).toEqual([]);
  const body = { token, email: "owner@example.com", password: secrets.password };
  const answer = await app.call("POST", "/auth/setup", { body });
  expect(answer.code).toBe("SUCCESS");
  expect(found(secrets, JSON.stringify([answer.data, answer.message, [...answer.headers]]))).toEqual([]);
  expect(found(secrets, await dump(app))).toEqual([]);
  expect(found(secrets, app.logged())).toEqual([]);
});
