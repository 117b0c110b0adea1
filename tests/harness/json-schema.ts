import { isAddressRange } from "../../src/address.ts";
import { isUuid } from "../../src/id.ts";
import type { JsonSchema } from "../../src/openapi/document.ts";

type Check = (expected: never, value: unknown, schema: JsonSchema, at: string) => string[];

const types: Record<string, (value: unknown) => boolean> = {
  object: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  array: Array.isArray,
  string: (value) => typeof value === "string",
  boolean: (value) => typeof value === "boolean",
  number: Number.isFinite,
  integer: Number.isSafeInteger,
  null: (value) => value === null,
};
const formats: Record<string, (value: unknown) => boolean> = {
  uuid: (value) => typeof value === "string" && isUuid(value),
  email: (value) => typeof value === "string" && /^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(value),
  cidr: (value) => typeof value === "string" && isAddressRange(value),
  decimal: (value) => typeof value === "string" && /^\d+(\.\d+)?$/.test(value),
  "date-time": (value) => typeof value === "string" && new Date(value).toISOString() === value,
};

const unless = (holds: boolean | undefined, problem: string) => (holds === true ? [] : [problem]);
const within = (holds: (limit: number, value: never) => boolean): Check => {
  return (limit, value, _schema, at) => unless(holds(limit, value as never), `${at}: not within ${limit}`);
};
const length = (value: string) => [...value].length;
const fits = (schemas: JsonSchema[], value: unknown) =>
  schemas.filter((schema) => misfits(schema, value).length === 0).length;

const note: Check = () => [];
const checks: Record<string, Check> = {
  type: (type: string, value, _, at) => unless(types[type]?.(value), `${at}: not of type ${type}`),
  format: (format: string, value, _, at) => unless(formats[format]?.(value), `${at}: not a ${format}`),
  const: (word: unknown, value, _, at) => unless(word === value, `${at}: not ${word}`),
  enum: (words: unknown[], value, _, at) => unless(words.includes(value), `${at}: not one of ${words}`),
  minimum: within((limit, value: number) => value >= limit),
  maximum: within((limit, value: number) => value <= limit),
  minLength: within((limit, value: string) => length(value) >= limit),
  maxLength: within((limit, value: string) => length(value) <= limit),
  maxItems: within((limit, value: unknown[]) => value.length <= limit),
  minItems: within((limit, value: unknown[]) => value.length >= limit),
  maxProperties: within((limit, value: object) => Object.keys(value).length <= limit),
  exclusiveMinimum: within((limit, value: number) => value > limit),
  pattern: (pattern: string, value, _, at) =>
    unless(new RegExp(pattern).test(String(value)), `${at}: not ${pattern}`),
  patternProperties: (patterns: Record<string, JsonSchema>, value, _, at) =>
    Object.entries(value as object).flatMap(([name, each]) =>
      misfits(Object.values(patterns)[0] ?? {}, each, `${at}.${name}`),
    ),
  required: (names: string[], value, _, at) =>
    names.flatMap((name) => unless(Object.hasOwn(value as object, name), `${at}.${name}: missing`)),
  properties: (properties: Record<string, JsonSchema>, value, _, at) =>
    Object.entries(value as object).flatMap(([name, each]) =>
      properties[name] ? misfits(properties[name], each, `${at}.${name}`) : [],
    ),
  additionalProperties: (allowed: boolean, value, { properties = {} }, at) =>
    Object.keys(value as object).flatMap((name) =>
      allowed ? [] : unless(Object.hasOwn(properties as object, name), `${at}.${name}: unknown`),
    ),
  items: (items: JsonSchema, value, _, at) =>
    (value as unknown[]).flatMap((each, index) => misfits(items, each, `${at}[${index}]`)),
  anyOf: (schemas: JsonSchema[], value, _, at) => unless(fits(schemas, value) > 0, `${at}: fits none`),
  oneOf: (schemas: JsonSchema[], value, _, at) => unless(fits(schemas, value) === 1, `${at}: fits not one`),
  description: note,
  examples: note,
  default: note,
};

/**
 * What in `value` is not as a JSON Schema says, one line each; knows the keywords that the documentation uses.
 * @throws {Error} another keyword: it would go unchecked.
 */
export function misfits(schema: JsonSchema, value: unknown, at = "value"): string[] {
  const wrongType = "type" in schema ? checks.type?.(schema.type as never, value, schema, at) : undefined;
  if (wrongType?.length) return wrongType;
  return Object.entries(schema).flatMap(([keyword, expected]) => {
    const check = checks[keyword];
    if (!check) throw new Error(`${at}: the keyword ${keyword} cannot be checked`);
    return check(expected as never, value, schema, at);
  });
}
