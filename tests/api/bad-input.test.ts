import { describe, expect, test } from "bun:test";
import { createConnection } from "node:net";
import { documentedRoutes } from "../../scripts/docs.ts";
import { createDrain } from "../../src/drain.ts";
import type { Envelope } from "../../src/errors/envelope.ts";
import { silentLog } from "../../src/log.ts";
import { startServer } from "../../src/server.ts";
import { type CallOptions, startTestApp, type TestApp, toRequest } from "../harness/app.ts";
import { appRows } from "../harness/rows.ts";

/** Stands in every bad value, so that an answer that repeats one is seen. */
const canary = "CaNaRy";

/** An app, and what is stored of it. */
async function startWithOneApp() {
  const app = await startTestApp();
  const { data } = await app.call<{ id: string }>("POST", "/app", { body: { name: "kept", icon: "i" } });
  const before = await appRows(app.database.sql);
  return { app, id: data.id, before, [Symbol.asyncDispose]: () => app[Symbol.asyncDispose]() };
}

/** Calls, and checks all that holds for every refusal; returns the fields that are named. */
async function refusal(app: TestApp, method: string, path: string, options: CallOptions = {}) {
  const response = await app.fetch(toRequest(method, path, options));
  const text = await response.text();
  const at = `${method} ${path.slice(0, 100)} ${JSON.stringify(options.body)?.slice(0, 200)} -> ${text.slice(0, 300)}`;
  expect(response.status, at).toBe(200);
  expect(response.headers.get("x-llmops-code"), at).toBe("VALIDATE_ERROR");
  expect(text.toLowerCase(), at).not.toContain(canary.toLowerCase());
  expect(text.length, at).toBeLessThan(4000);
  const { code, message, data } = JSON.parse(text) as Envelope<Record<string, string[]>>;
  expect({ code, message }, at).toEqual({ code: "VALIDATE_ERROR", message: "参数校验失败" });
  for (const problems of Object.values(data)) {
    expect(problems, at).toEqual([expect.stringMatching(/./)]);
    expect(problems.join(), at).not.toMatch(/\{\w+\}|undefined|NaN/);
  }
  return data;
}

/** Values of every JSON type; each field refuses those that are not its own. */
const values = {
  null: null,
  boolean: true,
  number: 7,
  infinite: Number.NaN,
  string: canary,
  array: [canary],
  object: { [`${canary}1`]: canary },
};
type Kind = keyof typeof values;
const not = (...kinds: Kind[]): unknown[] =>
  Object.entries(values)
    .filter(([kind]) => !kinds.includes(kind as Kind))
    .map(([, value]) => value);

const texts = (maxLength: number, minLength = 0) => [
  ...not("string"),
  ...(minLength > 0 ? [""] : []),
  canary.padEnd(maxLength + 1, "x"),
  canary.padEnd(maxLength * 3, "x"),
  `${"🙂".repeat(maxLength)}x`,
  `${canary}\0`,
  `\0${canary}`,
  `${canary}\ud83d`,
  `\ude42${canary}`,
  `\ude42\ud83d${canary}`,
];
const words = [...not(), "", canary, "disabled ", "DISABLED", "disabled\0"];
const numbers = (below: number, above: number) => [...not("number"), below, above, "1", "7"];

const lists = (items: unknown[], most: unknown): unknown[] => [
  ...not("array"),
  ...items.map((item) => [item]),
  Array(101).fill(most),
];

const config: Record<string, unknown[]> = {
  model: texts(255, 1),
  system_prompt: texts(32_768),
  parameters: not("object"),
  "parameters.temperature": numbers(-0.1, 2.1),
  "parameters.top_p": numbers(-0.1, 1.1),
  "parameters.max_tokens": [...numbers(0, 10_000_001), 1.5],
  "parameters.max_completion_tokens": [...numbers(0, 10_000_001), 1.5],
  "parameters.reasoning_effort": texts(32, 1),
  "parameters.presence_penalty": numbers(-2.1, 2.1),
  "parameters.frequency_penalty": numbers(-2.1, 2.1),
  "parameters.seed": [...numbers(-(2 ** 53), 2 ** 53), 0.5],
  "parameters.stop": [
    ...not("string", "array"),
    "",
    canary.padEnd(65, "x"),
    "\0",
    [1],
    [""],
    [canary.padEnd(65, "x")],
    ["\ud800"],
    [[canary]],
    ["1", "2", "3", "4", canary],
  ],
  "parameters.response_format": not("object"),
  "parameters.response_format.type": [...not(), canary, "", "json_schema", "TEXT"],
  targets: [...not("array"), [], Array(17).fill({ model: "x" })],
  routing: [...not(), canary, "", "random"],
  models: lists([...not("string"), "", "\0", canary.padEnd(256, "x")], canary),
  locked: lists([...not("string"), "", "\0", canary.padEnd(65, "x")], canary),
  content: [...not(), canary, "", "FULL"],
  cache: not("object"),
  "cache.ttl_seconds": [...numbers(0, 86_401), 1.5],
};

