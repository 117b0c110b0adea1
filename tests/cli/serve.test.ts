import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createDatabase } from "../harness/database.ts";
import { createProgram, type Finished } from "../harness/program.ts";
import { startUpstream } from "../harness/upstream.ts";
import { one, two } from "../keyring/fixture.ts";

const listens = /listens on (http:\S+)/;
const migrations = readdirSync(join(import.meta.dir, "../../migrations")).length;

/** One line that says what to do, no stack, and a failing exit code. */
const expectOneLine = ({ code, stdout, stderr }: Finished, pattern: RegExp) => {
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(/^llmops: [^\n]+\n$/);
  expect(stderr).toMatch(pattern);
  expect(stderr).not.toContain("canary");
};

const codeOf = async (url: string, init?: RequestInit) =>
  (await fetch(url, init)).headers.get("x-llmops-code");

describe("serve", () => {
  test("answers in production what is public and nothing else, and says so at the start", async () => {
    await using database = await createDatabase();
    using program = createProgram();
    const serving = program.start(["serve", "--port", "0"], { DATABASE_URL: database.url });
    const url = await serving.said(listens);
    expect(await codeOf(`${url}/ping`)).toBe("SUCCESS");
    expect(await codeOf(`${url}/app`)).toBe("UNAUTHORIZED");
    serving.signal("SIGINT");
    const { code, stdout, stderr } = await serving.finished;
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
    expect(stderr).toContain(`API documentation: ${url}/swagger`);
    expect(stderr).not.toContain("no login is needed");
  });

  test("answers in development without a login, and warns of proxies and of the echo", async () => {
    await using database = await createDatabase();
    using program = createProgram();
    const serving = program.start(["serve", "--dev", "--port", "0"], { DATABASE_URL: database.url });
    const url = await serving.said(listens);
    expect(await codeOf(`${url}/app`, { method: "POST" })).toBe("SUCCESS");
    serving.signal("SIGTERM");
    const { code, stderr } = await serving.finished;
    expect(code).toBe(0);
    expect(stderr).toContain("development: no login is needed; no proxy belongs in front of it");
    expect(stderr).toContain("answers come from the offline 'echo' model");
  });

  test("takes its flags before the environment and .env", async () => {
    await using database = await createDatabase();
    using program = createProgram();
    writeFileSync(join(program.folder, ".env"), `DATABASE_URL=${database.url}\nPORT=1\n`);
    const serving = program.start(["serve", "--port", "0", "--host", "localhost"], {
      PORT: "2",
      HOST: "192.0.2.1",
    });
    expect(await serving.said(listens)).toMatch(/^http:\/\/localhost:\d+$/);
    serving.signal("SIGTERM");
    expect((await serving.finished).code).toBe(0);
  });

  test("starts three times at once on an empty database and applies each migration once", async () => {
    await using database = await createDatabase({ empty: true });
    using program = createProgram();
    const all = Array.from({ length: 3 }, () =>
      program.start(["serve", "--port", "0"], { DATABASE_URL: database.url }),
    );
    const urls = await Promise.all(all.map(({ said }) => said(listens)));
    expect(await Promise.all(urls.map((url) => codeOf(`${url}/ping`)))).toEqual([
      "SUCCESS",
      "SUCCESS",
      "SUCCESS",
    ]);
    const [counts] = await database.sql`
      select (select count(*)::int from migration) as migrations, (select count(*)::int from installation) as installations`;
    expect(counts).toEqual({ migrations, installations: 1 });
    for (const { signal } of all) signal("SIGTERM");
    const ended = await Promise.all(all.map(({ finished }) => finished));
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0]);
    const applied = ended.map(({ stderr }) => stderr.match(/migration applied/g)?.length ?? 0);
    expect(applied.sort()).toEqual([0, 0, migrations]);
  }, 20_000);
});

const post = async (url: string, body: object): Promise<{ code: string }> => {
  const headers = { "content-type": "application/json" };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  return (await answer.json()) as { code: string };
};

