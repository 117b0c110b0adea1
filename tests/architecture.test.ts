import { describe, expect, test } from "bun:test";
import { posix } from "node:path";

/** What a room may import beside itself and the leaves. A `type:` in front allows no values. */
interface Room {
  rooms: readonly string[];
  packages: readonly string[];
}

/** May be imported by all, and import each other at most. */
const leaves = [
  "config",
  "errors",
  "i18n",
  "log",
  "clock",
  "id",
  "version",
  "drain",
  "address",
  "file-lock",
  "every",
  "remembered",
  "signal",
  "soon",
];

/** Everything may be imported here, and nothing of it elsewhere. */
const wiring = ["main", "cli", "app", "context", "server"];

/** The walls of the house. A room that is not listed here does not exist. */
const table: Record<string, Room> = {
  routes: { rooms: ["handlers", "auth", "type:services"], packages: ["elysia", "@sinclair/typebox"] },
  handlers: {
    rooms: ["type:services", "type:gateway", "type:auth", "type:providers", "type:openapi", "type:metering"],
    packages: ["swagger-ui-dist"],
  },
  services: {
    rooms: ["sql", "gateway", "providers", "metering", "limits", "auth", "type:database", "type:keyring"],
    packages: ["openid-client", "openai"],
  },
  sql: { rooms: [], packages: ["type:postgres"] },
  auth: { rooms: ["sql", "type:database"], packages: ["jose", "node:crypto"] },
  keyring: { rooms: ["sql", "database"], packages: ["node:"] },
  gateway: { rooms: ["providers", "metering"], packages: ["bun", "node:crypto"] },
  metering: { rooms: ["sql", "type:database", "type:providers", "type:gateway"], packages: ["node:"] },
  limits: {
    rooms: ["sql", "metering", "gateway", "type:database", "type:providers"],
    packages: [],
  },
  providers: { rooms: [], packages: ["openai", "node:", "bun"] },
  database: { rooms: [], packages: ["postgres", "ley", "node:", "bun"] },
  openapi: { rooms: [], packages: ["elysia", "@elysiajs/swagger"] },
  config: { rooms: [], packages: ["@sinclair/typebox", "node:"] },
  errors: { rooms: [], packages: [] },
  i18n: { rooms: [], packages: [] },
  log: { rooms: [], packages: [] },
  clock: { rooms: [], packages: [] },
  id: { rooms: [], packages: [] },
  version: { rooms: [], packages: [] },
  drain: { rooms: [], packages: [] },
  address: { rooms: [], packages: ["node:net"] },
  every: { rooms: [], packages: [] },
  remembered: { rooms: [], packages: [] },
  signal: { rooms: [], packages: [] },
  soon: { rooms: [], packages: [] },
  "file-lock": { rooms: [], packages: ["bun:sqlite", "node:fs"] },
};

interface Import {
  from: string;
  typeOnly: boolean;
}

/** Every import and re-export of a TypeScript file, dynamic ones too. Comments do not count. */
function importsOf(code: string): Import[] {
  const found: Import[] = [];
  for (const [, type, what = "", from = ""] of code.matchAll(
    /^\s*(?:import|export)\s+(type\s+)?((?:[\w$*]|\s|,|\{[^}]*\})*?)\s*from\s*["']([^"']+)["']/gm,
  )) {
    const names = what
      .match(/^\{([^}]*)\}$/)?.[1]
      ?.split(",")
      .map((name) => name.trim());
    const allTypes = names?.filter(Boolean).every((name) => name.startsWith("type ")) ?? false;
    found.push({ from, typeOnly: type !== undefined || allTypes });
  }
  for (const [, from = ""] of code.matchAll(/^\s*import\s+["']([^"']+)["']/gm))
    found.push({ from, typeOnly: false });
  for (const [, from = ""] of code.matchAll(/\b(?:import|require)\(\s*["']([^"']+)["']/g)) {
    found.push({ from, typeOnly: false });
  }
  return found;
}

/** Comments removed; a `//` within a string stays. */
const withoutComments = (text: string) =>
  text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/[^\n]*/g, "$1");

const roomOf = (file: string) =>
  file.includes("/") ? file.slice(0, file.indexOf("/")) : file.replace(/\.ts$/, "");

