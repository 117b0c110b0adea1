import { describe, expect, test } from "bun:test";
import { startTestApp, toRequest } from "../harness/app.ts";

describe("GET /ping", () => {
  test("answers pong, in production as well", async () => {
    for (const dev of [true, false]) {
      await using app = await startTestApp({ dev });
      const { status, code, message, data } = await app.call("GET", "/ping");
      expect({ status, code, message, data }).toEqual({
        status: 200,
        code: "SUCCESS",
        message: "pong",
        data: {},
      });
    }
  });
});

describe("GET /healthz", () => {
  test("answers 200 with a real status and no envelope", async () => {
    await using app = await startTestApp({ dev: false });
    const response = await app.fetch(toRequest("GET", "/healthz"));
    expect(response.status).toBe(200);
    expect(response.headers.has("x-llmops-code")).toBe(false);
    expect(await response.json()).toEqual({ status: "ok" });
  });
});

describe("GET /readyz", () => {
  test("answers 200 where the database answers, and nobody may keep it", async () => {
    await using app = await startTestApp({ dev: false });
    const response = await app.fetch(toRequest("GET", "/readyz"));
    expect(response.status).toBe(200);
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(await response.json()).toEqual({ status: "ready", database: "up", draining: false });
  });
});