const app: Record<string, unknown[]> = {
  name: texts(255, 1),
  icon: texts(2048),
  description: texts(2000),
  config: not("object"),
  ...Object.fromEntries(Object.entries(config).map(([field, bad]) => [`config.${field}`, bad])),
};

const emails = [
  ...not("string"),
  "",
  canary,
  `@${canary}.example`,
  `${canary}@`,
  `${canary}@example`,
  `${canary}@.example`,
  `${canary}@example.`,
  `${canary}@a..example`,
  `a b@${canary}.example`,
  `a@b@${canary}.example`,
  `<a@${canary}.example>, b@${canary}.example`,
  `a@${canary}.example\n`,
  `\0@${canary}.example`,
  `\ud800@${canary}.example`,
  `${"x".repeat(65)}@${canary}.example`,
  `a@${canary}.${"x".repeat(254)}`,
];
const passwords = texts(256, 8);
const roleWords = [...not(), "", canary, "Owner", "owner ", "root", "superuser", "owner\0"];

const model: Record<string, unknown[]> = {
  name: [...texts(255, 1), "a b", "app", "echo", "3f0e6f2a-6a51-4c55-8f0c-2d1a9b7c4e11"],
  provider_id: [...not("string", "null"), "", canary, "3f0e6f2a-6a51-4c55-8f0c-2d1a9b7c4e11"],
  parameter_rules: not("object"),
  targets: [...not("array"), Array(17).fill({ model: "x" })],
  routing: [...not(), canary, "", "random"],
  output_tokens_max: [...not("number", "null"), 0, -1, 1.5, 100_000_001],
  image_tokens_max: [...not("number", "null"), 0, -1, 1.5, 100_000_001],
  status: words.filter((word) => word !== "" && word !== "disabled"),
};
const provider: Record<string, unknown[]> = {
  name: [...texts(255, 1), "default", "echo"],
  dialect: [...not(), canary, "", "OpenAI"],
  base_url: [
    ...texts(2048),
    canary,
    "ftp://models.example",
    "http://models.example",
    "https://user:pass@models.example",
    "https://models.example?x=1",
    "https://127.0.0.1/v1",
    "https://localhost/v1",
    "https://169.254.169.254",
    "https://[::1]/v1",
    "https://0x7f.1/",
    "https://[64:ff9b::a00:1]",
  ],
  api_key: texts(4096, 1).filter((value) => value !== null),
  timeouts: not("object"),
  "timeouts.connect": numbers(0, 86_401),
  concurrency_max: [...not("number", "null"), 0, -1, 1.5],
  local: [...not("boolean"), "true", 1, 0],
  status: words.filter((word) => word !== "" && word !== "disabled"),
};
const amounts = [
  ...not("string"),
  "",
  canary,
  "-1",
  "1e3",
  ".5",
  "1.",
  "1,5",
  "NaN",
  "1234567890123",
  "0.1234567890123",
];

const most = [...not("number", "null"), 0, -1, 1.5, 1_000_000_000_001];
const times = [
  ...not("string"),
  "",
  canary,
  "2099-01-01",
  "0000-12-31T23:59:59Z",
  "0001-01-01T00:00:00+00:01",
  "9999-12-31T23:59:59-00:01",
];
const currencies = [...not("string"), "", canary, "cny", "CN", "CNYX"];
/** Of nobody. */
const stranger = "3f0e6f2a-6a51-4c55-8f0c-2d1a9b7c4e11";
const budget: Record<string, unknown[]> = {
  name: texts(255, 1),
  amount: amounts,
  hard: [...not("boolean"), "true", 1, 0],
  warn_at: [
    ...not("array"),
    ...[0, 0.0009, 1.1, -1, 0.1234, "0.5", null].map((each) => [each]),
    Array(11).fill(1),
  ],
  status: words.filter((word) => word !== "" && word !== "disabled"),
};