describe("serve, without an account", () => {
  const setupLink = /there is no account yet; make the first owner within 30 minutes at (http\S+)/;
  const owner = { email: "owner@example.com", password: "correct horse battery staple" };

  test("prints a setup link that makes the first owner once, and none once there is an account", async () => {
    await using database = await createDatabase();
    using program = createProgram();
    const env = { DATABASE_URL: database.url, LLMOPS_SECRET_KEY: one };
    const first = program.start(["serve", "--port", "0"], env);
    const url = await first.said(listens);
    const link = new URL(await first.said(setupLink));
    expect(link.origin).toBe(url);
    const page = await fetch(link);
    expect(page.headers.get("content-type")).toStartWith("text/html");
    expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");

    const token = link.hash.slice(1);
    expect(await post(`${url}/auth/setup`, { ...owner, token: `${token}x` })).toMatchObject({
      code: "UNAUTHORIZED",
    });
    expect(await post(`${url}/auth/setup`, { ...owner, token })).toMatchObject({
      code: "SUCCESS",
      data: { email: owner.email, role: "owner" },
    });
    const second = { email: "second@example.com", password: owner.password };
    expect(await post(`${url}/auth/setup`, { ...second, token })).toMatchObject({ code: "UNAUTHORIZED" });
    expect(await post(`${url}/auth/login`, owner)).toMatchObject({ code: "SUCCESS" });
    first.signal("SIGTERM");
    const { code, stderr } = await first.finished;
    expect(code).toBe(0);
    expect(stderr.split(token)).toHaveLength(2); // the banner, and nowhere else

    const again = program.start(["serve", "--port", "0"], env);
    await again.said(/API documentation/);
    again.signal("SIGTERM");
    expect((await again.finished).stderr).not.toContain("/setup");
  });

  test("prints a fresh link at every start and at the address that browsers see, and none in development", async () => {
    await using database = await createDatabase();
    using program = createProgram();
    const env = { DATABASE_URL: database.url, LLMOPS_SECRET_KEY: one };
    const links: URL[] = [];
    for (const more of [{}, { LLMOPS_PUBLIC_URL: "https://llmops.example.com" }]) {
      const serving = program.start(["serve", "--port", "0"], { ...env, ...more });
      links.push(new URL(await serving.said(setupLink)));
      serving.signal("SIGTERM");
      expect((await serving.finished).code).toBe(0);
    }
    expect(links[1]?.href).toStartWith("https://llmops.example.com/setup#");
    expect(links[1]?.hash).not.toBe(links[0]?.hash);

    const development = program.start(["serve", "--dev", "--port", "0"], env);
    await development.said(/no login is needed/);
    development.signal("SIGTERM");
    expect((await development.finished).stderr).not.toContain("/setup");
  });

  test("makes the owner that LLMOPS_ADMIN_* names, once, and changes nobody afterwards", async () => {
    await using database = await createDatabase();
    using program = createProgram();
    const env = { DATABASE_URL: database.url, LLMOPS_SECRET_KEY: one };
    for (const [email, password] of [
      ["Owner@example.com", owner.password],
      ["Owner@example.com", "another fine passphrase"],
      ["second@example.com", owner.password],
    ]) {
      const serving = program.start(["serve", "--port", "0"], {
        ...env,
        LLMOPS_ADMIN_EMAIL: email ?? "",
        LLMOPS_ADMIN_PASSWORD: password ?? "",
      });
      const url = await serving.said(listens);
      expect((await post(`${url}/auth/login`, owner)).code).toBe("SUCCESS");
      serving.signal("SIGTERM");
      const { code, stderr } = await serving.finished;
      expect(code).toBe(0);
      expect(stderr).not.toContain("/setup");
      expect(stderr).not.toContain(password);
    }
    expect([...(await database.sql`select email, role from account`)]).toEqual([
      { email: owner.email, role: "owner" },
    ]);
  });
});

