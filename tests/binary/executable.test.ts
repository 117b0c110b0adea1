import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
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
  expect(existsSync(`/proc/${postmaster}`)).toBe(false);
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