/** Every route with a body, and what its fields refuse. */
const bodies: Record<string, Record<string, unknown[]>> = {
  "POST /provider": provider,
  "POST /provider/:id": {},
  "POST /provider/:id/delete": {},
  "POST /provider/:id/test": {},
  "POST /model": model,
  "POST /model/:id": {},
  "POST /model/:id/delete": {},
  "POST /model/:id/test": {},
  "POST /model/:id/price": {
    valid_from: times,
    above_prompt_tokens: [...numbers(-1, 100_000_001), 0.5],
    currency: currencies,
    prompt: amounts,
    cached: amounts,
    cache_write: amounts,
    cache_write_long: amounts,
    completion: amounts,
    reasoning: amounts,
    source: texts(2048),
  },
  "POST /model/:id/price/:price_id/delete": {},
  "POST /rate-limit": {
    scope: [...not(), "", canary, "App", "model "],
    subject: [...texts(255), canary, stranger, "app"],
    end_user: [...texts(255), canary],
    requests: most,
    tokens: most,
    concurrency: most,
  },
  "POST /rate-limit/:id": {},
  "POST /rate-limit/:id/delete": {},
  "POST /budget": {
    ...budget,
    scope: [...not(), "", canary, "model", "App"],
    subject_id: [...not("string"), "", canary, stranger],
    end_user: [...texts(255, 1).filter((value) => value !== null), canary],
    period: [...not(), "", canary, "year", "Day"],
    time_zone: [
      ...texts(64, 1),
      canary,
      "Asia/Nowhere",
      "+08:00",
      "-08",
      "UTC+8",
      "Etc/GMT+99",
      "CET",
      "localtime",
      "posixrules",
      "posix/Asia/Shanghai",
      "../../etc/passwd",
      "Asia/Shanghai ",
      "Asia/Shanghai'",
    ],
    currency: currencies,
  },
  "POST /budget/:id": {},
  "POST /budget/:id/delete": {},
  "POST /rate": {
    base: currencies,
    quote: [...currencies, "USD"],
    value: [...amounts, "0", "0.0", "000"],
    valid_from: times,
    source: texts(2048),
  },
  "POST /rate/:id/delete": {},
  "POST /app": app,
  "POST /app/:id": { ...app, status: words.filter((word) => word !== "") },
  "POST /app/:id/delete": {},
  "POST /app/completion": {
    query: texts(2000, 1),
    model: [...texts(255, 1), canary],
    stream: [...not("boolean"), "true", 1, 0],
  },
  "POST /app/:id/member": { email: emails, role: [...roleWords, "owner", "admin"] },
  "POST /app/:id/member/:account_id/delete": {},
  "POST /app/:id/key": {
    name: texts(255),
    models: lists([...not("string"), "", "\0", "\ud800", canary.padEnd(256, "x")], canary),
    address_ranges: lists(
      [
        ...not("string"),
        "",
        canary,
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/8/8",
        "10.0.0.0/",
        "10.0.0",
        "010.0.0.1/8",
        "10.0.0.0/8 ",
        "::/129",
        "::1%eth0",
        "*",
      ],
      "10.0.0.0/8",
    ),
    expires_at: [
      ...not("string"),
      "",
      canary,
      "2099-01-01",
      "2099-01-01T00:00:00",
      "2099-13-01T00:00:00Z",
      "2099-01-01 00:00:00Z",
      "+012099-01-01T00:00:00Z",
      "1999-01-01T00:00:00Z",
      "infinity",
    ],
  },
  "POST /app/:id/key/:key_id/rotate": { overlap: [...numbers(-1, 2_592_001), 0.5] },
  "POST /app/:id/key/:key_id/delete": {},
  "POST /account": { email: emails, name: texts(255), password: passwords, role: roleWords },
  "POST /account/:id": { name: texts(255), role: roleWords, status: [...words.slice(0, -5), "archived"] },
  "POST /account/:id/delete": {},
  "POST /auth/login": { email: emails, password: texts(256, 1), cookie: [...not("boolean"), "true", 1, 0] },
  "POST /auth/refresh": { refresh_token: texts(255, 1) },
  "POST /auth/logout": { refresh_token: texts(255, 1) },
  "POST /auth/setup": { token: texts(255, 1), email: emails, password: passwords, name: texts(255) },
  "POST /auth/password": { current: texts(256, 1), next: passwords },
  "POST /auth/session/:id/delete": {},
  "POST /oidc": {
    issuer: texts(2048, 1),
    client_id: texts(255, 1),
    client_secret: texts(4096),
    scopes: texts(1024, 1),
    allowed_domains: lists([...not("string"), "", "\0", canary.padEnd(254, "x")], canary),
    role_claim: texts(255),
    default_role: [...roleWords, "owner", "admin"],
    enabled: [...not("boolean"), "true", 1, 0],
  },
};

