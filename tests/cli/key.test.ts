import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { newId } from "../../src/id.ts";
import { createDatabase } from "../harness/database.ts";
import { createProgram } from "../harness/program.ts";
import { one } from "../keyring/fixture.ts";

setDefaultTimeout(60_000);

const listens = /listens on (http:\S+)/;
const form = /^llmops-([0-9A-Za-z]{16})-[A-Za-z0-9_-]{43}\n$/;

const newApp = async (url: string): Promise<string> => {
  const created = await fetch(`${url}/app`, { method: "POST" });
  return ((await created.json()) as { data: { id: string } }).data.id;
};
const models = (url: string, key: string) =>
  fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });

describe("key", () => {
  test("creates a key that a running service takes, shows it once, and revokes it there within a second", async () => {
    await using database = await createDatabase();
    using program = createProgram();
    const env = { DATABASE_URL: database.url, LLMOPS_SECRET_KEY: one };
    const serving = program.start(["serve", "--dev", "--port", "0"], env);
    const url = await serving.said(listens);
    const app = await newApp(url);

    const created = await program.run(["key", "create", "--app", app, "--name", "website"], env);
    expect(created).toMatchObject({ code: 0, stderr: "" });
    expect(created.stdout).toMatch(form);
    const key = created.stdout.trim();
    const [, publicId] = form.exec(created.stdout) ?? [];
    const answer = await models(url, key);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ object: "list", data: [{ id: "app" }, { id: app }] });

    const [row] = await database.sql`select id, secret_hash from app_key`;
    const good = { code: 0, stdout: `${row?.id}  ${publicId}  good     website\n`, stderr: "" };
    expect(await program.run(["key", "list", "--app", app], env)).toEqual(good);
    expect(row?.secret_hash).toHaveLength(32);

    const revoke = ["key", "revoke", "--app", app, "--key", row?.id];
    for (const _ of ["first", "again"]) {
      expect(await program.run(revoke, env)).toEqual({
        code: 0,
        stdout: `revoked  ${row?.id}\n`,
        stderr: "",
      });
    }
    const [revoked] =
      await database.sql`select extract(epoch from now() - revoked_at)::float8 as age from app_key`;
    if (revoked?.age < 1) await Bun.sleep((1 - revoked?.age) * 1000);
    expect((await models(url, key)).status).toBe(401);
    expect((await program.run(["key", "list", "--app", app], env)).stdout).toBe(
      `${row?.id}  ${publicId}  revoked  website\n`,
    );
    const entries = await database.sql`
      select action, actor_kind, subject_id, after ->> 'secret_hash' as hash from audit
      where subject_kind = 'app_key' order by seq`;
    expect([...entries]).toEqual(
      ["app_key.create", "app_key.revoke"].map((action) => ({
        action,
        actor_kind: "cli",
        subject_id: row?.id,
        hash: "***",
      })),
    );
    serving.signal("SIGTERM");
    const { code, stderr } = await serving.finished;
    expect(code).toBe(0);
    expect(stderr).not.toContain(key.slice(-43));
  });

  test("says of a key that its time is over", async () => {
    await using database = await createDatabase();
    using program = createProgram();
    const env = { DATABASE_URL: database.url, LLMOPS_SECRET_KEY: one };
    const app = newId();
    await database.sql`
      insert into app (id, account_id, name, created_at, updated_at) values (${app}, ${newId()}, 'bot', now(), now())`;
    expect((await program.run(["key", "create", "--app", app], env)).code).toBe(0);
    await database.sql`update app_key set expires_at = now() - interval '1 second'`;
    expect((await program.run(["key", "list", "--app", app], env)).stdout).toMatch(/ {2}expired\n$/);
  });

  test("works on the embedded database beside the service, and alone", async () => {
    using program = createProgram();
    for (const each of [program.folder, join(program.folder, "..")]) chmodSync(each, 0o711); // for the database's user
    const first = program.start(["serve", "--dev", "--port", "0"]);
    const app = await newApp(await first.said(listens));
    const beside = await program.run(["key", "create", "--app", app]);
    expect(beside.stdout).toMatch(form);
    first.signal("SIGTERM");
    expect((await first.finished).code).toBe(0);

    const alone = await program.run(["key", "create", "--app", app]);
    expect(alone.stdout).toMatch(form);
    const second = program.start(["serve", "--port", "0"]);
    const url = await second.said(listens);
    for (const { stdout } of [beside, alone]) expect((await models(url, stdout.trim())).status).toBe(200);
    second.signal("SIGTERM");
    expect((await second.finished).code).toBe(0);
  });

  test("refuses in one line an app and a key that there is not, another app's key too, and makes nothing", async () => {
    await using database = await createDatabase();
    using program = createProgram();
    const env = { DATABASE_URL: database.url, LLMOPS_SECRET_KEY: one };
    const [mine, other] = [newId(), newId()];
    for (const id of [mine, other]) {
      await database.sql`
        insert into app (id, account_id, name, created_at, updated_at) values (${id}, ${newId()}, 'bot', now(), now())`;
    }
    expect((await program.run(["key", "create", "--app", other], env)).code).toBe(0);
    const [foreign] = await database.sql`select id from app_key`;
    for (const [args, says] of [
      [["create", "--app", newId()], "There is no such app"],
      [["list", "--app", newId()], "There is no such app"],
      [["revoke", "--app", newId(), "--key", foreign?.id], "There is no such app"],
      [["revoke", "--app", mine, "--key", newId()], "There is no such key"],
      [["revoke", "--app", mine, "--key", foreign?.id], "There is no such key"],
    ] as const) {
      const stderr = `llmops: ${says}\n`;
      expect(await program.run(["key", ...args], env)).toEqual({ code: 1, stdout: "", stderr });
    }
    expect(await database.sql`select 1 from app_key where revoked_at is null`).toHaveLength(1);
  });

  test("exits 2 with a pointer to the help where its words are wrong", async () => {
    using program = createProgram();
    const id = newId();
    for (const args of [
      [],
      ["rotate"],
      ["create"],
      ["create", "--app", "bot"],
      ["create", "more", "--app", id],
      ["create", "--app", id, "--key", id],
      ["create", "--app", id, "--name", "n".repeat(256)],
      ["list"],
      ["list", "--app", id, "--name", "n"],
      ["revoke", "--app", id],
      ["revoke", "--app", id, "--key", "k"],
    ]) {
      const { code, stdout, stderr } = await program.run(["key", ...args], { DATABASE_URL: "canary" });
      expect([args, code, stdout]).toEqual([args, 2, ""]);
      expect(stderr).toMatch(/^llmops: [^\n]*; see 'llmops key --help'\n$/);
    }
  });
});
