import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { request as send } from "node:http";
import { createDrain } from "../../src/drain.ts";
import { silentLog } from "../../src/log.ts";
import { startServer } from "../../src/server.ts";
import { startTestApp, type TestApp, toRequest } from "../harness/app.ts";
import { appRows } from "../harness/rows.ts";

const id = "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f";
const paths = [
  "/",
  "/app",
  "/app/",
  `/app/${id}`,
  `/app/${id}/delete`,
  "/app/completion",
  "/nowhere",
  "/metrics",
  "/v1",
  "/auth",
  "/auth/me",
  "/auth/login/",
  "/auth/login/x",
  "/AUTH/LOGIN",
  "/auth/%6cogin",
  "/auth//login",
  "/auth/session",
  "/auth/oidc",
  "/account",
  `/account/${id}`,
  "/audit",
  "/oidc",
  "/setup/",
  "/setup/x",
  "/ping/",
  "//ping",
  "/PING",
  "/pin%67",
  "/ping/x",
  "/healthz/",
  "/swaggerx",
  "/swagge",
  "/.env",
  "/app;/ping",
  "/app?x=/ping",
  "/%2e%2e/app",
];
const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"];

/** A request whose body says when somebody reads it. */
function watched(method: string, path: string) {
  let read = false;
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        read = true;
        controller.enqueue(new TextEncoder().encode("{}"));
        controller.close();
      },
    },
    { highWaterMark: 0 },
  );
  const request = new Request(`http://localhost:5000${path}`, {
    method,
    headers: { "content-type": "application/json" },
    ...(method === "GET" || method === "HEAD" ? {} : { body }),
  });
  return { request, wasRead: () => read };
}

const expectDenied = async (app: TestApp, method: string, path: string) => {
  const { request, wasRead } = watched(method, path);
  const response = await app.fetch(request);
  const at = `${method} ${path}`;
  expect(response.status, at).toBe(200);
  expect(response.headers.get("x-llmops-code"), at).toBe("UNAUTHORIZED");
  expect(wasRead(), at).toBe(false);
  if (method !== "HEAD") {
    expect(await response.json(), at).toEqual({ code: "UNAUTHORIZED", message: "请先登录", data: {} });
  }
};

describe("production", () => {
  test("refuses every method on every path outside the public list, known or not, before it reads the body", async () => {
    await using app = await startTestApp({ dev: false });
    for (const path of paths) for (const method of methods) await expectDenied(app, method, path);
    expect(await appRows(app.database.sql)).toEqual([]);
  });

  test("refuses to write to what may be read", async () => {
    await using app = await startTestApp({ dev: false });
    for (const path of ["/ping", "/healthz", "/readyz", "/swagger", "/swagger/json"]) {
      for (const method of methods.filter((each) => each !== "GET" && each !== "HEAD")) {
        await expectDenied(app, method, path);
      }
    }
  });

  test("refuses every method but the public one on the public routes of a login", async () => {
    await using app = await startTestApp({ dev: false });
    const isGet = (method: string) => method === "GET" || method === "HEAD";
    for (const path of ["/auth/login", "/auth/refresh", "/auth/logout", "/auth/setup"]) {
      for (const method of methods.filter((each) => each !== "POST")) await expectDenied(app, method, path);
    }
    for (const path of ["/setup", "/setup/setup.js", "/auth/oidc/start", "/auth/oidc/callback"]) {
      for (const method of methods.filter((each) => !isGet(each))) await expectDenied(app, method, path);
    }
  });

  test("refuses every method on every path of the data plane without a key, in OpenAI's shape, before it reads the body", async () => {
    await using app = await startTestApp({ dev: false });
    for (const path of ["/v1/", "/v1/models", "/v1/models/app", "/v1/chat/completions", "/v1/%6dodels"]) {
      for (const method of methods) {
        const { request, wasRead } = watched(method, path);
        const response = await app.fetch(request);
        expect([method, path, response.status, wasRead()]).toEqual([method, path, 401, false]);
        if (method === "HEAD") continue;
        expect(await response.json(), path).toMatchObject({ error: { code: "invalid_api_key" } });
      }
    }
  });

  test("refuses in English where that is asked for", async () => {
    await using app = await startTestApp({ dev: false });
    const { message } = await app.call("GET", "/app", { headers: { "accept-language": "en" } });
    expect(message).toBe("Please log in first");
  });

  test("refuses a caller who claims to be somebody", async () => {
    await using app = await startTestApp({ dev: false });
    for (const headers of [
      { authorization: "Bearer anything" },
      { cookie: "session=anything" },
      { "x-forwarded-for": "127.0.0.1" },
      { "x-original-url": "/ping", "x-rewrite-url": "/ping" },
      { "x-http-method-override": "GET" },
    ]) {
      const { code } = await app.call("POST", "/app", { headers });
      expect(code).toBe("UNAUTHORIZED");
    }
  });

  test("refuses what LLMOPS_ENV=development alone would admit", async () => {
    await using app = await startTestApp({ dev: false, environment: { LLMOPS_ENV: "development" } });
    for (const [method, path] of [
      ["POST", "/app"],
      ["GET", "/app"],
      ["POST", "/app/completion"],
      ["GET", "/nowhere"],
    ] as const) {
      await expectDenied(app, method, path);
    }
  });

  test("answers the public list without a login, through a proxy and under any name", async () => {
    await using app = await startTestApp({ dev: false });
    const headers = { host: "llmops.example.com", "x-forwarded-for": "203.0.113.9", via: "1.1 proxy" };
    const seen: Record<string, string | null> = {};
    for (const path of ["/ping", "/healthz", "/readyz", "/swagger", "/swagger/json"]) {
      const response = await app.fetch(toRequest("GET", path, { headers }));
      expect([path, response.status]).toEqual([path, 200]);
      seen[path] = response.headers.get("x-llmops-code");
    }
    // All but `/ping` are outside the envelope.
    expect(seen).toEqual({
      "/ping": "SUCCESS",
      "/healthz": null,
      "/readyz": null,
      "/swagger": null,
      "/swagger/json": null,
    });
  });

  test("refuses paths that only look public once they are taken apart", async () => {
    await using app = await startTestApp({ dev: false });
    for (const path of [
      "/swagger/../app",
      "/swagger/%2e%2e/app",
      "/swagger/..%2fapp",
      "/swagger/%2e%2e%2fapp",
    ]) {
      const response = await app.fetch(toRequest("GET", path));
      const text = await response.text();
      expect([path, text.includes('"items"')]).toEqual([path, false]);
      expect([path, response.headers.get("x-llmops-code")]).not.toEqual([path, "SUCCESS"]);
    }
  });
});

