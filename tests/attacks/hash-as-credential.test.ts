import { expect, test } from "bun:test";
import { addKey, keyStatus, logIn, ownerEmail, startProduction } from "./kit.ts";

/** Every way in which somebody who has read the table could write a hash. */
function spellings(hash: Uint8Array): string[] {
  const bytes = Buffer.from(hash);
  const hex = bytes.toString("hex");
  return [
    hex,
    hex.toUpperCase(),
    `\\x${hex}`,
    `0x${hex}`,
    bytes.toString("base64"),
    bytes.toString("base64url"),
    [...bytes].join(","),
    `sha256:${hex}`,
  ];
}

test("401 is answered to a key's stored hash in the place of its secret", async () => {
  await using app = await startProduction();
  const { key, publicId } = await addKey(app, await logIn(app));
  const [row] = await app.database.sql<{ secret_hash: Uint8Array }[]>`select secret_hash from app_key`;
  const forged = spellings(row?.secret_hash ?? new Uint8Array());
  // One of them has exactly the form of a secret.
  expect(forged.filter((each) => /^[A-Za-z0-9_-]{43}$/.test(each))).toHaveLength(1);
  for (const text of forged.flatMap((hash) => [hash, `llmops-${publicId}-${hash}`])) {
    for (const headers of [{ authorization: `Bearer ${text}` }, { "x-api-key": text }]) {
      expect([text, await keyStatus(app, headers)]).toEqual([text, 401]);
    }
  }
  expect(await keyStatus(app, { "x-api-key": key })).toBe(200);
});

test("UNAUTHORIZED is answered to a refresh token's stored hash, and the session goes on", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const [row] = await app.database.sql<{ hash: Uint8Array }[]>`select hash from refresh_token`;
  for (const text of spellings(row?.hash ?? new Uint8Array()).flatMap((hash) => [hash, `llr_${hash}`])) {
    const byBody = await app.call("POST", "/auth/refresh", { body: { refresh_token: text } });
    const byCookie = await app.call("POST", "/auth/refresh", {
      headers: { cookie: `llmops_refresh=${text}`, origin: "http://127.0.0.1:5000" },
    });
    const asAccess = await app.call("GET", "/app", { headers: { authorization: `Bearer ${text}` } });
    expect([text, byBody.code, byCookie.code, asAccess.code]).toEqual([
      text,
      "UNAUTHORIZED",
      "UNAUTHORIZED",
      "UNAUTHORIZED",
    ]);
  }
  const { code } = await app.call("POST", "/auth/refresh", { body: { refresh_token: owner.refresh } });
  expect(code).toBe("SUCCESS");
});

test("UNAUTHORIZED is answered to the stored password hash as a password", async () => {
  await using app = await startProduction();
  const [row] = await app.database.sql<{ password_hash: string }[]>`select password_hash from account`;
  const hash = row?.password_hash ?? "";
  expect(hash).toStartWith("$argon2id$");
  for (const password of [hash, hash.split("$").at(-1) ?? "", Buffer.from(hash).toString("base64")]) {
    const { code } = await app.call("POST", "/auth/login", { body: { email: ownerEmail, password } });
    expect(code).toBe("UNAUTHORIZED");
  }
  expect((await logIn(app)).email).toBe(ownerEmail);
});

test("UNAUTHORIZED is answered to a key's or a refresh token's own text where the other belongs", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const { key, secret } = await addKey(app, owner);
  for (const text of [key, secret, `llr_${secret}`]) {
    const { code } = await app.call("POST", "/auth/refresh", { body: { refresh_token: text } });
    expect([text, code]).toEqual([text, "UNAUTHORIZED"]);
  }
  for (const text of [owner.refresh, key, secret]) {
    const { code } = await app.call("GET", "/app", { headers: { authorization: `Bearer ${text}` } });
    expect([text, code]).toEqual([text, "UNAUTHORIZED"]);
  }
  for (const text of [owner.access, owner.refresh]) {
    expect([text, await keyStatus(app, { authorization: `Bearer ${text}` })]).toEqual([text, 401]);
  }
});
