import { expect, test } from "bun:test";
import { isId } from "../../src/id.ts";
import { toRequest } from "../harness/app.ts";
import { logIn, startProduction } from "./kit.ts";

const forged = "11111111-1111-7111-8111-111111111111";
const headers = {
  "x-request-id": forged,
  "x-correlation-id": forged,
  traceparent: `00-${forged.replaceAll("-", "")}-0123456789abcdef-01`,
  "x-llmops-app": forged,
  "x-llmops-code": "SUCCESS",
  "x-llmops-account": forged,
  "x-llmops-key": forged,
  "x-account-id": forged,
  "x-user": "owner@example.com",
  "x-role": "owner",
  "x-app-id": forged,
};

test("an id that the caller brings is neither answered nor logged nor written down", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const ids = new Set<string | null>();
  for (const [method, path] of [
    ["POST", "/app"],
    ["GET", "/app"],
    ["GET", "/ping"],
    ["GET", "/v1/models"],
    ["GET", "/nowhere"],
  ] as const) {
    const response = await app.fetch(toRequest(method, path, { headers: { ...headers, ...owner.bearer } }));
    ids.add(response.headers.get("x-request-id"));
    expect(JSON.stringify([[...response.headers], await response.text()])).not.toContain(forged);
  }
  expect(ids.size).toBe(5);
  for (const id of ids) expect([id, isId(id ?? "")]).toEqual([id, true]);
  expect(app.logged()).not.toContain(forged);
  const [entry] = await app.database
    .sql`select audit::text as text, request_id from audit where action = 'app.create'`;
  expect(ids.has(entry?.request_id)).toBe(true);
  expect(entry?.text).not.toContain(forged);
});

test("UNAUTHORIZED is answered to headers that only say who somebody is", async () => {
  await using app = await startProduction();
  const { id } = await logIn(app);
  const claims = {
    ...headers,
    "x-account-id": id,
    "x-llmops-account": id,
    "x-forwarded-user": "owner@example.com",
  };
  expect((await app.call("GET", "/app", { headers: claims })).code).toBe("UNAUTHORIZED");
});
