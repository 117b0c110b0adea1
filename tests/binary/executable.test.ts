import { expect, setDefaultTimeout, test } from "bun:test";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { install } from "../harness/executable.ts";
import { startUpstream, texts } from "../harness/upstream.ts";

setDefaultTimeout(120_000);

interface Envelope {
  code: string;
  message: string;
  data: Record<string, unknown>;
}

/** What curl does: one call, JSON out. */
async function curl(url: string, body?: object, headers: Record<string, string> = {}): Promise<Envelope> {
  const response = await fetch(url, {
    ...(body && { method: "POST", body: JSON.stringify(body) }),
    headers: { ...(body && { "content-type": "application/json" }), ...headers },
  });
  expect(response.status).toBe(200);
  return (await response.json()) as Envelope;
}

/** `serve` in production on a free port, run as the folder's owner, and all that it said once it listens. */
async function serveAloud(folder: string) {
  const { uid, gid } = statSync(folder);
  const child = spawn(join(folder, "llmops"), ["serve", "--port", "0"], {
    cwd: folder,
    env: { PATH: "/usr/bin:/bin", HOME: folder },
    stdio: ["ignore", "ignore", "pipe"],
    ...(process.getuid?.() === 0 && { uid, gid }),
  });
  let said = "";
  const url = await new Promise<string>((resolve, reject) => {
    child.stderr.on("data", (chunk) => {
      said += chunk;
      const [, found] = /listens on (http:\S+)\nAPI documentation: .*\n/.exec(said) ?? [];
      if (found) resolve(found);
    });
    child.once("exit", () => reject(new Error(`serve ended: ${said}`)));
  });
  return {
    url,
    said: () => said,
    async end(): Promise<number | null> {
      child.kill("SIGTERM");
      const [code] = await once(child, "close");
      return code;
    },
    [Symbol.dispose]: () => void child.kill("SIGKILL"),
  };
}

/** Whether a process runs; one that has ended and waits for its parent to notice has no command line any more. */
const runs = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && readFileSync(`/proc/${pid}/cmdline`, "utf8") !== "";

const postmasterIn = (folder: string) => join(folder, "llmops-data/postgres/data/postmaster.pid");

test("serves the seed's whole walk from the executable alone in an empty folder, as another user", async () => {
  await using upstream = await startUpstream();
  using alone = await install();
  const service = await alone.serve(["--dev"], {
    OPEN_API_KEY: "sk-test",
    OPEN_API_BASE: upstream.baseUrl,
    OPEN_API_MODEL: "kimi-k2.5",
  });
  const { url } = service;

  expect(await curl(`${url}/ping`)).toEqual({ code: "SUCCESS", message: "pong", data: {} });
  const created = await curl(`${url}/app`, {});
  const id = created.data.id;
  expect(created.message).toBe(`应用已经成功创建,id 为 ${id}`);
  expect(await curl(`${url}/app/${id}`)).toMatchObject({
    message: "应用已经成功获取,名字是bot",
    data: { id },
  });
  expect((await curl(`${url}/app/${id}`, { name: "翻译" })).message).toBe("应用已经成功修改,名字是翻译");
  expect(await curl(`${url}/app`)).toMatchObject({
    data: { items: [{ id, name: "翻译" }], next_cursor: null },
  });
  expect((await curl(`${url}/app/${id}/delete`, {})).message).toBe(`应用已经成功删除,id 为${id}`);
  expect((await curl(`${url}/app/${id}`)).code).toBe("NOT_FOUND");
  expect((await curl(`${url}/app/${id}`, undefined, { "accept-language": "en" })).message).toBe(
    "There is no such app",
  );

  for (const [query, content] of [
    ["你好", texts.zh],
    ["Hello", texts.en],
  ]) {
    const answer = await curl(`${url}/app/completion`, { query });
    expect(answer).toMatchObject({ code: "SUCCESS", message: "", data: { content, model: "kimi-k2.5" } });
  }
  const streamed = await fetch(`${url}/app/completion`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query: "Hello", stream: true }),
  });
  const events = (await streamed.text()).trim().split("\n\n");
  expect(events.at(-1)).toStartWith("event: done\ndata: ");
  const pieces = events.slice(0, -1).map((event) => JSON.parse(event.split("\ndata: ")[1] ?? "{}").content);
  expect(pieces.join("")).toBe(texts.en);

  const page = await fetch(`${url}/swagger`);
  expect(page.headers.get("content-type")).toStartWith("text/html");
  expect(await (await fetch(`${url}/swagger/json`)).json()).toMatchObject({ openapi: "3.1.0" });

  const postmaster = Number(readFileSync(postmasterIn(alone.folder), "utf8").split("\n")[0]);
  expect(await service.end("SIGTERM")).toBe(0);
  expect(existsSync(postmasterIn(alone.folder))).toBe(false);
  expect(runs(postmaster)).toBe(false);
});

