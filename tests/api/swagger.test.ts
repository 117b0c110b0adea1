import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Type } from "@sinclair/typebox";
import { Elysia, t } from "elysia";
import { parse } from "yaml";
import { documentedRoutes, generatedFiles, staleFiles } from "../../scripts/docs.ts";
import { type Media, type OpenApiDocument, openApiDocument } from "../../src/openapi/document.ts";
import { startTestApp, toRequest } from "../harness/app.ts";
import { misfits } from "../harness/json-schema.ts";

const document = await openApiDocument(documentedRoutes());

const operationsOf = ({ paths }: OpenApiDocument) =>
  Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({
      route: `${method.toUpperCase()} ${path}`,
      ...operation,
    })),
  );
const operations = operationsOf(document);
const hidden = ["GET /setup", "GET /setup/setup.css", "GET /setup/setup.js"];
const routes = documentedRoutes()
  .routes.map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, "{$1}").replace(/(?<=.)\/$/, "")}`)
  .filter((route) => !hidden.includes(route))
  .sort();

const examplesOf = ({ example, examples = {} }: Media): unknown[] => [
  ...(example === undefined ? [] : [example]),
  ...Object.values(examples).map(({ value }) => value),
];
const mediaOf = (body: { content?: Record<string, Media> } | undefined) =>
  Object.entries(body?.content ?? {}).map(([type, media]) => ({ type, media }));

describe("the OpenAPI document", () => {
  test("is valid OpenAPI 3.1", async () => {
    const validator = new Validator();
    const { valid, errors } = await validator.validate({ ...structuredClone(document) });
    expect(errors).toBeUndefined();
    expect(valid).toBe(true);
    expect(validator.version).toBe("3.1");
  });

  test("has every route of the app, and no other", () => {
    expect(operations.map(({ route }) => route).sort()).toEqual(routes);
    expect(routes).toContain("POST /app/completion");
  });

  test("has a summary, an own id, a described tag and an example of an answer for every operation", () => {
    const tags = document.tags.map(({ name }) => name);
    for (const { route, summary, operationId, tags: own, responses } of operations) {
      expect(summary, route).toMatch(/^\S.+$/);
      expect(operationId, route).toMatch(/^[a-z][A-Za-z]+$/);
      expect(own, route).toHaveLength(1);
      expect(tags, route).toContain(own[0] ?? "");
      for (const response of Object.values(responses)) {
        expect(response.description, route).toMatch(/^\S.+$/);
        for (const { media } of mediaOf(response)) expect(examplesOf(media), route).not.toBeEmpty();
      }
    }
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
  });

  test("has examples that satisfy their schemas, of answers, bodies and parameters", () => {
    let checked = 0;
    for (const { route, responses, requestBody, parameters = [] } of operations) {
      const all = [...Object.values(responses), requestBody].flatMap(mediaOf).map(({ media }) => media);
      const places = parameters.map(({ schema, example }) => ({ schema, example }));
      for (const media of [...all, ...places]) {
        for (const example of examplesOf(media)) {
          expect(misfits(media.schema, example), `${route} ${JSON.stringify(example)}`).toEqual([]);
          checked++;
        }
      }
    }
    expect(checked).toBeGreaterThan(operations.length);
  });

  test("has one JSON body with an example for each route that takes one, required where a field is", () => {
    const bodies = operations.flatMap(({ route, requestBody }) =>
      requestBody ? [{ route, requestBody }] : [],
    );
    const required = Object.fromEntries(
      bodies.map(({ route, requestBody }) => [route, requestBody.required]),
    );
    expect(required).toMatchObject({ "POST /app": false, "POST /app/completion": true });
    expect(Object.keys(required)).not.toContain("POST /app/{id}/delete");
    expect(Object.keys(required).filter((route) => route.startsWith("GET"))).toBeEmpty();
    for (const { route, requestBody } of bodies) {
      const media = mediaOf(requestBody);
      expect(
        media.map(({ type }) => type),
        route,
      ).toEqual(["application/json"]);
      // The bodies of the data plane are other people's dialects.
      const open = route.startsWith("POST /v1/");
      expect(media[0]?.media.schema.additionalProperties, route).toBe(open);
      expect(media[0]?.media.example, route).toBeObject();
    }
  });

  test("requires the places of a path, with an example, and nothing of a query", () => {
    for (const { route, parameters = [] } of operations) {
      const places = [...route.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
      expect(
        parameters.filter(({ required }) => required).map(({ name }) => name),
        route,
      ).toEqual(places);
      for (const { required, example } of parameters) expect(example !== undefined, route).toBe(required);
    }
  });

  test("says words as an enum, numbers as numbers, and nothing of TypeBox", async () => {
    const word = Type.Union([Type.Literal("a"), Type.Literal("b")], { $id: "word" });
    const routes = new Elysia().post("/", () => "", {
      body: t.Object({
        word,
        count: t.Numeric({ minimum: 1 }),
        either: t.Array(t.Union([t.String(), t.Null()])),
      }),
      detail: { operationId: "x", tags: ["app"], summary: "x", responses: { 200: { description: "x" } } },
    });
    const { paths } = await openApiDocument(routes);
    expect(paths["/"]?.post?.requestBody?.content["application/json"]?.schema.properties).toEqual({
      word: { type: "string", enum: ["a", "b"] },
      count: { type: "number", minimum: 1 },
      either: { type: "array", items: { anyOf: [{ type: "string" }, { type: "null" }] } },
    });
  });
});

describe("the generated files", () => {
  test("are what the code says", async () => {
    expect(await staleFiles()).toEqual([]);
  });

  test("are named where they are missing or have been edited", async () => {
    const folder = await mkdtemp(join(tmpdir(), "llmops-docs-"));
    try {
      expect(await staleFiles(folder)).toEqual(["openapi.json", "Insomnia.yaml"]);
      for (const [name, text] of Object.entries(await generatedFiles())) {
        await Bun.write(join(folder, name), name === "Insomnia.yaml" ? `${text}# edited\n` : text);
      }
      expect(await staleFiles(folder)).toEqual(["Insomnia.yaml"]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("include an Insomnia request for every route, with ids of its own and its variables in the environment", async () => {
    interface Item {
      name: string;
      meta: { id: string };
      method: string;
      url: string;
      body?: { text: string };
      headers: { name: string; value: string }[];
      children: Item[];
    }
    const { "Insomnia.yaml": text = "" } = await generatedFiles();
    const { type, collection, environments } = parse(text) as {
      type: string;
      collection: Item[];
      environments: { data: Record<string, string> };
    };
    expect(type).toBe("collection.insomnia.rest/5.0");
    expect(collection.map(({ name }) => name)).toEqual(document.tags.map(({ name }) => name));
    const requests = collection.flatMap(({ children }) => children);
    const filled = ({ url }: Item) =>
      url.replace(/\{\{ _\.(\w+) \}\}/g, (_, name: string) => environments.data[name] ?? `no ${name}`);
    // Each place of an address holds what the document has as its example.
    const exampled = ({ route, parameters = [] }: (typeof operations)[number]) =>
      route.replace(/\{(\w+)\}/g, (_, place: string) =>
        String(parameters.find(({ name }) => name === place)?.example),
      );
    expect(environments.data.APP_ID).toBe("019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f");
    expect(requests.map((request) => `${request.method} ${filled(request)}`).sort()).toEqual(
      operations.map((each) => exampled(each).replace(" ", " http://127.0.0.1:5000")).sort(),
    );
    const ids = [...collection, ...requests].map(({ meta }) => meta.id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { headers, body } of requests) {
      const names = headers.map(({ name }) => name);
      expect(names).toContain("Accept-Language");
      expect(names.includes("Content-Type")).toBe(body !== undefined);
      if (body) expect(JSON.parse(body.text)).toBeObject();
    }
  });
});

