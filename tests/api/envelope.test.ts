import { expect, test } from "bun:test";
import { startTestApp, toRequest } from "../harness/app.ts";

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const calls: [method: string, path: string, code: string, body?: unknown][] = [
  ["GET", "/ping", "SUCCESS"],
  ["POST", "/app", "SUCCESS"],
  ["GET", "/app", "SUCCESS"],
  ["GET", "/app/019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f", "NOT_FOUND"],
  ["GET", "/app/1", "VALIDATE_ERROR"],
  ["POST", "/app", "VALIDATE_ERROR", "{"],
  ["GET", "/nowhere", "NOT_FOUND"],
  ["PATCH", "/app", "NOT_FOUND"],
  ["POST", "/app/completion", "SUCCESS", { query: "hi", model: "echo" }],
  ["POST", "/app/completion", "UPSTREAM_ERROR", { query: "hi", model: "kimi-k2.5" }],
];

test("answers every outcome with status 200, code, message and data as JSON that nobody may keep", async () => {
  await using app = await startTestApp();
  for (const [method, path, code, body] of calls) {
    const response = await app.fetch(toRequest(method, path, { body }));
    const at = `${method} ${path} ${code}`;
    expect(response.status, at).toBe(200);
    expect(response.headers.get("content-type"), at).toStartWith("application/json");
    expect(response.headers.get("cache-control"), at).toBe("no-store");
    expect(response.headers.get("x-llmops-code"), at).toBe(code);
    expect(response.headers.get("x-request-id"), at).toMatch(uuid);
    const envelope = (await response.json()) as object;
    expect(envelope, at).toEqual({ code, message: expect.any(String), data: expect.any(Object) });
  }
});

test("answers every call with a request id of its own, which is also in the log", async () => {
  await using app = await startTestApp();
  const ids: string[] = [];
  for (const [method, path, , body] of calls) {
    const response = await app.fetch(toRequest(method, path, { body }));
    ids.push(response.headers.get("x-request-id") ?? "");
  }
  for (const path of ["/healthz", "/readyz", "/swagger"]) {
    ids.push((await app.fetch(toRequest("GET", path))).headers.get("x-request-id") ?? "");
  }
  expect(new Set(ids).size).toBe(calls.length + 3);
  for (const id of ids) expect(app.logged()).toContain(`"message":"request","request_id":"${id}"`);
});

test("answers with our request id though the caller sends one", async () => {
  await using app = await startTestApp();
  const sent = "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f";
  const { headers } = await app.call("GET", "/ping", { headers: { "x-request-id": sent } });
  expect(headers.get("x-request-id")).toMatch(uuid);
  expect(headers.get("x-request-id")).not.toBe(sent);
  expect(app.logged()).not.toContain(sent);
});

test("answers an unforeseen failure with FAIL, the request id and nothing internal", async () => {
  await using app = await startTestApp();
  await app.database.sql`alter table app rename to secret_canary`;
  for (const [language, message] of [
    ["zh", "服务内部出错,请联系管理员并提供请求编号 "],
    ["en", "Something failed inside the service; tell the operator the request id "],
  ] as const) {
    const { status, headers, ...envelope } = await app.call("GET", "/app", {
      headers: { "accept-language": language },
    });
    const id = headers.get("x-request-id") ?? "";
    expect(status).toBe(200);
    expect(envelope).toEqual({ code: "FAIL", message: message + id, data: { request_id: id } });
    expect(app.logged()).toContain(`"message":"request failed","request_id":"${id}"`);
  }
});

test("answers an unforeseen failure with its cause in debug mode, and with no more", async () => {
  await using app = await startTestApp({ environment: { LLMOPS_DEBUG: "1" } });
  await app.database.sql`alter table app rename to renamed`;
  const { data, headers } = await app.call("GET", "/app");
  expect(data).toEqual({
    request_id: headers.get("x-request-id"),
    debug: { error: 'PostgresError: relation "app" does not exist' },
  });
});

test("answers HEAD like GET, without a body", async () => {
  await using app = await startTestApp();
  const response = await app.fetch(toRequest("HEAD", "/ping"));
  expect(response.status).toBe(200);
  expect(response.headers.get("x-llmops-code")).toBe("SUCCESS");
  expect(await response.text()).toBe("");
});
