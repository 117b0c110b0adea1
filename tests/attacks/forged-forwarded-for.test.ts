import { expect, test } from "bun:test";
import { addressRanges, clientAddress } from "../../src/address.ts";
import {
  addKey,
  as,
  keyStatus,
  logIn,
  ownerEmail,
  ownerPassword,
  startAgain,
  startProduction,
} from "./kit.ts";

const trusted = addressRanges(["10.0.0.0/8", "127.0.0.1", "fd00::/8"]);
const victim = "203.0.113.7";

test("the address is the last one in the header that no trusted proxy has, read from the right", () => {
  for (const [peer, header, expected] of [
    // Nobody to be trusted: the header is the caller's own.
    ["198.51.100.1", victim, "198.51.100.1"],
    ["198.51.100.1", `${victim}, 10.0.0.1`, "198.51.100.1"],
    ["::ffff:198.51.100.1", victim, "198.51.100.1"],
    ["2001:db8::1", victim, "2001:db8::1"],
    ["", victim, ""],
    // A proxy adds the address that it sees at the right; what stands further left was sent to it.
    ["10.0.0.1", "198.51.100.1", "198.51.100.1"],
    ["10.0.0.1", `${victim}, 198.51.100.1`, "198.51.100.1"],
    ["10.0.0.1", `${victim}, 198.51.100.1, 10.0.0.2`, "198.51.100.1"],
    ["10.0.0.1", `127.0.0.1, ${victim}, 10.9.9.9, 198.51.100.1, 10.0.0.2, 10.0.0.3`, "198.51.100.1"],
    ["::ffff:10.0.0.1", `${victim}, 198.51.100.1`, "198.51.100.1"],
    ["::ffff:a00:1", `${victim}, 198.51.100.1`, "198.51.100.1"],
    ["10.0.0.1", `${victim}, ::ffff:198.51.100.1`, "198.51.100.1"],
    ["fd00::1", `${victim}, 2001:db8::1`, "2001:db8::1"],
    // What is no address ends the search.
    ["10.0.0.1", `${victim}, unknown`, "10.0.0.1"],
    ["10.0.0.1", `${victim}, `, "10.0.0.1"],
    ["10.0.0.1", `${victim},10.0.0.2,evil`, "10.0.0.1"],
    ["10.0.0.1", `${victim}, 198.51.100.1:4711`, "10.0.0.1"],
    ["10.0.0.1", `${victim}, [2001:db8::1]:80`, "10.0.0.1"],
    ["10.0.0.1", `${victim}, 0x7f000001`, "10.0.0.1"],
    ["10.0.0.1", `${victim}, 010.0.0.1`, "10.0.0.1"],
    ["10.0.0.1", `${victim}, 1`, "10.0.0.1"],
    ["10.0.0.1", "", "10.0.0.1"],
    ["10.0.0.1", null, "10.0.0.1"],
    ["10.0.0.1", `${`${victim}, `.repeat(10_000)}198.51.100.1`, "198.51.100.1"],
  ] as const) {
    expect([peer, header?.slice(-60), clientAddress(peer, header, trusted)]).toEqual([
      peer,
      header?.slice(-60),
      expected,
    ]);
  }
});

test("401 is answered to a key of one network from another, whatever the caller says of themselves", async () => {
  await using open = await startProduction();
  const { key } = await addKey(open, await logIn(open), { address_ranges: [victim, "2001:db8::/32"] });
  const authorization = `Bearer ${key}`;
  for (const headers of [
    {},
    { "x-forwarded-for": victim },
    { "x-forwarded-for": `${victim}, ${victim}` },
    { "x-real-ip": victim },
    { forwarded: `for=${victim}` },
    { "x-client-ip": victim, "true-client-ip": victim, "cf-connecting-ip": victim },
    { "x-forwarded-for": "2001:db8::1" },
  ]) {
    expect([headers, await keyStatus(open, { authorization, ...headers })]).toEqual([headers, 401]);
  }

  await using proxied = await startProduction({
    environment: { LLMOPS_TRUSTED_PROXIES: "127.0.0.1,10.0.0.0/8" },
  });
  const inside = await addKey(proxied, await logIn(proxied), { address_ranges: [victim, "2001:db8::/32"] });
  for (const [header, status] of [
    [victim, 200],
    [`198.51.100.1, ${victim}`, 200],
    [`::ffff:${victim}`, 200],
    ["::ffff:cb00:7107", 200],
    ["2001:db8::1", 200],
    [`198.51.100.1, ${victim}, 10.0.0.2`, 200],
    [`${victim}, 198.51.100.1`, 401],
    [`${victim}, 198.51.100.1, 10.0.0.2`, 401],
    [`${victim}, unknown`, 401],
    ["2001:db9::1", 401],
    [`${victim}%eth0`, 401],
    ["2001:db9::1%eth0", 401],
    ["127.0.0.1", 401],
  ] as const) {
    const headers = { authorization: `Bearer ${inside.key}`, "x-forwarded-for": header };
    expect([header, await keyStatus(proxied, headers)]).toEqual([header, status]);
  }
});