describe("development", () => {
  const forbidden = (what: string) => `开发模式只接受来自本机的直接请求:${what}`;

  test("refuses a Host that is not loopback, before it reads the body", async () => {
    await using app = await startTestApp();
    for (const host of [
      "evil.example",
      "localhost.evil.example",
      "127.0.0.1.evil.example",
      "127.0.0.1.nip.io:5000",
      "localhost:5000@evil.example",
      "evil.example:5000",
      "0.0.0.0",
      "192.168.1.5:5000",
      "[::2]:5000",
      "localhost.:5000",
      "xlocalhost",
      "",
    ]) {
      const { request, wasRead } = watched("POST", "/app");
      request.headers.set("host", host);
      const response = await app.fetch(request);
      expect([host, await response.json()]).toEqual([
        host,
        { code: "FORBIDDEN", message: forbidden("Host 不是本机地址"), data: {} },
      ]);
      expect(wasRead()).toBe(false);
    }
    expect(await appRows(app.database.sql)).toEqual([]);
  });

  test("answers under every name of this machine", async () => {
    await using app = await startTestApp();
    for (const host of ["localhost", "LOCALHOST:5000", "127.0.0.1:5000", "127.8.9.1", "[::1]:5000"]) {
      const { code } = await app.call("GET", "/app", { headers: { host } });
      expect([host, code]).toEqual([host, "SUCCESS"]);
    }
  });

  test("refuses the Origin of another site, port or scheme, and takes its own", async () => {
    await using app = await startTestApp();
    const host = "localhost:5000";
    for (const origin of [
      "https://evil.example",
      "http://evil.example:5000",
      "http://localhost:3000",
      "http://localhost",
      "https://localhost:5000",
      "http://127.0.0.1:5000",
      "http://localhost:5000.evil.example",
      "null",
      "file://",
    ]) {
      const { code, message } = await app.call("POST", "/app", { headers: { host, origin } });
      expect([origin, code, message]).toEqual([
        origin,
        "FORBIDDEN",
        forbidden("Origin 不是本服务自己的地址"),
      ]);
    }
    const own = await app.call("GET", "/app", { headers: { host, origin: "http://localhost:5000" } });
    expect(own).toMatchObject({ code: "SUCCESS", data: { items: [] } });
  });

  test("refuses what came through a proxy", async () => {
    await using app = await startTestApp();
    for (const name of [
      "Forwarded",
      "X-Forwarded-For",
      "X-Forwarded-Host",
      "X-Forwarded-Proto",
      "x-forwarded-anything",
      "Via",
    ]) {
      const { code, message } = await app.call("GET", "/app", { headers: { [name]: "127.0.0.1" } });
      expect([name, code, message]).toEqual([name, "FORBIDDEN", forbidden("请求经过了代理")]);
    }
  });

  test("refuses all of these on public and unknown paths as well, in the caller's language", async () => {
    await using app = await startTestApp();
    for (const path of ["/ping", "/readyz", "/swagger", "/nowhere"]) {
      const { code, message } = await app.call("GET", path, {
        headers: { host: "evil.example", "accept-language": "en" },
      });
      expect([path, code, message]).toEqual([
        path,
        "FORBIDDEN",
        "Development mode takes direct requests from this machine only: Host is not a loopback address",
      ]);
    }
  });

  test("refuses a foreign Host that arrives over a real connection", async () => {
    await using app = await startTestApp();
    const server = startServer(app, { host: "127.0.0.1", port: 0, drain: createDrain(), log: silentLog });
    const ask = async (host: string) => {
      const call = send(`${server.url}/app`, { headers: { host }, agent: false });
      call.end();
      const [response] = await once(call, "response");
      response.resume();
      return response.headers["x-llmops-code"];
    };
    expect([await ask("rebound.example"), await ask("localhost")]).toEqual(["FORBIDDEN", "SUCCESS"]);
    await server.stop();
  });
});
