import { stringify } from "yaml";
import type { OpenApiDocument, Operation, Parameter } from "../src/openapi/document.ts";

/** Where `serve` listens unless it is told otherwise. */
const baseUrl = "http://127.0.0.1:5000";

/** The same id for the same thing in every run: a collection that is imported again replaces itself. */
const idOf = (kind: "wrk" | "env" | "fld" | "req", what: string) =>
  `${kind}_${new Bun.CryptoHasher("sha256").update(what).digest("hex").slice(0, 32)}`;

/** A noun's id lives in the environment: `/app/{id}` -> `APP_ID`. */
const variableOf = (noun: string, name: string) => `${noun}_${name}`.toUpperCase().replaceAll("-", "_");

const place = /([\w-]+)\/\{(\w+)\}/g;
const addressOf = (path: string) =>
  `{{ _.BASE_URL }}${path.replace(place, (_, noun, name) => `${noun}/{{ _.${variableOf(noun, name)} }}`)}`;

/** An optional parameter is there, and off. */
const toParameter = ({ name, description, required, example, schema }: Parameter) => ({
  name,
  value: String(example ?? schema.default ?? ""),
  ...(description !== undefined && { description }),
  disabled: !required,
});

function toBody({ requestBody }: Operation) {
  const [media] = Object.entries(requestBody?.content ?? {});
  if (!media) return { headers: [], body: {} };
  const [mimeType, { example = {} }] = media;
  return {
    headers: [{ name: "Content-Type", value: mimeType }],
    body: { body: { mimeType, text: JSON.stringify(example, null, 2) } },
  };
}

function toRequest(method: string, path: string, operation: Operation, sortKey: number) {
  const { summary, description = "", parameters = [] } = operation;
  const { headers, body } = toBody(operation);
  const query = parameters.filter((parameter) => parameter.in === "query");
  return {
    url: addressOf(path),
    name: summary,
    meta: { id: idOf("req", `${method} ${path}`), description, sortKey },
    method,
    ...body,
    ...(query.length > 0 && { parameters: query.map(toParameter) }),
    headers: [...headers, { name: "Accept-Language", value: "{{ _.LANGUAGE }}" }],
  };
}

/** Every place of every path, with the example of it. */
function variables({ paths }: OpenApiDocument): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [path, item] of Object.entries(paths)) {
    const parameters = Object.values(item).flatMap((operation) => operation.parameters ?? []);
    for (const [, noun = "", name = ""] of path.matchAll(place)) {
      const parameter = parameters.find((each) => each.in === "path" && each.name === name);
      found[variableOf(noun, name)] = String(parameter?.example ?? "");
    }
  }
  return found;
}

/**
 * An Insomnia collection of every operation, a folder per tag, as YAML in Insomnia's format 5 (schema 5.1, which
 * Insomnia 11 writes and later ones read).
 */
export function insomniaCollection(document: OpenApiDocument): string {
  const { info, tags, paths } = document;
  const operations = Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
  const collection = {
    type: "collection.insomnia.rest/5.0",
    schema_version: "5.1",
    name: info.title,
    meta: { id: idOf("wrk", info.title), description: info.description },
    collection: tags.map((tag, index) => ({
      name: tag.name,
      meta: { id: idOf("fld", tag.name), description: tag.description, sortKey: index },
      children: operations
        .filter(({ operation }) => operation.tags.includes(tag.name))
        .map(({ method, path, operation }, at) => toRequest(method, path, operation, at)),
    })),
    environments: {
      name: "Base Environment",
      meta: { id: idOf("env", info.title) },
      data: { BASE_URL: baseUrl, LANGUAGE: "zh", ...variables(document) },
    },
  };
  return stringify(collection, { aliasDuplicateObjects: false, lineWidth: 0 });
}