test("keeps every acknowledged app over a kill -9", async () => {
  using alone = await install();
  const killed = await alone.serve(["--dev"]);
  const created = await curl(`${killed.url}/app`, { name: "kept" });
  expect(await killed.end("SIGKILL")).toBe(null);

  const again = await alone.serve(["--dev"]);
  expect(await curl(`${again.url}/app/${created.data.id}`)).toMatchObject({
    code: "SUCCESS",
    data: { name: "kept" },
  });
  expect(await again.end("SIGTERM")).toBe(0);
});

test("denies everything outside the public list in production", async () => {
  using alone = await install();
  const service = await alone.serve([]);
  expect((await curl(`${service.url}/ping`)).code).toBe("SUCCESS");
  expect((await curl(`${service.url}/app`)).code).toBe("UNAUTHORIZED");
  expect((await curl(`${service.url}/app/completion`, { query: "hello", model: "echo" })).code).toBe(
    "UNAUTHORIZED",
  );
  expect(await service.end("SIGTERM")).toBe(0);
});

test("opens /v1 in production to a key of the first owner, who was made by the token of the printed link", async () => {
  using alone = await install();
  const email = "owner@example.com";
  const password = "correct horse battery staple";
  using first = await serveAloud(alone.folder);
  const { url } = first;
  expect(first.said()).not.toContain("no login is needed");
  const [, origin, token = ""] =
    /make the first owner within 30 minutes at (\S+)\/setup#(\S+)/.exec(first.said()) ?? [];
  expect(origin).toBe(url);
  expect(await curl(`${url}/auth/setup`, { token, email, password })).toMatchObject({
    code: "SUCCESS",
    data: { email, role: "owner" },
  });

  const { data } = await curl(`${url}/auth/login`, { email, password });
  const bearer = { authorization: `Bearer ${data.access_token}` };
  expect(await curl(`${url}/auth/me`, undefined, bearer)).toMatchObject({ data: { email, role: "owner" } });
  const app = (await curl(`${url}/app`, {}, bearer)).data.id;
  const made = await curl(`${url}/app/${app}/key`, { name: "website" }, bearer);
  expect(made.code).toBe("SUCCESS");
  const models = (key: unknown) => fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
  const answer = await models(made.data.key);
  expect(answer.status).toBe(200);
  expect(await answer.json()).toMatchObject({ object: "list", data: [{ id: "app" }, { id: app }] });
  expect((await models(data.access_token)).status).toBe(401);

  const byCommand = await alone.run(["key", "create", "--app", String(app)]);
  expect(byCommand).toMatchObject({ code: 0, stderr: "" });
  expect((await models(byCommand.stdout.trim())).status).toBe(200);
  expect(await alone.run(["account", "list"])).toMatchObject({ code: 0, stdout: `owner   ${email}\n` });
  expect((await alone.run(["audit", "verify"])).stdout).toStartWith("good: ");
  expect(statSync(join(alone.folder, "llmops-data/secret")).mode & 0o777).toBe(0o600);
  expect(await first.end()).toBe(0);

  using again = await serveAloud(alone.folder);
  expect(await curl(`${again.url}/auth/me`, undefined, bearer)).toMatchObject({ code: "SUCCESS" });
  expect(again.said()).not.toContain("/setup");
  expect(await again.end()).toBe(0);
});

test("runs nothing that lies in the working directory, and takes only settings from its .env", async () => {
  using alone = await install();
  writeFileSync(join(alone.folder, "bunfig.toml"), 'preload = ["./evil.ts"]\n');
  writeFileSync(join(alone.folder, "evil.ts"), 'require("node:fs").writeFileSync("ran", "");\n');
  writeFileSync(join(alone.folder, ".env"), "PORT=4321\nOPEN_API_KEY=sk-canary-7f3a\n");
  const { code, stdout } = await alone.run(["config"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^PORT +4321 +\.env$/m);
  expect(stdout).not.toContain("canary");
  expect(existsSync(join(alone.folder, "ran"))).toBe(false);
});

test("migrates, tells and reverts the embedded database without a running service", async () => {
  using alone = await install();
  expect((await alone.run(["migrate", "status"])).stdout).toMatch(/^pending +00000-create-app\.js$/m);
  expect((await alone.run(["migrate", "up"])).stdout).toStartWith("applied  00000-create-app.js\n");
  expect((await alone.run(["doctor"])).code).toBe(0);
  expect((await alone.run(["migrate", "down", "--steps", "99"])).stdout).toEndWith(
    "reverted  00000-create-app.js\n",
  );
  expect(existsSync(postmasterIn(alone.folder))).toBe(false);
});