/** What a route needs beside the field that is under test. */
const required: Record<string, object> = {
  "POST /provider": { name: "x", base_url: "https://models.example" },
  "POST /model": { name: "x", upstream_name: "x" },
  "POST /model/:id/price": { currency: "CNY", prompt: "1", completion: "1" },
  "POST /rate-limit": { scope: "key" },
  "POST /budget": {
    ...{ name: "x", scope: "account", subject_id: stranger, period: "day", currency: "CNY", amount: "1" },
  },
  "POST /rate": { base: "USD", quote: "CNY", value: "7.1" },
  "POST /app/completion": { query: "hi", model: "echo" },
  "POST /app/:id/member": { email: "a@b.example", role: "viewer" },
  "POST /account": { email: "a@b.example", role: "viewer" },
  "POST /auth/login": { email: "a@b.example", password: "x" },
  "POST /auth/setup": { token: "x", email: "a@b.example", password: "12345678" },
  "POST /auth/password": { current: "x", next: "12345678" },
};

/** Complete but for the field that is under test. */
const rest = (route: string) => required[route] ?? {};

/** `a.b` and 1 -> { a: { b: 1 } } */
const nest = (field: string, value: unknown): object => {
  const [first = "", ...more] = field.split(".");
  return { [first]: more.length === 0 ? value : nest(more.join("."), value) };
};

const resolve = (route: string, id: string) => {
  const [method = "", path = ""] = route.replace(/:\w+/g, id).split(" ");
  return [method, path] as const;
};

/** 50 MiB in 50 KiB. */
const gzipBomb = Bun.gzipSync(Buffer.alloc(50 * 1024 * 1024));

test("the table of bodies names every route that takes one", () => {
  const { routes } = documentedRoutes();
  // The data plane takes whatever its dialects have.
  const withBody = routes.filter(({ method, path }) => method === "POST" && !path.startsWith("/v1/"));
  expect(Object.keys(bodies).sort()).toEqual(
    withBody.map(({ method, path }) => `${method} ${path.replace(/(?<=.)\/$/, "")}`).sort(),
  );
});

