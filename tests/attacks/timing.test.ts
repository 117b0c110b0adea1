import { expect, spyOn, test } from "bun:test";
import { admitKnown } from "../../src/auth/admission.ts";
import { createPasswords, type Passwords } from "../../src/auth/password.ts";
import { createAccessTokens } from "../../src/auth/token.ts";
import { newId } from "../../src/id.ts";
import { findUsableAppKey } from "../../src/sql/app-key.ts";
import type { Db } from "../../src/sql/db.ts";
import { findRefreshToken } from "../../src/sql/session.ts";
import { createDatabase } from "../harness/database.ts";
import { addKey, addPerson, as, keyStatus, logIn, ownerEmail, startProduction } from "./kit.ts";

interface Plan {
  "Node Type": string;
  "Index Name"?: string;
  "Index Cond"?: string;
  "Relation Name"?: string;
  Plans?: Plan[];
}

const nodes = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodes)];

/** The plan of the one statement that `ask` runs. */
async function planOf(sql: Db, ask: (db: Db) => Promise<unknown>): Promise<Plan[]> {
  let plan: Plan | undefined;
  const explaining = async (strings: TemplateStringsArray, ...values: never[]) => {
    const texts = [`explain (format json) ${strings[0]}`, ...strings.slice(1)];
    const [row] = await sql(Object.assign(texts, { raw: texts }) as never, ...values);
    plan = row?.["QUERY PLAN"][0].Plan;
    return [];
  };
  await ask(explaining as unknown as Db);
  if (!plan) throw new Error("no statement was run");
  return nodes(plan);
}

test("a key and a refresh token are found by one look into a unique index, among as many others as there may be", async () => {
  await using database = await createDatabase();
  const { sql } = database;
  await sql`insert into app (id, account_id, name, created_at, updated_at)
    select gen_random_uuid(), gen_random_uuid(), 'x', now(), now() from generate_series(1, 2000)`;
  await sql`insert into app_key (id, app_id, public_id, secret_hash, created_at, updated_at)
    select gen_random_uuid(), id, substr(md5(random()::text), 1, 16), sha256(id::text::bytea), now(), now()
    from app, generate_series(1, 5)`;
  const [account] = await sql`insert into account (id, email, role, created_at, updated_at)
    values (gen_random_uuid(), 'a@example.com', 'viewer', now(), now()) returning id`;
  await sql`insert into session (id, account_id, address, user_agent, created_at, used_at, expires_at)
    select gen_random_uuid(), ${account?.id}, '', '', now(), now(), now() from generate_series(1, 5000)`;
  await sql`insert into refresh_token (hash, session_id, created_at) select sha256(id::text::bytea), id, now() from session`;
  await sql`analyze`;

  const byKey = await planOf(sql, (db) =>
    findUsableAppKey(db, { publicId: "0123456789abcdef", at: new Date() }),
  );
  expect(byKey.find((node) => node["Relation Name"] === "app_key")).toMatchObject({
    "Node Type": "Index Scan",
    "Index Name": "app_key_public_id_key",
    "Index Cond": "(public_id = '0123456789abcdef'::text)",
  });
  const byToken = await planOf(sql, (db) => findRefreshToken(db, new Uint8Array(32)));
  expect(byToken.find((node) => node["Relation Name"] === "refresh_token")).toMatchObject({
    "Node Type": "Index Scan",
    "Index Name": "refresh_token_pkey",
  });
  for (const plan of [byKey, byToken]) {
    expect(plan.filter((node) => node["Node Type"] === "Seq Scan")).toEqual([]);
  }
});

test("no statement takes a secret, so that no database tells by its time how much of one is right", async () => {
  await using app = await startProduction({ environment: { DATABASE_ECHO: "true" } });
  const { key } = await addKey(app, await logIn(app));
  expect(await keyStatus(app, { authorization: `Bearer ${key}` })).toBe(200);
  const conditions = [...app.logged().matchAll(/ where ([^"]*secret[^"]*)/g)].map(
    ([, condition]) => condition,
  );
  expect(conditions).toEqual([]);
});

test("a secret is hashed whole and compared by timingSafeEqual, which alone refuses to compare unequal lengths", async () => {
  const hashed: string[] = [];
  const admitWith = (length: number) => {
    const key = {
      principal: { keyId: "", appId: "", accountId: "", models: [], app: { config: {}, version: 1 } },
      secretHash: new Uint8Array(32),
      expiresAt: null,
      ranges: undefined,
    };
    const admit = admitKnown({
      tokens: createAccessTokens(new Uint8Array(32)),
      sessions: { get: async () => undefined },
      keys: { get: async () => key },
      hash: (secret) => {
        hashed.push(secret);
        return new Uint8Array(length).fill(1);
      },
      used: () => {},
      now: () => new Date(),
      origin: "http://localhost",
      csrf: true,
    });
    const headers = { "x-api-key": `llmops-0123456789abcdef-${"s".repeat(43)}` };
    const request = new Request("http://localhost/v1/models", { headers });
    return admit(request, { path: "/v1/models", locale: "en", ip: "127.0.0.1", requestId: newId() });
  };
  await expect(admitWith(32)).rejects.toThrow("key.bad");
  await expect(admitWith(31)).rejects.toThrow("same byte length");
  expect(hashed).toEqual(["s".repeat(43), "s".repeat(43)]);
});

/** Which checks of a hash ran while `attempt` did. */
async function checksOf(attempt: () => Promise<unknown>): Promise<string[]> {
  const verify = spyOn(Bun.password, "verify");
  await attempt();
  const costs = verify.mock.calls.map(([, hash]) => String(hash).split("$").slice(1, 4).join(" "));
  verify.mockRestore();
  return costs;
}

test("one password hash of the same cost is computed for each login, whether there is such an account or not", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  await app.call("POST", "/account", {
    headers: owner.bearer,
    body: { email: "elsewhere@example.com", role: "viewer" },
  });
  const disabled = await addPerson(app, owner, "viewer", "disabled");
  await as(app, owner)("POST", `/account/${disabled.id}`, { status: "disabled" });
  const attempt = async (email: string, password: string) =>
    (await app.call("POST", "/auth/login", { body: { email, password } })).code;
  for (const [email, password] of [
    [ownerEmail, "wrong password"],
    ["nobody@example.com", "wrong password"],
    ["elsewhere@example.com", "wrong password"],
    [disabled.email, disabled.password],
  ] as const) {
    let code = "";
    const checks = await checksOf(async () => {
      code = await attempt(email, password);
    });
    expect([email, code, checks]).toEqual([email, "UNAUTHORIZED", ["argon2id v=19 m=19456,t=2,p=1"]]);
  }
});

test("false is told of a password where there is no hash, after a hash was computed all the same", async () => {
  const passwords: Passwords = createPasswords();
  for (const hash of [null, undefined]) {
    let right: boolean | undefined;
    const checks = await checksOf(async () => {
      right = await passwords.verify("any", hash);
    });
    expect([right, checks.length]).toEqual([false, 1]);
  }
});