const allows = (
  list: readonly string[],
  wanted: string,
  typeOnly: boolean,
  matches = (a: string, b: string) => a === b,
) =>
  list.some((each) => {
    const [, type, name = ""] = /^(type:)?(.*)$/.exec(each) ?? [];
    return matches(name, wanted) && (type === undefined || typeOnly);
  });

const isOf = (name: string, wanted: string) =>
  wanted === name ||
  wanted.startsWith(name.endsWith(":") ? name : `${name}/`) ||
  (name === "bun" && wanted.startsWith("bun:"));

/** What is wrong with one file under `src/`, by its path there and its text; nothing for most. */
function violations(file: string, text: string): string[] {
  const code = withoutComments(text);
  const room = roomOf(file);
  const wrong: string[] = [];
  if (
    file !== "config/environment.ts" &&
    /\b(?:process|Bun|import\.meta)\s*(?:\.env\b|\[\s*["']env["']\s*\])/.test(code)
  ) {
    wrong.push("reads the environment");
  }
  if (/\bconsole\b\s*[.[]/.test(code)) wrong.push("writes to the console");
  if (!wiring.includes(room) && /(?<![.\w])process\.(?:exit\s*\(|exitCode\s*=)/.test(code))
    wrong.push("ends the process");
  if (wiring.includes(room)) return wrong;
  const walls = table[room];
  if (!walls) return [...wrong, `is in no room of the house: ${room}`];
  for (const { from, typeOnly } of importsOf(code)) {
    const kind = typeOnly ? "types" : "values";
    if (!from.startsWith(".")) {
      if (!allows(walls.packages, from, typeOnly, isOf)) wrong.push(`imports ${kind} of the package ${from}`);
      continue;
    }
    const target = posix.normalize(posix.join(posix.dirname(file), from));
    if (target.startsWith("../")) {
      const own = { "../package.json": "version", "../dist/postgres.tar.zst": "database" }[target];
      if (own !== room) wrong.push(`reaches out of src: ${from}`);
      continue;
    }
    const other = roomOf(target);
    if (other === room) continue;
    const open = leaves.includes(other) || (!leaves.includes(room) && allows(walls.rooms, other, typeOnly));
    if (!open) wrong.push(`imports ${kind} of ${other}`);
  }
  return wrong;
}

const files = [...new Bun.Glob("**/*.ts").scanSync("src")].filter((file) => !file.endsWith(".d.ts")).sort();

test("holds for every file of the house", async () => {
  expect(files.length).toBeGreaterThan(40);
  const found = await Promise.all(
    files.map(async (file) =>
      violations(file, await Bun.file(`src/${file}`).text()).map((wrong) => `${file} ${wrong}`),
    ),
  );
  expect(found.flat()).toEqual([]);
});

test("finds every import of every file, as the compiler sees them", async () => {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  for (const file of files) {
    const text = await Bun.file(`src/${file}`).text();
    const seen = importsOf(withoutComments(text)).map(({ from }) => from);
    // The compiler leaves out what is only types.
    for (const { path } of transpiler.scanImports(text))
      expect([file, seen]).toEqual([file, expect.arrayContaining([path])]);
  }
});

test("has no room without a tenant", () => {
  const rooms = new Set(files.map(roomOf));
  expect([...Object.keys(table), ...wiring].filter((room) => !rooms.has(room))).toEqual([]);
});

describe("a planted violation", () => {
  const value = (from: string) => `import { x } from "${from}";`;
  const planted: [file: string, text: string, wrong: string][] = [
    ["routes/app.ts", value("../sql/app.ts"), "imports values of sql"],
    ["routes/app.ts", value("../services/app.ts"), "imports values of services"],
    ["routes/app.ts", value("../database/pool.ts"), "imports values of database"],
    ["routes/app.ts", value("postgres"), "imports values of the package postgres"],
    ["handlers/app.ts", value("../sql/app.ts"), "imports values of sql"],
    ["handlers/app.ts", 'import type { App } from "../sql/app.ts";', "imports types of sql"],
    ["handlers/app.ts", 'import type { Context } from "elysia";', "imports types of the package elysia"],
    ["handlers/app.ts", value("../services/app.ts"), "imports values of services"],
    ["services/app.ts", value("elysia"), "imports values of the package elysia"],
    ["services/app.ts", value("../handlers/app.ts"), "imports values of handlers"],
    ["services/app.ts", value("../database/pool.ts"), "imports values of database"],
    ["services/app.ts", 'import type { Envelope } from "../routes/app.ts";', "imports types of routes"],
    ["services/app.ts", "const key = process.env.KEY;", "reads the environment"],
    ["services/app.ts", "const { KEY } = Bun.env;", "reads the environment"],
    ["services/app.ts", 'const key = process["env"].KEY;', "reads the environment"],
    ["services/app.ts", 'console.log("x");', "writes to the console"],
    ["services/app.ts", "process.exit(1);", "ends the process"],
    ["sql/app.ts", value("../services/app.ts"), "imports values of services"],
    ["sql/app.ts", value("postgres"), "imports values of the package postgres"],
    ["auth/admission.ts", value("../services/app.ts"), "imports values of services"],
    ["gateway/completion.ts", value("../sql/app.ts"), "imports values of sql"],
    ["gateway/completion.ts", value("elysia"), "imports values of the package elysia"],
    ["providers/openai.ts", value("../services/app.ts"), "imports values of services"],
    ["providers/openai.ts", value("../gateway/completion.ts"), "imports values of gateway"],
    ["database/pool.ts", value("../sql/app.ts"), "imports values of sql"],
    ["database/pool.ts", value("../services/app.ts"), "imports values of services"],
    ["errors/envelope.ts", value("../routes/app.ts"), "imports values of routes"],
    ["errors/envelope.ts", 'import type { Sql } from "../database/pool.ts";', "imports types of database"],
    ["config/config.ts", value("../database/pool.ts"), "imports values of database"],
    ["i18n/messages.ts", value("elysia"), "imports values of the package elysia"],
    ["log.ts", value("./sql/app.ts"), "imports values of sql"],
    ["id.ts", value("./server.ts"), "imports values of server"],
    ["drain.ts", value("./context.ts"), "imports values of context"],
    ["openapi/document.ts", value("../app.ts"), "imports values of app"],
    ["services/app.ts", value("../cli/run.ts"), "imports values of cli"],
    [
      "services/app.ts",
      value("../../tests/harness/app.ts"),
      "reaches out of src: ../../tests/harness/app.ts",
    ],
    ["services/app.ts", value("../../package.json"), "reaches out of src: ../../package.json"],
    ["helpers/utils.ts", "", "is in no room of the house: helpers"],
    ["utils.ts", "", "is in no room of the house: utils"],
    ["cli/serve.ts", "const port = process.env.PORT;", "reads the environment"],
    ["app.ts", "console.error(1);", "writes to the console"],
    // However it is spelt.
    ["sql/app.ts", 'import {\n  type A,\n  b,\n} from "../services/app.ts";', "imports values of services"],
    ["sql/app.ts", 'import "../services/app.ts";', "imports values of services"],
    ["sql/app.ts", 'const x = await import("../services/app.ts");', "imports values of services"],
    ["sql/app.ts", 'const x = require("../services/app.ts");', "imports values of services"],
    ["sql/app.ts", 'export * from "../services/app.ts";', "imports values of services"],
    ["sql/app.ts", 'export { x } from "../services/app.ts";', "imports values of services"],
    ["sql/app.ts", 'import * as x from "../services/app.ts";', "imports values of services"],
    ["sql/app.ts", 'import x, { y } from "../services/app.ts";', "imports values of services"],
    ["sql/app.ts", "import { x } from '../services/app.ts'", "imports values of services"],
  ];

  for (const [file, text, wrong] of planted) {
    test(`is found: ${file} ${wrong}, written ${JSON.stringify(text)}`, () => {
      expect(violations(file, text)).toEqual([wrong]);
    });
  }

  test("is not seen where there is none", () => {
    for (const [file, text] of [
      [
        "services/app.ts",
        'import type { Sql } from "../database/pool.ts";\nimport { findApp } from "../sql/app.ts";',
      ],
      ["services/app.ts", 'import { type Sql } from "../database/pool.ts";'],
      ["services/app.ts", "// console.log(process.env.X)\n/* import { x } from '../routes/app.ts' */"],
      ["config/environment.ts", "export const environment = () => process.env;"],
      ["cli/doctor.ts", value("../database/pool.ts")],
      ["handlers/app.ts", 'import type { AppService } from "../services/app.ts";'],
    ] as const) {
      expect(violations(file, text)).toEqual([]);
    }
  });
});