describe("serve, told to stop", () => {
  test("says 503 on /readyz at once, finishes the stream in flight, and exits 0", async () => {
    await using database = await createDatabase();
    await using upstream = await startUpstream();
    const { promise: opened, resolve: open } = Promise.withResolvers<void>();
    const piece = (choice: object) =>
      `data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, ...choice }] })}\n\n`;
    upstream.script("*", async ({ response }) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(piece({ delta: { content: "before" } }));
      await opened;
      response.end(
        `${piece({ delta: { content: "after" } })}${piece({ finish_reason: "stop" })}data: [DONE]\n\n`,
      );
    });
    using program = createProgram();
    const serving = program.start(["serve", "--dev", "--port", "0"], {
      DATABASE_URL: database.url,
      OPEN_API_KEY: "sk-1",
      OPEN_API_BASE: upstream.baseUrl,
      OPEN_API_MODEL: "m",
    });
    const url = await serving.said(listens);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    const answer = await fetch(`${url}/app/completion`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query: "hi", stream: true }),
    });
    const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader?.read())?.value).toContain("before");

    serving.signal("SIGTERM");
    await serving.said(/stopping/);
    const ready = await fetch(`${url}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toEqual({ status: "not ready", database: "up", draining: true });

    open();
    let rest = "";
    for (let read = await reader?.read(); read && !read.done; read = await reader?.read()) rest += read.value;
    expect(rest).toContain('event: delta\ndata: {"content":"after"}\n\n');
    expect(rest).toMatch(/event: done\ndata: \{[^\n]*\}\n\n$/);
    expect((await serving.finished).code).toBe(0);
  });

  test("ends at once at a second signal", async () => {
    await using database = await createDatabase();
    await using upstream = await startUpstream();
    upstream.script("*", () => {});
    using program = createProgram();
    const serving = program.start(["serve", "--dev", "--port", "0"], {
      DATABASE_URL: database.url,
      OPEN_API_KEY: "sk-1",
      OPEN_API_BASE: upstream.baseUrl,
      OPEN_API_MODEL: "m",
    });
    const url = await serving.said(listens);
    const lost = fetch(`${url}/app/completion`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"query":"hi"}',
    }).then(
      () => "answered",
      () => "lost",
    );
    await upstream.request(0);
    serving.signal("SIGTERM");
    await serving.said(/stopping/);
    serving.signal("SIGTERM");
    expect((await serving.finished).code).toBe(1);
    expect(await lost).toBe("lost");
  });
});

describe("serve, where it cannot start", () => {
  test("refuses a port that is in use", async () => {
    await using database = await createDatabase();
    using program = createProgram();
    const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const args = ["serve", "--port", String(listener.port)];
    const ended = await program.run(args, { DATABASE_URL: database.url, LOG_LEVEL: "error" });
    listener.stop(true);
    expectOneLine(ended, new RegExp(`Port ${listener.port} on 127\\.0\\.0\\.1 is in use; .*--port`));
  });

  test("refuses an address that is not this machine's", async () => {
    await using database = await createDatabase();
    using program = createProgram();
    const args = ["serve", "--host", "192.0.2.1", "--port", "0"];
    const ended = await program.run(args, { DATABASE_URL: database.url, LOG_LEVEL: "error" });
    expectOneLine(ended, /Cannot listen on 192\.0\.2\.1:0 .*HOST/);
  });

  test("refuses a database that is not there, and one that takes connections and says nothing", async () => {
    using program = createProgram();
    const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const [nobody, mute] = await Promise.all(
      [1, silent.port].map((port) =>
        program.run(["serve", "--port", "0"], { DATABASE_URL: `postgres://me:canary@127.0.0.1:${port}/db` }),
      ),
    );
    silent.stop(true);
    const says =
      /The database at postgres:\/\/me:\*\*\*@127\.0\.0\.1:\d+\/db does not answer: .*DATABASE_URL/;
    expectOneLine(nobody as Finished, says);
    expectOneLine(mute as Finished, says);
  }, 15_000);

  test("refuses a server that ends every connection, as a balancer does that has no database behind it", async () => {
    using program = createProgram();
    const empty = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { open: (socket) => void socket.end(), data() {} },
    });
    const ended = await program.run(["serve", "--port", "0"], {
      DATABASE_URL: `postgres://127.0.0.1:${empty.port}/db`,
    });
    empty.stop(true);
    expectOneLine(ended, /The database at .* does not answer: .*DATABASE_URL/);
  }, 15_000);

  test("refuses a database that is not PostgreSQL", async () => {
    using program = createProgram();
    const web = Bun.serve({ port: 0, fetch: () => new Response("canary") });
    const ended = await program.run(["serve", "--port", "0"], {
      DATABASE_URL: `postgres://127.0.0.1:${web.port}/db`,
    });
    await web.stop(true);
    expectOneLine(ended, /does not answer/);
  }, 15_000);

  test("refuses a data folder that cannot be written", async () => {
    using program = createProgram();
    writeFileSync(join(program.folder, "file"), "");
    mkdirSync(join(program.folder, "folder"));
    const ended = await program.run(["serve", "--port", "0", "--data-dir", "file/data"]);
    expectOneLine(ended, /cannot write in the data folder .*file\/data .*--data-dir/);
  });

  test("refuses a schema that is newer than the program, and names what it does not know", async () => {
    await using database = await createDatabase();
    await database.sql`insert into migration (name) values ('00099-from-the-future.js')`;
    using program = createProgram();
    const ended = await program.run(["serve", "--port", "0"], { DATABASE_URL: database.url });
    expectOneLine(ended, /newer than this program: it has 00099-from-the-future\.js/);
  });

  test("refuses a secret that is not this installation's and names the variable, and starts with the right one", async () => {
    await using database = await createDatabase();
    using program = createProgram();
    const env = { DATABASE_URL: database.url, LOG_LEVEL: "error" };
    const right = program.start(["serve", "--port", "0"], { ...env, LLMOPS_SECRET_KEY: one });
    await right.said(listens);
    const wrong = await program.run(["serve", "--port", "0"], { ...env, LLMOPS_SECRET_KEY: two });
    expectOneLine(
      wrong,
      /LLMOPS_SECRET_KEY is not the secret of this installation.*LLMOPS_SECRET_KEY_PREVIOUS/,
    );
    expect(wrong.stderr).not.toContain(two);
    const none = await program.run(["serve", "--port", "0"], env);
    expectOneLine(none, /there is no secret in .*llmops-data\/secret: set LLMOPS_SECRET_KEY/);
    right.signal("SIGTERM");
    expect((await right.finished).code).toBe(0);

    const rotating = { ...env, LLMOPS_SECRET_KEY: two, LLMOPS_SECRET_KEY_PREVIOUS: one };
    const again = program.start(["serve", "--port", "0"], rotating);
    await again.said(listens);
    again.signal("SIGTERM");
    expect((await again.finished).code).toBe(0);
  });

  test("refuses --dev on an address that others can reach", async () => {
    using program = createProgram();
    const ended = await program.run(["serve", "--dev", "--host", "0.0.0.0"]);
    expectOneLine(ended, /--host must be a loopback address with --dev/);
  });
});
