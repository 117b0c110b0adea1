import { expect, test } from "bun:test";
import { returnPath } from "../../src/services/oidc-state.ts";
import { toRequest } from "../harness/app.ts";
import { startProduction } from "./kit.ts";

const origin = "https://llmops.example.com";

const elsewhere = [
  "https://evil.example",
  "https:evil.example",
  "//evil.example",
  "///evil.example",
  "////evil.example",
  "/\\evil.example",
  "\\\\evil.example",
  "/\\/evil.example",
  "/\t/evil.example",
  "/\n/evil.example",
  "\t//evil.example",
  " //evil.example",
  "/.//evil.example",
  "/..//evil.example",
  "/x/..//evil.example",
  "/%2e%2e//evil.example",
  "javascript:alert(1)",
  "data:text/html,x",
  "evil.example",
  "@evil.example",
  ".evil.example",
  "/\u0000/evil.example",
  "/\r\nset-cookie: a=b",
  "/\u007f",
  "",
  `/${"x".repeat(2000)}`,
];

test("`/` is where a login ends that was asked to end on another site", () => {
  for (const wanted of elsewhere) expect([wanted, returnPath(wanted, origin)]).toEqual([wanted, "/"]);
});

test("a path on this service stays one, whatever a browser makes of it", () => {
  for (const wanted of [
    "/",
    "/app",
    "/app?x=//evil.example",
    "/%2f%2fevil.example",
    "/a@evil.example",
    "/:80",
    "/;//evil.example",
  ]) {
    const path = returnPath(wanted, origin);
    expect([wanted, new URL(path, origin).origin, path.startsWith("//")]).toEqual([wanted, origin, false]);
  }
});

test("no answer of a public route leads to a host that the caller named", async () => {
  await using app = await startProduction();
  const headers = {
    host: "evil.example",
    "x-forwarded-host": "evil.example",
    "x-original-url": "https://evil.example/",
    forwarded: "host=evil.example",
    referer: "https://evil.example/",
  };
  for (const path of [
    "/setup",
    "/auth/oidc/start?return_to=//evil.example",
    "/auth/oidc/callback?code=x&state=y",
    "/swagger",
    "/",
  ]) {
    for (const suffix of ["", path.includes("?") ? "&next=//evil.example" : "?next=//evil.example"]) {
      const response = await app.fetch(toRequest("GET", `${path}${suffix}`, { headers }));
      const told = JSON.stringify([[...response.headers], await response.text()]);
      expect([path, response.headers.get("location"), told.includes("evil.example")]).toEqual([
        path,
        null,
        false,
      ]);
    }
  }
});
