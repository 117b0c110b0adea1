import { expect, test } from "bun:test";
import { addKey, keyStatus, logIn, startProduction } from "./kit.ts";

const injections = [
  "' or 1=1 --",
  "' or '1'='1",
  "'; drop table app_key; --",
  "' union select id, app_id, secret_hash, models, address_ranges, expires_at, id, null from app_key --",
  "'||pg_sleep(30)||'",
  "$1",
  `$${"{publicId}"}`,
  "\\'; select 1 --",
  "%",
  "________________",
  '"',
  "%27%20or%201=1",
  "／＇or＇1",
].map((text) => Buffer.from(text).toString("latin1"));

test("401 is answered to SQL in every part of a key, and no statement fails of it", async () => {
  await using app = await startProduction();
  const { key, publicId, secret } = await addKey(app, await logIn(app));
  for (const text of injections) {
    for (const forged of [
      text,
      `llmops-${text}-${secret}`,
      `llmops-${publicId}${text}-${secret}`,
      `llmops-${publicId}-${text}`,
      `llmops-${publicId}-${secret}${text}`,
      `llmops-${text.padEnd(16, "x").slice(0, 16)}-${secret}`,
      `${key}${text}`,
      `${key} ${text}`,
    ]) {
      for (const headers of [{ authorization: `Bearer ${forged}` }, { "x-api-key": forged }]) {
        expect([forged, await keyStatus(app, headers)]).toEqual([forged, 401]);
      }
    }
  }
  expect(app.logged()).not.toContain("request failed");
  expect(await keyStatus(app, { authorization: `Bearer ${key}` })).toBe(200);
});

test("SQL in a token, a cookie, an e-mail or a search finds nothing, and no statement fails of it", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  await addKey(app, owner);
  for (const text of injections) {
    const search = await app.call<{ items: unknown[] }>(
      "GET",
      `/app?search=${encodeURIComponent(`x${text}`)}`,
      {
        headers: owner.bearer,
      },
    );
    expect([text, search.code, search.data.items]).toEqual([text, "SUCCESS", []]);
    const headers = { cookie: `llmops_access=${text}` };
    expect((await app.call("GET", "/app", { headers })).code).toBe("UNAUTHORIZED");
    const refresh = await app.call("POST", "/auth/refresh", { body: { refresh_token: text } });
    expect(refresh.code).toBe("UNAUTHORIZED");
  }
  expect(app.logged()).not.toContain("request failed");
});