describe("the body", () => {
  for (const [route, fields] of Object.entries(bodies)) {
    if (Object.keys(fields).length > 0) {
      test(`refuses every bad value of every field of ${route}, and names the field alone`, async () => {
        await using it = await startWithOneApp();
        const [method, path] = resolve(route, it.id);
        for (const [field, bad] of Object.entries(fields)) {
          for (const value of bad) {
            // What is no JSON value on its own is written the way a number that is too large arrives.
            const body = JSON.stringify({ ...rest(route), ...nest(field, value) }, (_, each) =>
              Number.isNaN(each) ? "∞" : each,
            ).replaceAll('"∞"', "1e999");
            const named = Object.keys(await refusal(it.app, method, path, { body }));
            expect([field, value, named.map((each) => each.replace(/\.\d+$/, ""))]).toEqual([
              field,
              value,
              [field],
            ]);
          }
        }
        expect(await appRows(it.app.database.sql)).toEqual(it.before);
      });
    }
  }

  test("refuses unknown fields of every route at every level, and names them", async () => {
    await using it = await startWithOneApp();
    for (const [route, fields] of Object.entries(bodies)) {
      const [method, path] = resolve(route, it.id);
      const levels = [
        "",
        ...Object.keys(fields).filter((field) => /config$|parameters$|format$/.test(field)),
      ];
      for (const level of levels) {
        for (const name of ["unknown", "__proto__", "constructor", "toString", "Name", "id", "account_id"]) {
          const field = level ? `${level}.${name}` : name;
          const type = level.endsWith("response_format") ? '"type":"text",' : "";
          const inner = `{${type}${JSON.stringify(name)}:{"x":"${canary}"}}`;
          const outer = level
            .split(".")
            .filter(Boolean)
            .reduceRight((json, part) => `{${JSON.stringify(part)}:${json}}`, inner);
          const before = JSON.stringify(rest(route)).slice(0, -1);
          const body = `${before}${before === "{" ? "" : ","}${outer.slice(1)}`;
          expect(Object.keys(await refusal(it.app, method, path, { body }))).toEqual([field]);
        }
      }
      expect(await appRows(it.app.database.sql)).toEqual(it.before);
      expect(({} as Record<string, unknown>).x).toBeUndefined();
    }
  }, 30_000);

  test("refuses unknown fields of every route without repeating names that are no names", async () => {
    await using it = await startWithOneApp();
    for (const route of Object.keys(bodies)) {
      const [method, path] = resolve(route, it.id);
      for (const name of [
        `${canary} x`,
        `<${canary}>`,
        canary.padEnd(65, "x"),
        `${canary}\n`,
        `${canary}é`,
        "",
      ]) {
        const body = { ...rest(route), [name]: 1 };
        expect(Object.keys(await refusal(it.app, method, path, { body }))).toEqual(["body"]);
      }
    }
  }, 30_000);

  test("refuses what is no JSON object for every route, and names the body", async () => {
    await using it = await startWithOneApp();
    for (const route of Object.keys(bodies)) {
      const [method, path] = resolve(route, it.id);
      const bytes = (...parts: (string | number[])[]) =>
        Buffer.concat(parts.map((part) => Buffer.from(part as string)));
      const bad: (string | Uint8Array)[] = [
        "{",
        "}",
        " ",
        canary,
        `{"name":"${canary}"`,
        `{"name":"${canary}",}`,
        `{'name':'${canary}'}`,
        `{"name":NaN}`,
        `{"name":"${canary}"}{}`,
        `{"name":"\n${canary}"}`,
        `name=${canary}`,
        "[]",
        `[{"name":"${canary}"}]`,
        "null",
        "true",
        "7",
        "1e999",
        `"${canary}"`,
        "\0",
        bytes('{"name":"', [0xff], `${canary}"}`),
        bytes('{"name":"', [0xc0, 0x80], `${canary}"}`),
        bytes('{"name":"', [0xed, 0xa0, 0x80], `${canary}"}`),
        bytes('{"name":"', [0xf4, 0x90, 0x80, 0x80], `${canary}"}`),
        bytes([0xff, 0xfe], Buffer.from(`{"name":"${canary}"}`, "utf16le").toString("latin1")),
        Bun.gzipSync(Buffer.from(`{"name":"${canary}"}`)),
      ];
      for (const body of bad) {
        expect(Object.keys(await refusal(it.app, method, path, { body }))).toEqual(["body"]);
      }
      expect(await appRows(it.app.database.sql)).toEqual(it.before);
    }
  }, 30_000);

  test("refuses every nesting bomb for every route at once", async () => {
    await using it = await startWithOneApp();
    for (const route of Object.keys(bodies)) {
      const [method, path] = resolve(route, it.id);
      const bomb = (open: string, close: string, times: number) => open.repeat(times) + close.repeat(times);
      const bad = [
        bomb("[", "]", 500_000),
        "[".repeat(1_000_000),
        "{".repeat(1_000_000),
        `{"name":${bomb("[", "]", 400_000)}}`,
        `{"query":${bomb("[", "]", 400_000)}}`,
        `{"name":${'{"a":'.repeat(150_000)}1${"}".repeat(150_000)}}`,
        `{"config":${'{"config":'.repeat(80_000)}1${"}".repeat(80_000)}}`,
        `{"config":{"parameters":{"stop":${bomb("[", "]", 400_000)}}}}`,
        `{"unknown":${bomb("[", "]", 33)}}`,
        `{"unknown":"]]]]\\"]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]","x":${bomb("[", "]", 32)}}`,
      ];
      for (const body of bad) {
        const started = performance.now();
        expect(await refusal(it.app, method, path, { body })).toEqual({ body: ["嵌套不能超过 32 层"] });
        expect(performance.now() - started).toBeLessThan(1000);
      }
      expect(await appRows(it.app.database.sql)).toEqual(it.before);
    }
  }, 30_000);

  test("refuses a body of every route of more than 1 MiB, however it comes, and reads no more than that", async () => {
    await using it = await startWithOneApp();
    for (const route of Object.keys(bodies)) {
      const [method, path] = resolve(route, it.id);
      const tooLarge = { body: ["请求体不能超过 1048576 字节"] };
      const body = `{"name":"${"x".repeat(1024 * 1024)}"}`;
      expect(await refusal(it.app, method, path, { body })).toEqual(tooLarge);
      const promised = { "content-length": "99999999999", "content-type": "application/json" };
      expect(await refusal(it.app, method, path, { body: "{}", headers: promised })).toEqual(tooLarge);

      let sent = 0;
      const endless = new ReadableStream<Uint8Array>(
        {
          pull(controller) {
            sent += 65_536;
            controller.enqueue(new Uint8Array(65_536).fill(0x20));
          },
        },
        { highWaterMark: 0 },
      );
      const response = await it.app.fetch(
        new Request(`http://localhost:5000${path}`, {
          method,
          body: endless,
          headers: { "content-type": "application/json" },
        }),
      );
      expect(await response.json()).toEqual({
        code: "VALIDATE_ERROR",
        message: "参数校验失败",
        data: tooLarge,
      });
      expect(sent).toBeLessThanOrEqual(1024 * 1024 + 2 * 65_536);
      expect(await appRows(it.app.database.sql)).toEqual(it.before);
    }
  }, 30_000);

  test("refuses a compressed or undeclared body for every route", async () => {
    await using it = await startWithOneApp();
    for (const route of Object.keys(bodies)) {
      const [method, path] = resolve(route, it.id);
      const body = JSON.stringify({ ...rest(route), name: canary });
      for (const encoding of ["gzip", "GZIP", "deflate", "br", "zstd", "gzip, identity", canary]) {
        const headers = { "content-encoding": encoding };
        expect(await refusal(it.app, method, path, { body: gzipBomb, headers })).toEqual({
          body: ["不接受压缩的请求体"],
        });
      }
      for (const type of [
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "application/jsonx",
        "application/octet-stream",
        `application/${canary}`,
      ]) {
        const headers = { "content-type": type };
        expect(await refusal(it.app, method, path, { body, headers })).toEqual({
          body: ["Content-Type 应为 application/json"],
        });
      }
      expect(await appRows(it.app.database.sql)).toEqual(it.before);
    }
  }, 30_000);

  test("refuses a question that is missing, in every way to miss it", async () => {
    await using it = await startWithOneApp();
    for (const options of [{}, { body: {} }, { body: { model: "echo" } }, { body: { query: "" } }]) {
      expect(await refusal(it.app, "POST", "/app/completion", options)).toEqual({ query: ["必填"] });
    }
    expect(await refusal(it.app, "POST", "/app/completion", { body: { query: "x".repeat(2001) } })).toEqual({
      query: ["长度不能超过 2000 个字符"],
    });
  });

  test("names every bad field at once, but no more than 20", async () => {
    await using it = await startWithOneApp();
    const body = { name: 1, icon: 2, config: { model: 3, parameters: { top_p: 4 } } };
    expect(await refusal(it.app, "POST", "/app", { body })).toEqual({
      name: ["类型应为string"],
      icon: ["类型应为string"],
      "config.model": ["类型应为string"],
      "config.parameters.top_p": ["不能大于 1"],
    });
    const many = Object.fromEntries(Array.from({ length: 50_000 }, (_, index) => [`k${index}`, canary]));
    expect(Object.keys(await refusal(it.app, "POST", "/app", { body: many }))).toHaveLength(20);
  });

  test("names the bound that is broken, also where null would do", async () => {
    await using it = await startWithOneApp();
    const provider = { ...rest("POST /provider") };
    for (const [field, value, problem] of [
      ["concurrency_max", 0, "不能小于 1"],
      ["concurrency_max", 1_000_001, "不能大于 1000000"],
      ["concurrency_max", 1.5, "类型应为integer | null"],
      ["concurrency_max", "7", "类型应为integer | null"],
      ["api_key", "", "必填"],
      ["api_key", "x".repeat(4097), "长度不能超过 4096 个字符"],
      ["api_key", "\0", "不能包含 NUL 字符或不成对的代理字符"],
      ["api_key", 7, "类型应为string | null"],
    ] as const) {
      const body = { ...provider, [field]: value };
      expect(await refusal(it.app, "POST", "/provider", { body })).toEqual({ [field]: [problem] });
    }
  });

  test("takes the last of two fields with the same name, as JSON readers do, and stores nothing else", async () => {
    await using it = await startWithOneApp();
    const { data } = await it.app.call("POST", `/app/${it.id}`, { body: '{"name":"first","name":"second"}' });
    expect(data).toMatchObject({ name: "second" });
    await refusal(it.app, "POST", `/app/${it.id}`, { body: `{"name":"ok","name":["${canary}"]}` });
  });
});

