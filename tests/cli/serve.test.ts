import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createDatabase } from "../harness/database.ts";
import { createProgram, type Finished } from "../harness/program.ts";
import { startUpstream } from "../harness/upstream.ts";

const listens = /listens on (http:\S+)/;

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
    expect(counts).toEqual({ migrations: 2, installations: 1 });
    for (const { signal } of all) signal("SIGTERM");
    const ended = await Promise.all(all.map(({ finished }) => finished));
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0]);
    const applied = ended.map(({ stderr }) => stderr.match(/migration applied/g)?.length ?? 0);
    expect(applied.sort()).toEqual([0, 0, 2]);
  }, 20_000);
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

  test("refuses --dev on an address that others can reach", async () => {
    using program = createProgram();
    const ended = await program.run(["serve", "--dev", "--host", "0.0.0.0"]);
    expectOneLine(ended, /--host must be a loopback address with --dev/);
  });
});
