import { expect, test } from "bun:test";
import { createHmac, createSign, generateKeyPairSync } from "node:crypto";
import { loadConfig } from "../../src/config/config.ts";
import { openKeyring } from "../../src/keyring/keyring.ts";
import { silentLog } from "../../src/log.ts";
import type { TestApp } from "../harness/app.ts";
import { addPerson, logIn, type Person, secretKey, startProduction } from "./kit.ts";

const encode = (value: unknown) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** A token over these parts; `key` signs with HMAC. A text is taken as it is. */
function forge(header: unknown, payload: unknown, key: Uint8Array | string, hash = "sha256"): string {
  const head = `${encode(header)}.${encode(payload)}`;
  return `${head}.${createHmac(hash, key).update(head).digest("base64url")}`;
}

const good = { alg: "HS256", typ: "at+jwt" };

/** The claims of a token. */
const claimsOf = ({ access }: Person): Record<string, unknown> =>
  JSON.parse(Buffer.from(access.split(".")[1] ?? "", "base64url").toString());

/** The key that the system signs with, as only whoever has its secret and its database can know it. */
async function signKeyOf(app: TestApp): Promise<Uint8Array> {
  const { secret, dataDir } = loadConfig({ environment: { LLMOPS_SECRET_KEY: secretKey } });
  const clock = { now: () => new Date() };
  const sql = app.database.sql;
  return (await openKeyring({ sql, secret: { ...secret, dataDir }, clock, log: silentLog })).signKey;
}

const codeWith = async (app: TestApp, token: string) =>
  (await app.call("GET", "/auth/me", { headers: { authorization: `Bearer ${token}` } })).code;

async function expectRefused(app: TestApp, tokens: Record<string, string>): Promise<void> {
  for (const [what, token] of Object.entries(tokens)) {
    expect([what, await codeWith(app, token)]).toEqual([what, "UNAUTHORIZED"]);
    const headers = { cookie: `llmops_access=${token}` };
    expect([what, (await app.call("GET", "/auth/me", { headers })).code]).toEqual([what, "UNAUTHORIZED"]);
  }
}

test("UNAUTHORIZED is answered to tokens that are not signed, or not by us", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const claims = claimsOf(owner);
  const [head = "", body = "", signature = ""] = owner.access.split(".");
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = rsa.publicKey.export({ type: "spki", format: "pem" }).toString();
  const signed = (alg: string, key: typeof rsa.privateKey, extra: object = {}) => {
    const input = `${encode({ alg, typ: "at+jwt", ...extra })}.${encode(claims)}`;
    const options = alg === "ES256" ? { key, dsaEncoding: "ieee-p1363" as const } : { key };
    return `${input}.${createSign("sha256").update(input).sign(options).toString("base64url")}`;
  };
  const jwk = rsa.publicKey.export({ format: "jwk" });
  const octet = { kty: "oct", k: Buffer.from("my own key, 32 bytes long or more").toString("base64url") };
  const own = Buffer.from("my own key, 32 bytes long or more");
  await expectRefused(app, {
    ...Object.fromEntries(
      ["none", "None", "NONE", "nOnE", "", "HS256 "].flatMap((alg) => [
        [`alg ${alg} without a signature`, `${encode({ ...good, alg })}.${body}.`],
        [`alg ${alg} with the old signature`, `${encode({ ...good, alg })}.${body}.${signature}`],
      ]),
    ),
    "no alg": `${encode({ typ: "at+jwt" })}.${body}.${signature}`,
    "alg null": `${encode({ ...good, alg: null })}.${body}.${signature}`,
    "alg a list": `${encode({ ...good, alg: ["HS256", "none"] })}.${body}.${signature}`,
    "signature stripped": `${head}.${body}.`,
    "signature and dot stripped": `${head}.${body}`,
    "signature cut": `${head}.${body}.${signature.slice(0, -2)}`,
    "signature of zeros": `${head}.${body}.${Buffer.alloc(32).toString("base64url")}`,
    "signature twice": `${owner.access}.${signature}`,
    "JWE of five parts": `${head}....${signature}`,
    "payload changed": `${head}.${encode({ ...claims, sub: crypto.randomUUID() })}.${signature}`,
    "header changed": `${encode({ typ: "at+jwt", alg: "HS256", x: 1 })}.${body}.${signature}`,
    "HS256 with another key": forge(good, claims, own),
    "HS256 with an empty key": forge(good, claims, ""),
    "HS256 with the installation's secret itself": forge(good, claims, secretKey),
    "HS256 with a public key": forge(good, claims, pem),
    "HS256 with a public key in DER": forge(
      good,
      claims,
      rsa.publicKey.export({ type: "spki", format: "der" }),
    ),
    RS256: signed("RS256", rsa.privateKey),
    ES256: signed("ES256", ec.privateKey),
    "RS256 with jwk": signed("RS256", rsa.privateKey, { jwk }),
    "HS256 with jwk": forge({ ...good, jwk: octet }, claims, own),
    "HS256 with kid of a file": forge({ ...good, kid: "../../../../dev/null" }, claims, ""),
    "HS256 with kid of SQL": forge({ ...good, kid: "' union select 'key' --" }, claims, "key"),
    "HS256 with jku": forge({ ...good, jku: "http://127.0.0.1:9/jwks.json", kid: "1" }, claims, own),
    "HS256 with x5u": forge({ ...good, x5u: "http://127.0.0.1:9/cert.pem" }, claims, own),
    "HS256 with x5c": forge({ ...good, x5c: [pem.replace(/-----.*-----|\n/g, "")] }, claims, pem),
    "b64 false": forge({ ...good, b64: false, crit: ["b64"] }, claims, own),
    "not base64": "%%%.%%%.%%%",
    "not JSON": `${encode("{")}.${encode("{")}.${signature}`,
    "padding and spaces": `${head}=.${body}=.${signature}=x`,
  });
  expect(await codeWith(app, owner.access)).toBe("SUCCESS");
}, 60_000);

