import { expect, test } from "bun:test";
import { permissions } from "../../src/auth/permissions.ts";
import { toRequest } from "../harness/app.ts";
import { addKey, logIn, startProduction } from "./kit.ts";

const id = "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f";

test("no envelope may be kept by a cache, and each says its code in a header, for every route with and without a login", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  let envelopes = 0;
  for (const route of [...Object.keys(permissions), "GET /nowhere", "PUT /app"]) {
    const [method = "", pattern = ""] = route.split(" ");
    const path = pattern.replaceAll(/:\w+/g, id).replace("*", "x");
    for (const headers of [{}, owner.bearer] as Record<string, string>[]) {
      const response = await app.fetch(toRequest(method, path, { headers }));
      const text = await response.text();
      const { code } = text.startsWith('{"code"')
        ? (JSON.parse(text) as { code: string })
        : { code: undefined };
      if (code === undefined) continue;
      envelopes++;
      expect([
        route,
        response.status,
        response.headers.get("cache-control"),
        response.headers.get("x-llmops-code"),
        response.headers.get("content-type"),
      ]).toEqual([route, 200, "no-store", code, "application/json;charset=utf-8"]);
    }
  }
  expect(envelopes).toBeGreaterThan(50);
}, 60_000);

test("every page runs nothing but its own files, in nobody's frame, is taken for nothing else, and tells nobody where it was", async () => {
  await using app = await startProduction();
  for (const path of [
    "/setup",
    "/setup/setup.js",
    "/setup/setup.css",
    "/swagger",
    "/swagger/initializer.js",
    "/auth/oidc/start",
    "/auth/oidc/callback",
    "/auth/oidc/callback?error=%3Cscript%3Ealert(1)%3C/script%3E&error_description=%3Cscript%3E&state=%22%3E%3Cscript%3E",
  ]) {
    const response = await app.fetch(toRequest("GET", path));
    const text = await response.text();
    const policy = response.headers.get("content-security-policy") ?? "";
    expect([
      path,
      policy.split("; ").filter((each) => /^(default-src|base-uri|form-action|frame-ancestors)/.test(each)),
    ]).toEqual([
      path,
      ["default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
    ]);
    expect([path, policy.includes("unsafe"), policy.includes("*")]).toEqual([path, false, false]);
    expect([
      path,
      response.headers.get("x-content-type-options"),
      response.headers.get("referrer-policy"),
    ]).toEqual([path, "nosniff", "no-referrer"]);
    if (response.headers.get("content-type")?.startsWith("text/html")) {
      // Nothing inline, and nothing of the request's.
      expect([path, /<script(?![^>]*\ssrc="\/)|\son\w+=|<style|javascript:|alert/i.test(text)]).toEqual([
        path,
        false,
      ]);
    }
  }
});

test("no answer on /v1 may be kept for somebody else", async () => {
  await using app = await startProduction();
  const { key } = await addKey(app, await logIn(app));
  for (const [authorization, status] of [
    [`Bearer ${key}`, 200],
    ["Bearer wrong", 401],
  ] as const) {
    const response = await app.fetch(toRequest("GET", "/v1/models", { headers: { authorization } }));
    expect([response.status, response.headers.get("cache-control")]).toEqual([status, "no-store"]);
  }
});