test("401 is answered to a key of this machine whose caller has left before they were looked at", async () => {
  await using first = await startProduction();
  const { key } = await addKey(first, await logIn(first), { address_ranges: ["127.0.0.1", victim] });
  const environment = { LLMOPS_TRUSTED_PROXIES: "127.0.0.1" };
  await using again = await startAgain(first.database.url, { environment });
  const { app } = again;
  const request = () =>
    new Request("http://localhost:5000/v1/models", {
      headers: { authorization: `Bearer ${key}`, "x-forwarded-for": victim },
    });
  const gone = { requestIP: () => null, timeout: () => {} };
  const here = { requestIP: () => ({ address: "127.0.0.1" }), timeout: () => {} };
  expect((await app.fetch(request(), gone)).status).toBe(401);
  expect((await app.fetch(request(), here)).status).toBe(200);
});

/** Codes of wrong logins, one after another, each with the next of these addresses. */
const attempts = async (environment: Record<string, string>, header: (i: number) => string) => {
  await using app = await startProduction({ environment });
  const codes: string[] = [];
  for (let i = 0; i < 7; i++) {
    const body = { email: `nobody${i}@example.com`, password: "wrong" };
    const headers = { "x-forwarded-for": header(i) };
    codes.push((await app.call("POST", "/auth/login", { body, headers })).code);
  }
  return codes;
};
const slowed = [...Array(5).fill("UNAUTHORIZED"), "RATE_LIMITED", "RATE_LIMITED"];

const behindProxy = { LLMOPS_TRUSTED_PROXIES: "127.0.0.1" };
for (const [what, environment, header] of [
  ["a header where there is no proxy", {}, (i: number) => `203.0.${i}.1`],
  ["what stands left of the proxy's word", behindProxy, (i: number) => `203.0.${i}.1, 198.51.100.1`],
  ["another address of the same network", behindProxy, (i: number) => `203.0.113.${i}`],
  ["another address of the same household", behindProxy, (i: number) => `2001:db8:0:1${i}::1`],
] as const) {
  test(`RATE_LIMITED is answered to whoever tries many accounts, each under ${what}`, async () => {
    expect(await attempts(environment, header)).toEqual(slowed);
  });
}

test("UNAUTHORIZED alone is answered to callers from as many networks behind the proxy", async () => {
  expect(await attempts(behindProxy, (i) => `203.0.${i}.1`)).toEqual(Array(7).fill("UNAUTHORIZED"));
});

test("the audit log names the address that the proxy saw", async () => {
  await using app = await startProduction({ environment: { LLMOPS_TRUSTED_PROXIES: "127.0.0.1" } });
  const forwarded = { "x-forwarded-for": `${victim}, 198.51.100.1` };
  const owner = await logIn(app, { email: ownerEmail, password: ownerPassword }, forwarded);
  await app.call("POST", "/app", { headers: { ...owner.bearer, ...forwarded } });
  const { data } = await as(app, owner)("GET", "/audit");
  const seen = (data.items as { action: string; ip: string | null }[]).map(({ action, ip }) => [action, ip]);
  expect(seen).toEqual([
    ["app.create", "198.51.100.1"],
    ["session.create", "198.51.100.1"],
    ["account.create", null],
  ]);
  expect(app.logged()).not.toContain(victim);
});