describe("the path", () => {
  const badIds = [
    "1",
    canary,
    "019a1c2e7b1a7c3d9e4f5a6b7c8d9e0f",
    "{019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f}",
    "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0g",
    "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0",
    "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f0",
    "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f%00",
    "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f%0A",
    "%20019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f",
    "%00",
    "%FF",
    "%ED%A0%80",
    "%",
    "%zz",
    "__proto__",
    "constructor",
    "%27%20or%201=1--",
    "a%2Fb",
    "你好",
    "completion",
    canary.repeat(2000),
  ];

  test("refuses every id that is no UUID, on every route, and names it", async () => {
    await using it = await startWithOneApp();
    for (const id of badIds) {
      for (const [method, path] of [
        ["GET", `/app/${id}`],
        ["POST", `/app/${id}`],
        ["POST", `/app/${id}/delete`],
      ] as const) {
        if (`${method} ${path}` === "POST /app/completion") continue; // Another route.
        expect(await refusal(it.app, method, path)).toEqual({ id: ["不是有效的 UUID"] });
      }
    }
    expect(await appRows(it.app.database.sql)).toEqual(it.before);
  });

  test("refuses unknown paths and wrong methods with NOT_FOUND, whatever they carry", async () => {
    await using it = await startWithOneApp();
    const calls = [
      ["GET", "/"],
      ["GET", `/${canary}`],
      ["GET", `/app/${it.id}/${canary}`],
      ["GET", `/app/${it.id}/delete`],
      ["DELETE", `/app/${it.id}`],
      ["PUT", `/app/${it.id}`],
      ["PATCH", `/app/${it.id}`],
      ["PUT", "/app"],
      ["DELETE", "/app"],
      ["OPTIONS", "/app"],
      ["POST", "/ping"],
      ["POST", `/app/${it.id}/delete/${canary}`],
      ["GET", "/app/../../etc/passwd"],
      ["GET", "/%2e%2e/%2e%2e/etc/passwd"],
      ["GET", "/%00"],
      ["GET", "/%FF"],
      ["GET", "/__proto__"],
      ["GET", "//app"],
      ["GET", "/APP"],
      ["GET", `/${canary.repeat(2000)}`],
    ] as const;
    for (const [method, path] of calls) {
      for (const body of method === "GET" ? [undefined] : [undefined, "{", `{"name":"${canary}"}`]) {
        const response = await it.app.fetch(toRequest(method, path, { body }));
        const text = await response.text();
        expect([method, path.slice(0, 60), response.status, text]).toEqual([
          method,
          path.slice(0, 60),
          200,
          '{"code":"NOT_FOUND","message":"没有这个接口","data":{}}',
        ]);
      }
    }
    expect(await appRows(it.app.database.sql)).toEqual(it.before);
  });
});

