import { expect, test } from "bun:test";
import { addKey, as, logIn, startProduction } from "./kit.ts";

/** What only the inside knows: names of tables, drivers, files, statements, errors. */
const internal =
  /relation|column|does not exist|postgres|select |insert |\bat .*\d+:\d+|\.ts\b|node_modules|\/src\/|error:|cause|stack|\b42[0-9A-Z]{3}\b|secret_hash|password_hash/i;

test("an envelope with FAIL and the request's id alone is answered to what nobody foresaw", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const made = await as(app, owner)("POST", "/app");
  await app.database.sql`alter table app rename to app_away`;
  await app.database.sql`alter table audit rename to audit_away`;
  for (const [method, path, body] of [
    ["GET", "/app", undefined],
    ["POST", "/app", { name: "x" }],
    ["GET", `/app/${made.data.id}`, undefined],
    ["POST", `/app/${made.data.id}`, { name: "x" }],
    ["POST", `/app/${made.data.id}/key`, {}],
    ["GET", "/audit", undefined],
  ] as const) {
    for (const language of ["zh", "en"]) {
      const headers = { ...owner.bearer, "accept-language": language };
      const answer = await app.call(method, path, { headers, ...(body && { body }) });
      const id = answer.headers.get("x-request-id") ?? "";
      expect([path, answer.status, answer.code, answer.data]).toEqual([
        path,
        200,
        "FAIL",
        { request_id: id },
      ]);
      expect(answer.message).toContain(id);
      expect(JSON.stringify([answer.message, [...answer.headers]])).not.toMatch(internal);
      // The person who runs the service finds all of it under that id.
      const line = app
        .logged()
        .split("\n")
        .find((each) => each.includes(id) && each.includes('"error"'));
      expect([path, line?.includes("does not exist")]).toEqual([path, true]);
    }
  }
});

test("500 in OpenAI's shape with the request's id alone is answered on /v1", async () => {
  await using app = await startProduction();
  const { key } = await addKey(app, await logIn(app));
  await app.database.sql`alter table app_key rename to app_key_away`;
  const headers = { authorization: `Bearer ${key}` };
  const response = await app.fetch(new Request("http://localhost:5000/v1/models", { headers }));
  const id = response.headers.get("x-request-id") ?? "";
  expect([response.status, response.headers.get("cache-control")]).toEqual([500, "no-store"]);
  const { error } = (await response.json()) as { error: { message: string } };
  expect(error).toMatchObject({ type: "server_error", param: null, code: null });
  expect(error.message).toContain(id);
  expect(JSON.stringify([error, [...response.headers]])).not.toMatch(internal);
});

test("a page that says no more than the request's id is answered to a browser's login", async () => {
  await using app = await startProduction();
  await app.database.sql`alter table oidc rename to oidc_away`;
  for (const path of ["/auth/oidc/start", "/auth/oidc/callback?code=x&state=y"]) {
    const response = await app.fetch(new Request(`http://localhost:5000${path}`));
    const text = await response.text();
    expect([path, response.headers.get("content-type"), response.status >= 400]).toEqual([
      path,
      "text/html; charset=utf-8",
      true,
    ]);
    expect(text).not.toMatch(internal);
    expect(JSON.stringify([...response.headers])).not.toMatch(/relation|oidc_away|\.ts/);
  }
});

test("an answer outside the envelope says no more either: what is not there, and what is no request", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  for (const [method, path, body] of [
    ["GET", "/nowhere", undefined],
    ["GET", "/swagger/nowhere", undefined],
    ["GET", "/app/%E0%A4%A", undefined],
    ["GET", "/app?limit=%E0%A4%A", undefined],
    ["POST", "/app", "{"],
    ["POST", "/app", '{"name":{"toString":1}}'],
    ["PUT", "/app", "{}"],
  ] as const) {
    const headers = { ...owner.bearer, "content-type": "application/json" };
    const init = { method, headers, ...(body !== undefined && { body }) };
    const response = await app.fetch(new Request(`http://localhost:5000${path}`, init));
    expect([path, response.headers.get("x-powered-by"), response.headers.get("server")]).toEqual([
      path,
      null,
      null,
    ]);
    expect([path, internal.test(await response.text())]).toEqual([path, false]);
  }
  expect(app.logged()).not.toContain("request failed");
});
