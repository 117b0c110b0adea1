import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { engines, scripts } from "../package.json" with { type: "json" };
import { permissions } from "../src/auth/permissions.ts";
import { roles } from "../src/auth/principal.ts";
import { runCommand } from "../src/cli/run.ts";
import { type Setting, settings } from "../src/config/settings.ts";
import { embeddedPostgresArchive } from "../src/database/archive.ts";
import { startEmbedded } from "../src/database/embedded.ts";
import { folderError } from "../src/database/folder-error.ts";
import { createMigrations } from "../src/database/migrations.ts";
import { defaultRateLimit } from "../src/limits/rules.ts";
import { silentLog } from "../src/log.ts";
import { startTestApp, type TestApp } from "./harness/app.ts";
import { createDatabase } from "./harness/database.ts";
import { behaviours, startUpstream } from "./harness/upstream.ts";

setDefaultTimeout(60_000);

const root = join(import.meta.dir, "..");
const read = (path: string) => readFileSync(join(root, path), "utf8");
const markdown = ["*.md", "{bench,deploy,docs,migrations,scripts,src,tests}/**/*.md"]
  .flatMap((pattern) => [...new Bun.Glob(pattern).scanSync(root)])
  .sort();
const readmes = ["README.md", "README.zh-CN.md"];
/** Those that speak of the program's own commands, and not of a script's. */
const manuals = markdown.filter((path) => !path.includes("/") || path.startsWith("docs/"));

interface Block {
  language: string;
  text: string;
}

const fence = /^```(\w*)\n(.*?)^```$/gms;
const blocksOf = (text: string): Block[] =>
  [...text.matchAll(fence)].map(([, language = "", content = ""]) => ({ language, text: content.trimEnd() }));
const withoutBlocks = (text: string) => text.replace(fence, "");
const spansOf = (text: string) =>
  [...withoutBlocks(text).matchAll(/`([^`\n]+)`/g)].map(([, span = ""]) => span);

/** Every line that is set as code, but for SQL. */
const codeLines = (path: string) => [
  ...blocksOf(read(path))
    .filter(({ language }) => language !== "sql")
    .flatMap(({ text }) => text.split("\n")),
  ...spansOf(read(path)),
];

/** What stands below a heading of the second level, up to the next one. */
function sectionOf(text: string, heading: string): string {
  const [, section] = text.split(`\n## ${heading}\n`);
  if (section === undefined) throw new Error(`there is no section '${heading}'`);
  return section.split("\n## ")[0] ?? "";
}

/** The cells of every row of the tables in a text, without their heads. */
const rowsOf = (text: string) =>
  text
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) =>
      line
        .slice(1, -1)
        .split("|")
        .map((cell) => cell.trim()),
    );

/** What a command line prints on standard output. */
async function output(...args: string[]): Promise<string> {
  let text = "";
  const write = (more: string) => {
    text += more;
  };
  expect(await runCommand(args, { stdout: write, stderr: write, terminal: false })).toBe(0);
  return text;
}

const commandNames = async () =>
  [...(await output("help")).matchAll(/^ {2}(\w+) {2}/gm)].map(([, name = ""]) => name);
const helpOf = (command: string) => (command === "help" ? output("help") : output(command, "--help"));
const flagsOf = (help: string) => [...help.matchAll(/^ {2}(--[\w-]+)/gm)].map(([, flag = ""]) => flag);

test("names only scripts and files that there are, and the Bun that package.json asks for", () => {
  const wrong: string[] = [];
  let seen = 0;
  for (const path of markdown) {
    for (const line of codeLines(path)) {
      for (const [, version, run, what = ""] of line.matchAll(
        /\bbun(?:@([\d.]+))? (run )?([\w/.-]+)(?= |$)/g,
      )) {
        seen += 1;
        if (version !== undefined && version !== engines.bun) wrong.push(`${path}: bun@${version}`);
        if (what.endsWith(".ts") ? existsSync(join(root, what)) : what in scripts) continue;
        if (run === undefined && ["build", "test"].includes(what) && path.startsWith("docs/adr/")) continue;
        wrong.push(`${path}: bun ${run ?? ""}${what}`);
      }
    }
  }
  expect(wrong).toEqual([]);
  expect(seen).toBeGreaterThan(20);
});