describe("the query of GET /app", () => {
  const bad: [query: string, field: string][] = [
    ...[
      "0",
      "101",
      "-1",
      "1.5",
      "1e2",
      "1e999",
      "0x10",
      "",
      "%205",
      "5%20",
      canary,
      "%00",
      "NaN",
      "9".repeat(400),
    ].map((limit): [string, string] => [`limit=${limit}`, "limit"]),
    ...[
      "",
      "1",
      canary,
      "%00",
      "019a1c2e7b1a7c3d9e4f5a6b7c8d9e0f",
      "3f0e6f2a-6a51-4c55-8f0c-2d1a9b7c4e11",
    ].map((cursor): [string, string] => [`cursor=${cursor}`, "cursor"]),
    ...["", "%00", `a%00${canary}`, "x".repeat(256), "%F0%9F%99%82".repeat(256)].map(
      (search): [string, string] => [`search=${search}`, "search"],
    ),
    ...["%", "%F", "%zz", "%FF", "%C0%80", "%ED%A0%80", "%ED%A0%BD", "a%FFb", `${canary}%`].flatMap(
      (value): [string, string][] => [
        [`search=${value}`, "search"],
        [`status=${value}`, "status"],
        [`${value}=1`, "query"],
      ],
    ),
    ...[canary, "DISABLED", "%20", "%00", "null"].map((status): [string, string] => [
      `status=${status}`,
      "status",
    ]),
    ["unknown=1", "unknown"],
    ["unknown", "unknown"],
    ["offset=0", "offset"],
    ["__proto__=1", "__proto__"],
    ["__proto__[x]=1", "query"],
    ["constructor=1", "constructor"],
    ["limit[]=1", "query"],
    ["Limit=1", "Limit"],
    [`${canary}%20=1`, "query"],
    [`%00=${canary}`, "query"],
    ["limit=1&limit=2", "limit"],
    ["limit=1&limit=1", "limit"],
    ["search=a&search=b", "search"],
    ["search=a&status=&search=b", "search"],
    ["search=a&%73earch=b", "search"],
    [`unknown=${canary}&unknown=${canary}`, "unknown"],
  ];

  test("refuses every bad value, every unknown parameter and everything twice, and names it", async () => {
    await using it = await startWithOneApp();
    for (const [query, field] of bad) {
      expect([query.slice(0, 80), Object.keys(await refusal(it.app, "GET", `/app?${query}`))]).toEqual([
        query.slice(0, 80),
        [field],
      ]);
    }
  });

  test("says what is wrong in words", async () => {
    await using it = await startWithOneApp();
    const said = async (query: string) => Object.values(await refusal(it.app, "GET", `/app?${query}`)).flat();
    expect(await said("limit=0")).toEqual(["不能小于 1"]);
    expect(await said("limit=101")).toEqual(["不能大于 100"]);
    expect(await said("cursor=x")).toEqual(["不是有效的游标,请使用上一页返回的 next_cursor"]);
    expect(await said("search=%FF")).toEqual(["不是有效的百分号编码(UTF-8)"]);
    expect(await said("search=%00")).toEqual(["不能包含 NUL 字符或不成对的代理字符"]);
    expect(await said("limit=1&limit=1")).toEqual(["不能重复"]);
    expect(await said("status=x")).toEqual(['只能是以下之一:"", "disabled", "archived"']);
  });

  test("takes an empty query, stray ampersands and 255 emoji", async () => {
    await using it = await startWithOneApp();
    for (const query of ["?", "?&", "?&&limit=1&", `?search=${"%F0%9F%99%82".repeat(255)}`]) {
      expect([query.slice(0, 40), (await it.app.call("GET", `/app${query}`)).code]).toEqual([
        query.slice(0, 40),
        "SUCCESS",
      ]);
    }
  });
});

