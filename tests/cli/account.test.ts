import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { createDatabase } from "../harness/database.ts";
import { createProgram, type Finished, type Program } from "../harness/program.ts";
import { one, two } from "../keyring/fixture.ts";

setDefaultTimeout(60_000);

const root = join(import.meta.dir, "../..");
const command = [process.execPath, `--config=${join(root, "bunfig.toml")}`, join(root, "src/main.ts")];
const passphrase = "correct horse battery staple";

/** Runs a command with `input` on its standard input. */
async function runWith(
  { folder }: Program,
  input: string,
  args: string[],
  environment: Record<string, string> = {},
): Promise<Finished> {
  const child = Bun.spawn([...command, ...args], {
    cwd: folder,
    env: { PATH: "/usr/bin:/bin", HOME: folder, ...environment },
    stdin: new Blob([input]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [code, stdout, stderr] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  return { code, stdout, stderr };
}

interface Answer {
  code: string;
  data: Record<string, string>;
}

const ask = async (url: string, init: RequestInit): Promise<Answer> =>
  (await (await fetch(url, init)).json()) as Answer;
const post = (url: string, body: object) =>
  ask(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
const login = (url: string, password: string) =>
  post(`${url}/auth/login`, { email: "owner@example.com", password });
const me = (url: string, token = "") =>
  ask(`${url}/auth/me`, { headers: { authorization: `Bearer ${token}` } });

/** Asks again until the answer has this code; the test's own time limit bounds it. */
async function untilCode(code: string, call: () => Promise<Answer>): Promise<void> {
  while ((await call()).code !== code) await Bun.sleep(20);
}

describe("account create", () => {
  test("makes accounts of every role, an owner without one, writes them down, and list shows them", async () => {
    await using database = await createDatabase();
    using program = createProgram();
    const env = { DATABASE_URL: database.url, LLMOPS_SECRET_KEY: one };
    expect(
      await runWith(program, `${passphrase}\n`, ["account", "create", "--email", "Owner@Example.com"], env),
    ).toEqual({ code: 0, stdout: "created  owner  owner@example.com\n", stderr: "" });
    for (const role of ["admin", "editor", "viewer"]) {
      const args = ["account", "create", "--email", `${role}@example.com`, "--role", role];
      // As an editor on Windows leaves a line, and without an end at all.
      const input = role === "admin" ? `${passphrase}\r\nmore\r\n` : passphrase;
      const made = await runWith(program, input, args, env);
      expect(made).toEqual({ code: 0, stdout: `created  ${role}  ${role}@example.com\n`, stderr: "" });
    }
    expect(await program.run(["account", "list"], env)).toEqual({
      code: 0,
      stdout:
        "viewer  viewer@example.com\neditor  editor@example.com\nadmin   admin@example.com\nowner   owner@example.com\n",
      stderr: "",
    });
    const hashes = await database.sql<{ password_hash: string }[]>`select password_hash from account`;
    for (const { password_hash } of hashes) {
      expect(password_hash).toStartWith("$argon2id$");
      expect(await Bun.password.verify(passphrase, password_hash)).toBe(true);
    }
    const entries = await database.sql`select actor_kind, actor_name, action from audit`;
    expect(entries).toHaveLength(4);
    for (const entry of entries) {
      expect(entry).toEqual({
        actor_kind: "cli",
        actor_name: expect.stringMatching(/./),
        action: "account.create",
      });
    }
  });

  test("refuses in one line a password that may not be set and an e-mail that is taken, and makes nothing", async () => {
    await using database = await createDatabase();
    using program = createProgram();
    const env = { DATABASE_URL: database.url, LLMOPS_SECRET_KEY: one };
    const create = (input: string, email = "owner@example.com") =>
      runWith(program, input, ["account", "create", "--email", email], env);
    const length = "llmops: a password has 8 to 256 characters, on the first line of standard input\n";
    for (const [input, says] of [
      ["", length],
      ["\n", length],
      [`\n${passphrase}\n`, length],
      ["1234567\n", length],
      [`${"🙂".repeat(257)}\n`, length],
      ["Owner@Example.com\n", "llmops: the password must not be the e-mail address\n"],
    ] as const) {
      expect(await create(input)).toEqual({ code: 1, stdout: "", stderr: says });
    }
    expect(await database.sql`select 1 from account`).toHaveLength(0);
    expect(await create("🙂".repeat(8))).toMatchObject({ code: 0 });
    expect(await create(`${passphrase}\n`, "OWNER@example.com")).toEqual({
      code: 1,
      stdout: "",
      stderr: "llmops: There is an account with this e-mail already\n",
    });
    expect(await database.sql`select 1 from account`).toHaveLength(1);
  });

  test("refuses a foreign secret, and a database whose migrations are pending, and makes nothing", async () => {
    await using database = await createDatabase();
    await using empty = await createDatabase({ empty: true });
    using program = createProgram();
    const args = ["account", "create", "--email", "owner@example.com"];
    const env = { DATABASE_URL: database.url, LLMOPS_SECRET_KEY: one };
    expect(await program.run(["account", "list"], env)).toMatchObject({ code: 0, stdout: "" });
    const foreign = await runWith(program, `${passphrase}\n`, args, { ...env, LLMOPS_SECRET_KEY: two });
    expect(foreign).toMatchObject({ code: 1, stdout: "" });
    expect(foreign.stderr).toMatch(
      /^llmops: LLMOPS_SECRET_KEY is not the secret of this installation[^\n]*\n$/,
    );
    const pending = await runWith(program, `${passphrase}\n`, args, { ...env, DATABASE_URL: empty.url });
    expect(pending).toMatchObject({ code: 1, stdout: "" });
    expect(pending.stderr).toMatch(/^llmops: migrations are pending; run 'llmops migrate up'[^\n]*\n$/);
    expect(await database.sql`select 1 from account`).toHaveLength(0);
  });
});

describe("account, on a terminal", () => {
  /** What a terminal shows while `typed` is typed once the password is asked for. */
  async function onTerminal(
    { folder }: Program,
    typed: string,
    environment: Record<string, string>,
  ): Promise<{ code: number; shown: string }> {
    let shown = "";
    let asked = false;
    const child = Bun.spawn([...command, "account", "create", "--email", "owner@example.com"], {
      cwd: folder,
      env: { PATH: "/usr/bin:/bin", HOME: folder, TERM: "xterm", ...environment },
      terminal: {
        data(terminal, chunk) {
          shown += Buffer.from(chunk).toString();
          if (asked || !shown.includes("Password: ")) return;
          asked = true;
          terminal.write(typed);
        },
      },
    });
    return { code: await child.exited, shown };
  }

  test("asks for the password and shows nothing of it, corrections included", async () => {
    await using database = await createDatabase();
    using program = createProgram();
    const env = { DATABASE_URL: database.url, LLMOPS_SECRET_KEY: one };
    expect(await onTerminal(program, "canarx\x7fy-passphrase\r", env)).toEqual({
      code: 0,
      shown: "Password: \r\ncreated  owner  owner@example.com\r\n",
    });
    const [account] = await database.sql`select password_hash from account`;
    expect(await Bun.password.verify("canary-passphrase", account?.password_hash)).toBe(true);
  });

  test("ends with one line at Ctrl-C, at Ctrl-D and where nothing is typed", async () => {
    await using database = await createDatabase();
    using program = createProgram();
    const env = { DATABASE_URL: database.url, LLMOPS_SECRET_KEY: one };
    const length = "a password has 8 to 256 characters, on the first line of standard input";
    for (const [typed, says] of [
      ["canary\x03", "cancelled"],
      ["\x04", length],
      ["\r", length],
      ["canary\r", length],
    ] as const) {
      expect(await onTerminal(program, typed, env)).toEqual({
        code: 1,
        shown: `Password: \r\nllmops: ${says}\r\n`,
      });
    }
    expect(await database.sql`select 1 from account`).toHaveLength(0);
  });
});

describe("account reset-password", () => {
  test("sets the password of a running service's account and ends its sessions; then works alone, too", async () => {
    using program = createProgram();
    for (const each of [program.folder, join(program.folder, "..")]) chmodSync(each, 0o711); // for the database's user
    const serving = program.start(["serve", "--port", "0"]);
    const url = await serving.said(/listens on (http:\S+)/);
    const email = ["--email", "owner@example.com"];
    expect(await runWith(program, passphrase, ["account", "create", ...email])).toMatchObject({ code: 0 });

    const opened = await login(url, passphrase);
    expect(opened.code).toBe("SUCCESS");
    const { access_token, refresh_token } = opened.data;
    expect(await me(url, access_token)).toMatchObject({ data: { role: "owner" } });
    const reset = ["account", "reset-password", ...email];
    expect(await runWith(program, "another fine passphrase\n", reset)).toEqual({
      code: 0,
      stdout: "the password of owner@example.com is set, and all their sessions have ended\n",
      stderr: "",
    });
    await untilCode("UNAUTHORIZED", () => me(url, access_token));
    expect((await post(`${url}/auth/refresh`, { refresh_token })).code).toBe("UNAUTHORIZED");
    expect((await login(url, passphrase)).code).toBe("UNAUTHORIZED");
    expect((await login(url, "another fine passphrase")).code).toBe("SUCCESS");
    serving.signal("SIGTERM");
    expect((await serving.finished).code).toBe(0);

    expect(await runWith(program, passphrase, reset)).toMatchObject({ code: 0 });
    expect(await program.run(["account", "list"])).toMatchObject({
      code: 0,
      stdout: "owner   owner@example.com\n",
    });
  });

  test("refuses an e-mail that nobody has, in one line", async () => {
    await using database = await createDatabase();
    using program = createProgram();
    const env = { DATABASE_URL: database.url, LLMOPS_SECRET_KEY: one };
    const reset = ["account", "reset-password", "--email", "nobody@example.com"];
    expect(await runWith(program, passphrase, reset, env)).toEqual({
      code: 1,
      stdout: "",
      stderr: "llmops: There is no such account\n",
    });
  });
});

test("exits 2 with a pointer to the help where account's words are wrong, and takes no password as a flag", async () => {
  using program = createProgram();
  const poison = { PORT: "canary", DATABASE_URL: "canary" };
  for (const args of [
    [],
    ["delete"],
    ["create"],
    ["create", "--email", "nobody"],
    ["create", "--email", "two words@example.com"],
    ["create", "more", "--email", "a@example.com"],
    ["create", "--email", "a@example.com", "--role", "Owner"],
    ["create", "--email", "a@example.com", "--role", "root"],
    ["reset-password"],
    ["reset-password", "--email", "a@example.com", "--role", "owner"],
    ["list", "--role", "owner"],
    ["create", "--email", "a@example.com", "--password", "canary-passphrase"],
  ]) {
    const { code, stdout, stderr } = await program.run(["account", ...args], poison);
    expect([args, code, stdout]).toEqual([args, 2, ""]);
    expect(stderr).toMatch(/^llmops: /);
    expect(stderr).toContain("account");
    expect(stderr).not.toContain("    at ");
    expect(stderr).not.toContain("canary");
  }
});