test("UNAUTHORIZED is answered to tokens under our own key that say the wrong thing", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const viewer = await addPerson(app, owner, "viewer");
  const key = await signKeyOf(app);
  const claims = claimsOf(owner);
  const now = Math.floor(Date.now() / 1000);
  const with_ = (changes: object) => forge(good, { ...claims, ...changes }, key);
  const without = (name: string) =>
    forge(good, Object.fromEntries(Object.entries(claims).filter(([each]) => each !== name)), key);
  // The same claims under the same key are good: what is refused below is refused for what it says.
  expect(await codeWith(app, with_({}))).toBe("SUCCESS");
  await expectRefused(app, {
    ...Object.fromEntries(
      ["sub", "sid", "iat", "exp", "iss", "aud"].map((name) => [`no ${name}`, without(name)]),
    ),
    "another issuer": with_({ iss: "https://evil.example" }),
    "issuers in a list": with_({ iss: ["llmops", "evil"] }),
    "another audience": with_({ aud: "other" }),
    "another type": forge({ ...good, typ: "JWT" }, claims, key),
    "a refresh type": forge({ ...good, typ: "refresh+jwt" }, claims, key),
    "no type": forge({ alg: "HS256" }, claims, key),
    HS384: forge({ ...good, alg: "HS384" }, claims, key, "sha384"),
    HS512: forge({ ...good, alg: "HS512" }, claims, key, "sha512"),
    expired: with_({ iat: now - 1000, exp: now - 100 }),
    "expires as text": with_({ exp: String(now + 600) }),
    "expires never": with_({ exp: 1e18 }),
    "lives for a year": with_({ exp: now + 31_536_000 }),
    "from the far future": with_({ iat: now + 3600, exp: now + 4500 }),
    "not yet": with_({ nbf: now + 600 }),
    "negative times": with_({ iat: -1, exp: -1 }),
    "sub an object": with_({ sub: { $ne: null } }),
    "sub a list": with_({ sub: [claims.sub] }),
    "sub another account": with_({ sub: viewer.id }),
    "sub no UUID": with_({ sub: "' or 1=1 --" }),
    "sid an object": with_({ sid: { $gt: "" } }),
    "sid of another": with_({ sid: claimsOf(viewer).sid }),
    "sid of nothing": with_({ sid: crypto.randomUUID() }),
    "payload a list": forge(good, [claims], key),
    "payload a text": forge(good, JSON.stringify("x"), key),
    "payload nested deeply": forge(good, `{"a":${"[".repeat(900)}${"]".repeat(900)}}`, key),
    "sub twice": forge(
      good,
      JSON.stringify({ ...claimsOf(viewer) })
        .replace("{", `{"sid":"${claims.sid}",`)
        .replace(/"sub":"[^"]+"/, `"sub":"${owner.id}"`),
      key,
    ),
    critical: forge({ ...good, crit: ["exp"] }, claims, key),
    "b64 false under our key": forge({ ...good, b64: false, crit: ["b64"] }, claims, key),
  });
});

test("UNAUTHORIZED is answered to a token of 3 kB, 8 kB and 15 kB, at once", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const key = await signKeyOf(app);
  const huge = (bytes: number) => forge(good, { ...claimsOf(owner), sub: "x".repeat(bytes) }, key);
  await expectRefused(app, { "3 kB": huge(2000), "8 kB": huge(6000), "15 kB": huge(11_000) });
});
