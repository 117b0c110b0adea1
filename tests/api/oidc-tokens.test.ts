import { describe, expect, test } from "bun:test";
import { createHmac, createPublicKey } from "node:crypto";
import { SignJWT } from "jose";
import {
  byHand,
  honestly,
  type RogueKeys,
  type RoguePlan,
  startWithRogue as start,
} from "../harness/oidc-rogue.ts";

const hmac = (claims: object, key: string | Buffer) => {
  const signed = byHand({ alg: "HS256", kid: "k1" }, claims).replace(/\.$/, "");
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
};
const pem = ({ publicJwk }: RogueKeys) =>
  createPublicKey({ key: publicJwk as never, format: "jwk" }).export({
    type: "spki",
    format: "pem",
  }) as string;
const announcing =
  (...algorithms: string[]) =>
  (document: Record<string, unknown>) => ({ ...document, id_token_signing_alg_values_supported: algorithms });
const ago = (seconds: number) => Math.floor(Date.now() / 1000) - seconds;

describe("no account is made and nobody is logged in", () => {
  const attacks: Record<string, RoguePlan & { because: string }> = {
    "by an ID token with another nonce": {
      because: 'unexpected ID Token "nonce" claim value',
      claims: (claims) => ({ ...claims, nonce: "another" }),
    },
    "by an ID token without a nonce": {
      because: 'JWT "nonce" (nonce) claim missing',
      claims: ({ nonce: _, ...claims }) => claims,
    },
    "by an ID token of another issuer": {
      because: 'unexpected JWT "iss" (issuer) claim value',
      claims: (claims) => ({ ...claims, iss: "https://evil.example" }),
    },
    "by an ID token for another client": {
      because: 'unexpected JWT "aud" (audience) claim value',
      claims: (claims) => ({ ...claims, aud: "another" }),
    },
    "by an ID token for several, made out to another": {
      because: 'unexpected ID Token "azp" (authorized party) claim value',
      claims: (claims) => ({ ...claims, aud: ["llmops", "another"], azp: "another" }),
    },
    "by an ID token for several, made out to nobody": {
      because: 'ID Token "aud" (audience) claim includes additional untruste',
      claims: (claims) => ({ ...claims, aud: ["llmops", "another"] }),
    },
    "by an ID token that has expired": {
      because: 'unexpected JWT "exp" (expiration time) claim value, expirati',
      claims: (claims) => ({ ...claims, exp: ago(60) }),
    },
    "by an ID token that is not yet good": {
      because: 'unexpected JWT "nbf" (not before) claim value',
      claims: (claims) => ({ ...claims, nbf: ago(-120) }),
    },
    "by an ID token without an end": {
      because: 'JWT "exp" (expiration time) claim missing',
      claims: ({ exp: _, ...claims }) => claims,
    },
    "by an ID token without a subject": {
      because: 'JWT "sub" (subject) claim missing',
      claims: ({ sub: _, ...claims }) => claims,
    },
    "by an ID token whose subject is no text": {
      because: 'unexpected JWT "sub" (subject) claim type',
      claims: (claims) => ({ ...claims, sub: 1 as never }),
    },
    "by an ID token whose subject is too long": {
      because: "the subject",
      claims: (claims) => ({ ...claims, sub: "s".repeat(256) }),
    },
    "by an ID token that is not signed": {
      because: 'unexpected JWT "alg" header parameter',
      sign: (claims) => byHand({ alg: "none" }, claims),
    },
    "by one that is not signed, from a provider that announces it": {
      because: 'unsupported JWS "alg" identifier',
      discovery: announcing("none", "RS256"),
      sign: (claims) => byHand({ alg: "none" }, claims),
    },
    "by one signed with the client's secret": {
      because: 'unexpected JWT "alg" header parameter',
      sign: (claims, { clientSecret }) => hmac(claims, clientSecret),
    },
    "by one signed with the client's secret, announced": {
      because: "unsupported JWS algorithm",
      discovery: announcing("HS256"),
      sign: (claims, { clientSecret }) => hmac(claims, clientSecret),
    },
    "by one signed with the public key as a secret": {
      because: 'unexpected JWT "alg" header parameter',
      sign: (claims, keys) => hmac(claims, pem(keys)),
    },
    "by one signed with the public key as a secret, announced": {
      because: "unsupported JWS algorithm",
      discovery: announcing("HS256", "RS256"),
      sign: (claims, keys) => hmac(claims, pem(keys)),
    },
    "by one signed with a key that is not in the key set, under the name of one that is": {
      because: "JWT signature verification failed",
      sign: (claims, keys) => honestly(claims, { ...keys, privateKey: keys.foreignKey }),
    },
    "by one signed with a key that the key set does not name": {
      because: "error when selecting a JWT verification key, no applicable k",
      sign: (claims, keys) => honestly(claims, { ...keys, kid: "k2", privateKey: keys.foreignKey }),
    },
    "by one that brings its own key": {
      because: "JWT signature verification failed",
      sign: (claims, { foreignKey, publicJwk }) =>
        new SignJWT(claims)
          .setProtectedHeader({ alg: "RS256", jwk: publicJwk, jku: "http://127.0.0.1:1/keys" } as never)
          .sign(foreignKey),
    },
    "by one whose claims were changed after it was signed": {
      because: "JWT signature verification failed",
      sign: async (claims, keys) => {
        const [header = "", , signature = ""] = (await honestly(claims, keys)).split(".");
        const [, changed = ""] = byHand({}, { ...claims, email: "root@example.com" }).split(".");
        return [header, changed, signature].join(".");
      },
    },
    "by one with a critical extension": {
      because: 'no JWT "crit" header parameter extensions are supported',
      sign: (claims, { privateKey }) =>
        new SignJWT(claims)
          .setProtectedHeader({ alg: "RS256", kid: "k1", crit: ["exp"], exp: 1 } as never)
          .sign(privateKey, { crit: { exp: true } }),
    },
    "without an ID token": {
      because: '"response" body "id_token" property must be a string',
      token: ({ id_token: _, ...body }) => body,
    },
    "by a UserInfo answer about somebody else": {
      because: 'unexpected "response" body "sub" property value',
      claims: ({ email: _, ...claims }) => claims,
      userInfo: (claims) => ({ ...claims, sub: "bob" }),
    },
    "by an answer of another issuer (mix-up)": {
      because: 'unexpected "iss" (issuer) response parameter value',
      answer: (query) => query.set("iss", "https://evil.example"),
    },
    "by an answer that does not name its issuer where it must": {
      because: 'response parameter "iss" (issuer) missing',
      discovery: (document) => ({ ...document, authorization_response_iss_parameter_supported: true }),
    },
    "by an answer with two codes": {
      because: '"code" parameter must be provided only once',
      answer: (query) => query.append("code", "another"),
    },
    "by an answer that brings its own ID token": {
      because: "implicit and hybrid flows are not supported",
      answer: (query) => query.set("id_token", "x.y.z"),
    },
  };
  for (const [title, { because, ...plan }] of Object.entries(attacks)) {
    test(title, async () => {
      await using it = await start({ plan });
      const { app } = it;
      const page = await app.logIn(app.browser());
      expect(page).toMatchObject({ account: undefined, status: 400 });
      expect(page.text).toContain("could not be verified");
      expect(String(app.errors.at(-1)?.cause)).toContain(because);
      expect(await app.listAccounts()).toEqual([]);
    });
  }

  test("by a verified mark that belongs to another address", async () => {
    await using it = await start();
    it.rogue.plan = {
      claims: ({ email_verified: _, ...claims }) => ({ ...claims, email: "owner@example.com" }),
      userInfo: (claims) => ({ ...claims, email: "mallory@example.com" }),
    };
    await it.app.logIn(it.app.browser());
    expect((await it.app.listAccounts()).map(({ email }) => email)).toEqual(["mallory@example.com"]);
  });
});