test("opens the README with the two commands for a bare machine", () => {
  for (const path of readmes) {
    const [start, run] = blocksOf(read(path));
    expect(start?.text).toBe(`npx -y bun@${engines.bun} start`);
    expect(run?.text).toBe(`npx -y bun@${engines.bun} run test`);
  }
});

test("names only commands and flags that the program's help has", async () => {
  const known = await commandNames();
  const helps = new Map(await Promise.all(known.map(async (name) => [name, await helpOf(name)] as const)));
  const allFlags = new Set([...helps.values()].flatMap(flagsOf));
  const othersFlags = new Set(["--coverage", "--minify", "--production"]);
  const wrong: string[] = [];
  let seen = 0;
  for (const path of manuals) {
    for (const line of codeLines(path)) {
      for (const [, command = "", rest = ""] of line.matchAll(
        /(?:^|[\s'"]|\.\/|\/bin\/)(?:llmops|bun src\/main\.ts) ([a-z][\w-]*)([^;'"]*)/g,
      )) {
        seen += 1;
        const help = helps.get(command);
        const [, operand] = /^ ([a-z]+)(?= |$)/.exec(rest) ?? [];
        if (help === undefined) wrong.push(`${path}: llmops ${command}`);
        else if (operand !== undefined && !help.includes(` llmops ${command} ${operand}`))
          wrong.push(`${path}: llmops ${command} ${operand}`);
        for (const [flag] of rest.matchAll(/--[\w-]+/g)) {
          if (help !== undefined && !flagsOf(help).includes(flag))
            wrong.push(`${path}: llmops ${command} ${flag}`);
        }
      }
      const [alone] = /^--[\w-]+/.exec(line) ?? [];
      if (alone !== undefined && !allFlags.has(alone) && !othersFlags.has(alone))
        wrong.push(`${path}: ${alone}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(seen).toBeGreaterThan(30);
});

test("has every setting in the table, as the code has it", () => {
  const code = (text: string | undefined) => (text === undefined ? "–" : `\`${text}\``);
  const expected = (Object.entries(settings) as [string, Setting][]).map(
    ([name, { alias, default: fallback, allowed, help }]) => [
      code(name),
      code(alias),
      code(fallback),
      allowed,
      help,
    ],
  );
  expect(rowsOf(sectionOf(read("docs/configuration.md"), "Settings"))).toEqual(expected);
});

test("has every flag in the table, with the commands that take it", async () => {
  const commands = (await commandNames()).filter((name) => name !== "help");
  const takenBy: Record<string, string[]> = {};
  for (const command of commands) {
    for (const flag of flagsOf(await helpOf(command))) takenBy[flag] = [...(takenBy[flag] ?? []), command];
  }
  const listed = Object.fromEntries(
    rowsOf(sectionOf(read("docs/configuration.md"), "Flags")).map(([flag = "", taking = ""]) => [
      /--[\w-]+/.exec(flag)?.[0],
      taking === "all" ? commands : spansOf(taking),
    ]),
  );
  expect(listed).toEqual(takenBy);
});

/** A heading's anchor, as GitHub makes it. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}_\- ]/gu, "")
    .replaceAll(" ", "-");
const headingsOf = (text: string) =>
  [...withoutBlocks(text).matchAll(/^(#+) (.+)$/gm)].map(([, level = "", title = ""]) => ({ level, title }));
const linksOf = (text: string) =>
  [...withoutBlocks(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);

test("resolves every link inside the repository", () => {
  const wrong: string[] = [];
  let seen = 0;
  for (const path of markdown) {
    for (const link of linksOf(read(path))) {
      if (/^[a-z]+:/.test(link)) continue;
      seen += 1;
      const [file = "", anchor] = link.split("#");
      const target = file === "" ? join(root, path) : join(root, dirname(path), file);
      const anchors = () =>
        headingsOf(readFileSync(target, "utf8")).map(({ title }) => anchorOf(title.replaceAll("`", "")));
      if (!existsSync(target) || (anchor !== undefined && !anchors().includes(anchor)))
        wrong.push(`${path}: ${link}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(seen).toBeGreaterThan(30);
});

test("reaches every document from both READMEs", () => {
  const documents = markdown.filter(
    (path) => path.startsWith("docs/") || path === "bench/README.md" || !path.includes("/"),
  );
  for (const path of readmes) {
    const links = linksOf(read(path)).map((link) => relative(root, join(root, link)));
    expect(documents.filter((each) => each !== path && !links.includes(each))).toEqual([]);
  }
  expect(documents.length).toBeGreaterThan(10);
});

test("says the same in English and Chinese: the same headings and code blocks in the same order", () => {
  const outlineOf = (path: string) =>
    [...read(path).matchAll(/^(#+) [^\n]+$|^```\w*\n.*?^```$/gms)].map(([all, level]) => level ?? all);
  const [english = [], chinese] = readmes.map(outlineOf);
  expect(chinese).toEqual(english);
  expect(english.length).toBeGreaterThan(50);
});

test("describes every room of the sources, and no other", () => {
  const [tree] = blocksOf(sectionOf(read("CONTRIBUTING.md"), "The folder tree"));
  const listed = [...(tree?.text ?? "").matchAll(/^ {2}([\w-]+)\/ /gm)].map(([, name]) => name);
  const rooms = readdirSync(join(root, "src"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
  expect(listed.sort()).toEqual(rooms.sort());
});

test("keeps decisions to 25 lines, numbered without gaps", () => {
  const decisions = markdown.filter((path) => path.startsWith("docs/adr/"));
  expect(decisions.map((path) => path.slice(9, 13))).toEqual(
    decisions.map((_, index) => String(index + 1).padStart(4, "0")),
  );
  expect(decisions.length).toBeGreaterThan(0);
  for (const path of decisions) {
    expect(read(path)).toStartWith(`# ${path.slice(9, 13)} `);
    expect(read(path).trimEnd().split("\n").length).toBeLessThanOrEqual(25);
  }
});

/** Shell variables, as `NAME=value` lines of a document set them. */
type Variables = Map<string, string>;

/** The request that a curl command of a document makes. */
function toRequest(command: string, variables: Variables): Request {
  const filled = (text: string) =>
    text.replace(/\$([A-Z_]+)/g, (_, name: string) => {
      const value = variables.get(name);
      if (value === undefined) throw new Error(`nothing sets $${name} before ${command}`);
      return value;
    });
  const words = [...command.matchAll(/'([^']*)'|"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(
    ([, single, double, plain]) => single ?? filled((double ?? plain ?? "").replaceAll('\\"', '"')),
  );
  const headers = new Headers({ "user-agent": "curl/8.5.0" });
  let method: string | undefined;
  let body: string | undefined;
  let url = "";
  for (let at = 1; at < words.length; at++) {
    const word = words[at] ?? "";
    if (word === "-N" || word === "-s") continue;
    if (word === "-D" || word === "-o") at += 1;
    else if (word === "-X") method = words[++at];
    else if (word === "-d") body = words[++at];
    else if (word === "-H") {
      const [name = "", value = ""] = (words[++at] ?? "").split(": ");
      headers.set(name, value);
    } else if (word.startsWith("-")) throw new Error(`a document uses curl ${word}; teach it to this test`);
    else url = word;
  }
  return new Request(url, {
    headers,
    method: method ?? (body === undefined ? "GET" : "POST"),
    ...(body !== undefined && { body }),
  });
}

/** Fields whose values the service makes anew each time. */
const made = new Set(
  "id account_id app_id session_id actor_id request_id subject_id public_id key access_token refresh_token hash".split(
    " ",
  ),
);

/** Notes what the service made, and what stands in its place. */
function place(answer: unknown, shown: unknown, placed: Map<string, string>): void {
  if (typeof answer !== "object" || answer === null || typeof shown !== "object" || shown === null) return;
  for (const [name, value] of Object.entries(answer)) {
    const example = (shown as Record<string, unknown>)[name];
    if (typeof value === "string" && typeof example === "string") {
      if (made.has(name) && value !== example) placed.set(value, example);
    } else place(value, example, placed);
  }
}

const cookieFilter = " | grep -i set-cookie";

/** Makes every curl call of a document in turn, and compares the answers with those shown; returns how many. */
async function playCalls(blocks: readonly Block[], app: TestApp): Promise<number> {
  const time = (text: string) => text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "(a time)");
  /** What the service made -> what stands in its place. */
  const placed = new Map<string, string>();
  const variables: Variables = new Map();
  // The longest first: a key contains its public id.
  const swap = (text: string, pairs: (readonly [from: string, to: string])[]) =>
    pairs
      .sort(([one], [other]) => other.length - one.length)
      .reduce((swapped, [from, to]) => swapped.replaceAll(from, to), text);
  const real = (text: string) =>
    swap(
      text,
      [...placed].map(([value, example]) => [example, value] as const),
    );
  let calls = 0;
  for (const [index, { text: command }] of blocks.entries()) {
    if (/^[A-Z_]+=\S+$/m.test(command)) {
      for (const line of command.split("\n")) {
        const [, name = "", value = ""] = /^([A-Z_]+)=(\S+)$/.exec(line) ?? [];
        if (real(value) === value) throw new Error(`$${name} is nothing that an answer has shown`);
        variables.set(name, real(value));
      }
    }
    if (!command.startsWith("curl ")) continue;
    calls += 1;
    const { language, text: shown } = blocks[index + 1] ?? { language: "", text: "" };
    const [call = ""] = real(command).split(cookieFilter);
    let response = await app.fetch(toRequest(call, variables));
    // What was ended is refused within a second, and may not be yet.
    for (const end = Date.now() + 1000; shown.includes('"UNAUTHORIZED"') && Date.now() < end; ) {
      if (response.headers.get("x-llmops-code") === "UNAUTHORIZED") break;
      response = await app.fetch(toRequest(call, variables));
    }
    if (command.endsWith(cookieFilter)) {
      const cookies = response.headers.getSetCookie().map((cookie) => cookie.replace(/=[^;]+/, "=…"));
      expect(cookies.map((cookie) => `set-cookie: ${cookie}`).join("\n")).toBe(shown);
      continue;
    }
    let answer = await response.text();
    if (language === "json") place(JSON.parse(answer), JSON.parse(shown), placed);
    answer = swap(answer, [...placed]);
    if (language === "json") expect(JSON.parse(time(answer)), command).toEqual(JSON.parse(time(shown)));
    else expect(answer.trimEnd()).toBe(shown);
  }
  return calls;
}

const startProduction = () =>
  startTestApp({
    dev: false,
    environment: {
      LLMOPS_SECRET_KEY: "a secret of the documents' test, long enough",
      LLMOPS_ADMIN_EMAIL: "owner@example.com",
      LLMOPS_ADMIN_PASSWORD: "correct horse battery staple",
    },
  });

test("shows the answers that the README's curl commands get, in development and in production", async () => {
  await using development = await startTestApp();
  await using production = await startProduction();
  const readme = read("README.md");
  const section = sectionOf(readme, "Production");
  expect(await playCalls(blocksOf(readme.replace(section, "")), development)).toBeGreaterThan(10);
  expect(await playCalls(blocksOf(section), production)).toBeGreaterThan(3);
});

test("shows the answers that the curl commands about access get", async () => {
  await using production = await startProduction();
  expect(await playCalls(blocksOf(read("docs/access.md")), production)).toBeGreaterThan(10);
});

test("names every public route, every role, and only settings that there are, where it speaks of access", () => {
  const documents = ["docs/access.md", "SECURITY.md"].map(read).join("\n");
  const open = sectionOf(read("SECURITY.md"), "What is promised");
  for (const [route, permission] of Object.entries(permissions)) {
    const [, path = ""] = route.split(" ");
    if (permission === "public" && !/^\/(swagger|setup)\//.test(path) && path !== "/setup")
      expect(open).toContain(`${path}\``);
  }
  for (const role of roles) expect(documents).toContain(`| \`${role}\``);
  const wrong = spansOf(documents).filter((span) => /^LLMOPS_[A-Z_]+$/.test(span) && !(span in settings));
  expect(wrong).toEqual([]);
});

test("names the routes of limits and budgets with the least role for each, and what holds without them", () => {
  const text = read("docs/limits.md");
  const [routes] = text.split("\n## ");
  const listed = rowsOf(routes ?? "").map(([route = "", role]) => [...spansOf(route), role]);
  const ours = Object.entries(permissions).filter(([route]) =>
    /^\w+ \/(?:rate-limit|budget|rate)\b/.test(route),
  );
  expect(listed.sort()).toEqual(ours.map(([route, role]) => [route, role]).sort());
  const [requests, tokens, concurrency] = Object.values(defaultRateLimit).map((each) =>
    each.toLocaleString("en"),
  );
  const builtIn = `${requests} requests and ${tokens} tokens in a minute and ${concurrency} calls at once`;
  expect(sectionOf(text, "Limits")).toContain(builtIn);
});

/** The line that a command dies with. */
async function lastLine(args: string[], env: Record<string, string>): Promise<string> {
  const child = Bun.spawn([process.execPath, join(root, "src/main.ts"), ...args], {
    cwd: tmpdir(),
    env: { PATH: process.env.PATH ?? "", ...env },
    stdout: "ignore",
    stderr: "pipe",
  });
  const [code, text] = await Promise.all([child.exited, new Response(child.stderr).text()]);
  expect(code).toBe(1);
  return text.trimEnd().split("\n").at(-1) ?? "";
}

const messageOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "it did not fail",
    (error: Error) => `llmops: ${error.message}`,
  );

async function databaseAway(): Promise<string> {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = server;
  server.stop(true);
  const url = `postgres://llmops:secret@127.0.0.1:${port}/llmops`;
  return (await lastLine(["migrate", "status"], { DATABASE_URL: url })).replaceAll(String(port), "5432");
}

async function portInUse(): Promise<string> {
  await using database = await createDatabase();
  using other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const port = String(other.port);
  const line = await lastLine(["serve", "--port", port], { DATABASE_URL: database.url });
  return line.replaceAll(port, "5000");
}

async function newerSchema(): Promise<string> {
  await using database = await createDatabase();
  await database.sql`insert into migration (name) values ('00002-add-tag.js')`;
  return await lastLine(["migrate", "up"], { DATABASE_URL: database.url });
}

async function failedMigration(folder: string): Promise<string> {
  await using database = await createDatabase({ empty: true });
  mkdirSync(join(folder, "migrations"));
  const statement = "export const up = (sql) => sql`alter table nothing add column tag text`;\n";
  await Bun.write(join(folder, "migrations/00002-add-tag.js"), statement);
  return await messageOf(createMigrations({ url: database.url, log: silentLog, root: folder }).up());
}

async function folderInUse(folder: string): Promise<string> {
  const serve = () =>
    startEmbedded({ dataDir: folder, archive: embeddedPostgresArchive, log: silentLog, role: "serve" });
  await using _first = await serve();
  const message = await messageOf(serve());
  return message.replace(String(process.pid), "4242").replace(folder, "/srv/llmops-data");
}

function folderDenied(): string {
  const denied = Object.assign(new Error("permission denied"), { code: "EACCES" });
  const message = String((folderError(denied, "/srv/llmops-data") as Error).message);
  return `llmops: ${message.replace(/user \d+/, "user 1000")}`;
}

/** The message of a question that was not answered, in both languages. */
async function unanswered(app: TestApp): Promise<string[]> {
  const body = { query: "hello", model: "kimi-k2.5" };
  const [zh, en] = await Promise.all(
    ["zh", "en"].map((language) =>
      app.call("POST", "/app/completion", { body, headers: { "accept-language": language } }),
    ),
  );
  return [zh?.message ?? "", en?.message ?? ""];
}

test("shows the messages that the program dies or answers with", async () => {
  const folder = mkdtempSync(join(tmpdir(), "llmops-docs-"));
  await using upstream = await startUpstream();
  upstream.script("*", behaviours.status(401));
  await using keyless = await startTestApp();
  await using refused = await startTestApp({
    environment: { OPEN_API_KEY: "sk-wrong", OPEN_API_BASE: upstream.baseUrl },
  });
  try {
    const real = [
      await databaseAway(),
      ...(await unanswered(keyless)),
      ...(await unanswered(refused)),
      await failedMigration(folder),
      await newerSchema(),
      await portInUse(),
      await folderInUse(join(folder, "data")),
      folderDenied(),
    ];
    const shown = blocksOf(sectionOf(read("README.md"), "Troubleshooting")).flatMap(({ text }) =>
      text.split("\n"),
    );
    expect(shown).toEqual(real);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
