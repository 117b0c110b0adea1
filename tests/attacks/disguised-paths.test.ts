import { expect, test } from "bun:test";
import { permissions } from "../../src/auth/permissions.ts";
import { appRows } from "../harness/rows.ts";
import { codeOf, listenTo, logIn, startProduction, statuses } from "./kit.ts";

/** Public paths in disguise, and others that look like one. */
const targets = [
  "//app",
  "/APP",
  "/App",
  "/%61pp",
  "/app/",
  "/app//",
  "/app;x",
  "/app;/ping",
  "/app%20",
  "/app%2f",
  "/./app",
  "/app/.",
  "/app/../app",
  "/ping/../app",
  "/ping/%2e%2e/app",
  "/ping/..%2fapp",
  "/ping%2f..%2fapp",
  "/ping/..;/app",
  "/ping\\..\\app",
  "/ping%5c..%5capp",
  "/swagger/../app",
  "/swagger%2f..%2fapp",
  "/setup/../app",
  "/ping%00",
  "/ping%00/app",
  "/ping%23/../app",
  "/ping#x",
  "/ping/",
  "/PING",
  "//ping",
  "/ping;x",
  "/ping/app",
  "/app?/ping",
  "/x/ping?/app",
  "/x/ping?/account",
  "/xx/ping?/account",
  "/xxx/ping?/audit",
  "/x/ping?/audit",
  "/x/ping?/oidc",
  "/x/setup?/account",
  "/x/healthz?/account",
  "/x/ping?/app/completion",
  "/account/",
  "//account",
  "/ACCOUNT",
  "/%61ccount",
  "/account;x",
  "/account/.",
  "/ping/..%2faccount",
  "/swagger/../account",
  "/audit/",
  "/oidc/",
  "/account?/ping",
  "/account#/ping",
  "http://evil.example/app",
  "http://localhost/app",
  "https://evil.example/account",
  "http://evil.example/x/ping?/account",
  "http://evil.example",
  "http://evil.example?/ping",
];
const methods = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];

const hosts = [
  "HTTP/1.1\r\nHost: localhost",
  "HTTP/1.0",
  "HTTP/1.1\r\nHost: a b",
  "HTTP/1.1\r\nHost: a?",
  "HTTP/1.1\r\nHost: x/ping?",
  "HTTP/1.1\r\nHost: a#",
  "HTTP/1.1\r\nHost: u@h",
  "HTTP/1.1\r\nHost: a, b",
  "HTTP/1.1\r\nHost: ",
];

test("UNAUTHORIZED is answered over a real connection to every disguise of a path, under any Host or none", async () => {
  await using app = await startProduction();
  await logIn(app);
  await using server = listenTo(app);
  let asked = 0;
  for (const host of hosts) {
    for (const target of targets) {
      for (const method of host === hosts[0] ? methods : ["GET", "POST"]) {
        const text = await server.send(
          `${method} ${target} ${host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
        );
        asked++;
        expect([method, target, host, codeOf(text)]).toEqual([method, target, host, "UNAUTHORIZED"]);
        expect([method, target, host, text.includes("owner@example.com")]).toEqual([
          method,
          target,
          host,
          false,
        ]);
      }
    }
  }
  expect(asked).toBeGreaterThan(1000);
  expect(await appRows(app.database.sql)).toEqual([]);
}, 60_000);

test("NOT_FOUND is answered to what only looks as if it led out of the public pages", async () => {
  await using app = await startProduction();
  await using server = listenTo(app);
  for (const target of [
    "/swagger/..%2faccount",
    "/swagger/%2e%2e%2faccount",
    "/swagger/..;/account",
    "/swagger/..%5caccount",
  ]) {
    const text = await server.send(`GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    expect([target, codeOf(text)]).toEqual([target, "NOT_FOUND"]);
  }
});

test("nothing is answered to what is no request: other targets, methods in other letters, no version", async () => {
  await using app = await startProduction();
  await using server = listenTo(app);
  for (const line of [
    "OPTIONS * HTTP/1.1",
    "GET * HTTP/1.1",
    "GET ping HTTP/1.1",
    "GET  HTTP/1.1",
    "get /ping HTTP/1.1",
    "Get /ping HTTP/1.1",
    "post /app HTTP/1.1",
    "FOO /app HTTP/1.1",
    "PRI * HTTP/2.0",
    "GET /ping",
    "GET /ping HTTP/9.9",
    "GET /ping HTTP/1.1 x",
    "GET /ping\tHTTP/1.1",
    "GET /app\0 HTTP/1.1",
  ]) {
    const text = await server.send(`${line}\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    expect([line, statuses(text).includes(200), text.includes("pong")]).toEqual([line, false, false]);
  }
  const text = await server.send(
    "CONNECT localhost:5432 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
  );
  expect(codeOf(text)).toBe("UNAUTHORIZED");
});

test("UNAUTHORIZED is answered whatever headers say of another method or path", async () => {
  await using app = await startProduction();
  await using server = listenTo(app);
  for (const header of [
    "X-HTTP-Method-Override: GET",
    "X-HTTP-Method: GET",
    "X-Method-Override: GET",
    "X-Original-URL: /ping",
    "X-Rewrite-URL: /ping",
    "X-Forwarded-Path: /ping",
    "X-Forwarded-Prefix: /ping",
    "Upgrade: h2c\r\nConnection: Upgrade",
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
  ]) {
    for (const [line, code] of [
      ["POST /app", "UNAUTHORIZED"],
      ["POST /ping", "UNAUTHORIZED"],
      ["GET /account", "UNAUTHORIZED"],
      ["GET /app?_method=GET&path=/ping", "UNAUTHORIZED"],
    ] as const) {
      const line_ = await server.open();
      line_.write(`${line} HTTP/1.1\r\nHost: localhost\r\n${header}\r\nContent-Length: 0\r\n\r\n`);
      const text = await line_.until((each) => each.includes("}"));
      line_.socket.destroy();
      expect([header, line, codeOf(text), statuses(text)]).toEqual([header, line, code, [200]]);
    }
  }
  expect(await appRows(app.database.sql)).toEqual([]);
});

test("a request without a Host is answered on the public list, so that a plain probe of a proxy sees the truth", async () => {
  await using app = await startProduction();
  await using server = listenTo(app);
  const text = await server.send("GET /healthz HTTP/1.0\r\n\r\n");
  expect([statuses(text), text.endsWith('{"status":"ok"}')]).toEqual([[200], true]);
});

test("every route that is not public is closed to whoever has logged in nowhere, by its own name", async () => {
  await using app = await startProduction();
  await using server = listenTo(app);
  for (const [route, permission] of Object.entries(permissions)) {
    if (permission === "public") continue;
    const text = await server.send(
      `${route.replaceAll(/:\w+/g, "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f")} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
    );
    const expected = permission === "key" ? [401, undefined] : [200, "UNAUTHORIZED"];
    expect([route, statuses(text)[0], codeOf(text)]).toEqual([route, ...expected]);
  }
});