describe("over a real connection", () => {
  /** Sends bytes and resolves with all that comes back until the server closes or has answered whole. */
  const exchange = (port: number, parts: (string | Uint8Array)[]): Promise<string> =>
    new Promise((done, failed) => {
      let text = "";
      const socket = createConnection(port, "127.0.0.1", () => {
        for (const part of parts) socket.write(part);
      });
      socket.on("data", (chunk) => {
        text += chunk;
        const [head = "", body = ""] = text.split("\r\n\r\n", 2);
        const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? Number.POSITIVE_INFINITY);
        if (Buffer.byteLength(body) >= length) socket.destroy();
      });
      socket.on("close", () => done(text));
      socket.on("error", failed);
    });

  test("refuses a chunked body that is too large while it is still being sent, with status 200", async () => {
    await using it = await startWithOneApp();
    const server = startServer(it.app, { host: "127.0.0.1", port: 0, drain: createDrain(), log: silentLog });
    const { port } = new URL(server.url);
    const chunk = `10000\r\n${"x".repeat(65_536)}\r\n`;
    const text = await exchange(Number(port), [
      "POST /app HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
      ...Array.from({ length: 20 }, () => chunk), // And no end: the answer must not wait for it.
    ]);
    expect(text).toStartWith("HTTP/1.1 200");
    expect(text).toContain(
      '{"code":"VALIDATE_ERROR","message":"参数校验失败","data":{"body":["请求体不能超过',
    );
    expect(await appRows(it.app.database.sql)).toEqual(it.before);
    await server.stop();
  });

  test("refuses a body that promises to be too large before it is sent", async () => {
    await using it = await startWithOneApp();
    const server = startServer(it.app, { host: "127.0.0.1", port: 0, drain: createDrain(), log: silentLog });
    const { port } = new URL(server.url);
    const text = await exchange(Number(port), [
      "POST /app HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2000000\r\n\r\n{",
    ]);
    expect(text).toStartWith("HTTP/1.1 200");
    expect(text).toContain('"code":"VALIDATE_ERROR"');
    await server.stop();
  });

  test("refuses raw bytes in the path and the query", async () => {
    await using it = await startWithOneApp();
    const server = startServer(it.app, { host: "127.0.0.1", port: 0, drain: createDrain(), log: silentLog });
    const { port } = new URL(server.url);
    const bytes = (target: string) =>
      Buffer.from(`GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`, "latin1");
    expect(await exchange(Number(port), [bytes("/app/\xff\xfe")])).toContain('"code":"VALIDATE_ERROR"');
    expect(await exchange(Number(port), [bytes("/app/%00")])).toContain('"code":"VALIDATE_ERROR"');
    expect(await exchange(Number(port), [bytes("/app?search=%ED%A0%80")])).toContain(
      '"code":"VALIDATE_ERROR"',
    );
    expect(await appRows(it.app.database.sql)).toEqual(it.before);
    await server.stop();
  });
});