describe("in production, without a login", () => {
  test("`/swagger` answers a page that loads its own files and lets in no others", async () => {
    await using app = await startTestApp({ dev: false });
    for (const path of ["/swagger", "/swagger/"]) {
      const page = await app.fetch(toRequest("GET", path));
      expect(page.status).toBe(200);
      expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
      expect(page.headers.get("content-security-policy")).toStartWith(
        "default-src 'none'; script-src 'self';",
      );
      expect(page.headers.get("x-content-type-options")).toBe("nosniff");
      expect(page.headers.get("referrer-policy")).toBe("no-referrer");
      const html = await page.text();
      expect(html).toContain("<title>llmops API</title>");
      const types: Record<string, string | null> = {};
      for (const [, address = ""] of html.matchAll(/(?:src|href)="([^"]+)"/g)) {
        const file = await app.fetch(toRequest("GET", address));
        expect(file.status, address).toBe(200);
        expect((await file.bytes()).length, address).toBeGreaterThan(100);
        expect(file.headers.get("x-content-type-options"), address).toBe("nosniff");
        types[address] = file.headers.get("content-type");
      }
      expect(types).toEqual({
        "/swagger/favicon.png": "image/png",
        "/swagger/swagger-ui.css": "text/css; charset=utf-8",
        "/swagger/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
        "/swagger/initializer.js": "text/javascript; charset=utf-8",
        "/swagger/json": "application/json",
      });
    }
  });

  test("`/swagger/json` answers the committed document", async () => {
    await using app = await startTestApp({ dev: false });
    const response = await app.fetch(toRequest("GET", "/swagger/json"));
    const committed = await Bun.file(join(import.meta.dir, "../../openapi.json")).json();
    expect(await response.json()).toEqual(committed);
  });

  test("304 is answered to who has it already, and the whole to who has something else", async () => {
    await using app = await startTestApp({ dev: false });
    const get = (path: string, tag: string) =>
      app.fetch(toRequest("GET", path, { headers: { "if-none-match": tag } }));
    for (const path of ["/swagger", "/swagger/json", "/swagger/swagger-ui-bundle.js"]) {
      const { headers } = await app.fetch(toRequest("GET", path));
      const etag = headers.get("etag") ?? "none";
      expect(etag).toMatch(/^"[\w-]{43}"$/);
      expect(headers.get("cache-control")).toBe("no-cache");
      for (const tag of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
        const unchanged = await get(path, tag);
        expect(unchanged.status, tag).toBe(304);
        expect(unchanged.headers.get("etag")).toBe(etag);
        expect(await unchanged.text()).toBe("");
      }
      expect((await get(path, '"other"')).status).toBe(200);
    }
  });

  test("NOT_FOUND is answered for a file that is not there, and no other file of the machine is", async () => {
    await using app = await startTestApp({ dev: false });
    const addresses = ["unknown.js", "swagger-ui.css.map", "..%2f..%2fpackage.json", "json/x"];
    for (const address of addresses) {
      const { code, status } = await app.call("GET", `/swagger/${address}`);
      expect({ code, status }, address).toEqual({ code: "NOT_FOUND", status: 200 });
    }
  });
});
