import { expect, test } from "bun:test";
import { startTestApp, type TestApp, toRequest } from "../harness/app.ts";
import { firstOwner, logIn, password } from "../harness/people.ts";

const tokenOf = ({ setupUrl = "" }: TestApp) => setupUrl.split("#")[1] ?? "";
const setUp = (app: TestApp, token: string, email = firstOwner.email) =>
  app.call("POST", "/auth/setup", { body: { token, email, password } });
const refused = { code: "UNAUTHORIZED", message: "初始化链接无效或已过期:请重新启动服务以获得新的链接" };
const accounts = async ({ database: { sql } }: TestApp) =>
  (await sql<{ email: string; role: string }[]>`select email, role from account order by id`).map((row) => ({
    ...row,
  }));

test("makes the first owner by the link's token, once, and they can log in", async () => {
  await using app = await startTestApp({ dev: false });
  expect(app.setupUrl).toMatch(/^http:\/\/127\.0\.0\.1:5000\/setup#[\w-]{43}$/);
  expect((await setUp(app, tokenOf(app), "First@Example.com")).data).toMatchObject({
    email: "first@example.com",
    role: "owner",
    status: "",
  });
  expect(await setUp(app, tokenOf(app), "second@example.com")).toMatchObject(refused);
  expect(await accounts(app)).toEqual([{ email: "first@example.com", role: "owner" }]);
  expect((await logIn(app, "first@example.com")).role).toBe("owner");
});

test("puts the token of a second visitor out of use with the first one's, whichever start printed it", async () => {
  await using app = await startTestApp({ dev: false });
  await using second = await startTestApp({ dev: false, database: app.database });
  expect(tokenOf(second)).not.toBe(tokenOf(app));
  expect((await setUp(app, tokenOf(second))).code).toBe("SUCCESS");
  expect(await setUp(second, tokenOf(app), "second@example.com")).toMatchObject(refused);
  expect(await accounts(app)).toHaveLength(1);
});

test("makes one owner where two visitors come at the same moment with good tokens", async () => {
  await using app = await startTestApp({ dev: false });
  await using second = await startTestApp({ dev: false, database: app.database });
  const answers = await Promise.all([
    setUp(app, tokenOf(app), "a@example.com"),
    setUp(second, tokenOf(app), "b@example.com"),
    setUp(second, tokenOf(second), "c@example.com"),
    setUp(app, tokenOf(second), "d@example.com"),
  ]);
  const codes = answers.map(({ code }) => code).sort();
  expect(codes).toEqual(["SUCCESS", "UNAUTHORIZED", "UNAUTHORIZED", "UNAUTHORIZED"]);
  expect(await accounts(app)).toHaveLength(1);
});

test("refuses a token after half an hour, and takes it one moment before", async () => {
  let now = Date.now();
  await using app = await startTestApp({ dev: false, clock: { now: () => new Date(now) } });
  now += 30 * 60_000;
  expect(await setUp(app, tokenOf(app))).toMatchObject(refused);
  now -= 1;
  expect((await setUp(app, tokenOf(app))).code).toBe("SUCCESS");
});

test("refuses a token once there is an account, however it was made, and prints no link then", async () => {
  await using app = await startTestApp({ dev: false });
  const environment = { LLMOPS_ADMIN_EMAIL: firstOwner.email, LLMOPS_ADMIN_PASSWORD: firstOwner.password };
  await using second = await startTestApp({ dev: false, database: app.database, environment });
  expect(second.setupUrl).toBeUndefined();
  expect(await setUp(app, tokenOf(app), "late@example.com")).toMatchObject(refused);
  expect(await accounts(app)).toEqual([{ email: firstOwner.email, role: "owner" }]);
});

test("refuses what is no token, and keeps the good one out of the database and the log", async () => {
  await using app = await startTestApp({ dev: false });
  const token = tokenOf(app);
  const [row] = await app.database.sql<{ hash: Uint8Array }[]>`select hash from setup_token`;
  const hash = Buffer.from(row?.hash ?? "");
  for (const bad of [
    token.slice(1),
    `${token}x`,
    token.toLowerCase(),
    hash.toString("base64url"),
    hash.toString("hex"),
    "%",
  ]) {
    expect(await setUp(app, bad)).toMatchObject(refused);
  }
  const kept = JSON.stringify(await app.database.sql`select setup_token::text from setup_token`);
  expect(kept + app.logged()).not.toContain(token);
  expect((await setUp(app, token)).code).toBe("SUCCESS");
});

test("serves a page that may load nothing from elsewhere and stands in nobody's frame", async () => {
  await using app = await startTestApp({ dev: false });
  for (const path of ["/setup", "/setup/setup.js", "/setup/setup.css"]) {
    const { status, headers } = await app.fetch(toRequest("GET", path));
    const policy = headers.get("content-security-policy") ?? "";
    expect([path, status]).toEqual([path, 200]);
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
  }
});
