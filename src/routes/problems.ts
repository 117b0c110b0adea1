import { ValueErrorType } from "@sinclair/typebox/errors";
import type { ValidationError } from "elysia";
import { type Problem, type Problems, ValidateError } from "../errors/app-error.ts";
import type { MessageKey } from "../i18n/messages.ts";
import { isText } from "./body.ts";
import { codePoints, isCursor } from "./contract.ts";

/** What TypeBox says of one wrong value. The value is looked at, and never repeated. */
interface Complaint {
  path: string;
  type: number;
  value: unknown;
  schema: Record<string, unknown>;
}

const bound = (schema: Complaint["schema"], name: string): number => Number(schema[name]);

/** Why a text of our own kind was refused. */
function textProblem({ value, schema }: Complaint): Problem {
  if (typeof value !== "string") return { key: "validate.type", params: { type: "string" } };
  if (!isText(value)) return { key: "validate.text" };
  if (codePoints(value) < bound(schema, "minLength")) {
    return value === ""
      ? { key: "validate.required" }
      : { key: "validate.min_length", params: { min: bound(schema, "minLength") } };
  }
  return { key: "validate.max_length", params: { max: bound(schema, "maxLength") } };
}

const formatKeys: Readonly<Record<string, MessageKey>> = {
  uuid: "validate.uuid",
  email: "validate.email",
  "date-time": "validate.time",
  cidr: "validate.address_range",
  decimal: "validate.decimal",
};

const boundProblem = (value: number, schema: Complaint["schema"]): Problem =>
  value < bound(schema, "minimum")
    ? { key: "validate.minimum", params: { min: bound(schema, "minimum") } }
    : { key: "validate.maximum", params: { max: bound(schema, "maximum") } };

function kindProblem(complaint: Complaint): Problem {
  const { schema, value } = complaint;
  if (isCursor(schema)) return { key: "validate.cursor" };
  const formatKey = formatKeys[String(schema.format)];
  if (formatKey) return { key: formatKey };
  if (schema.type === "string") return textProblem(complaint);
  if (!/^-?\d+$/.test(String(value))) return { key: "validate.type", params: { type: "integer" } };
  return boundProblem(Number(value), schema);
}

function unionProblem(complaint: Complaint): Problem {
  const { schema, value } = complaint;
  const parts = Array.isArray(schema.anyOf) ? (schema.anyOf as Record<string, unknown>[]) : [];
  if (parts.length > 0 && parts.every((part) => "const" in part)) {
    return {
      key: "validate.one_of",
      params: { values: parts.map((part) => JSON.stringify(part.const)).join(", ") },
    };
  }
  // Of "a number or null" a number was sent, and it breaks a bound.
  const alike = parts.find(
    ({ type }) => type === typeof value || (type === "integer" && Number.isInteger(value)),
  );
  if (alike && typeof value === "string") return kindProblem({ ...complaint, schema: alike });
  if (alike && typeof value === "number") return boundProblem(value, alike);
  return { key: "validate.type", params: { type: parts.map((part) => String(part.type)).join(" | ") } };
}

function problemOf(complaint: Complaint): Problem {
  const { schema } = complaint;
  switch (complaint.type) {
    case ValueErrorType.ObjectRequiredProperty:
      return { key: "validate.required" };
    case ValueErrorType.ObjectAdditionalProperties:
      return { key: "validate.unknown" };
    case ValueErrorType.Kind:
      return kindProblem(complaint);
    case ValueErrorType.Union:
      return unionProblem(complaint);
    case ValueErrorType.Literal:
      return { key: "validate.one_of", params: { values: JSON.stringify(schema.const) } };
    case ValueErrorType.NumberMinimum:
    case ValueErrorType.IntegerMinimum:
      return { key: "validate.minimum", params: { min: bound(schema, "minimum") } };
    case ValueErrorType.NumberMaximum:
    case ValueErrorType.IntegerMaximum:
      return { key: "validate.maximum", params: { max: bound(schema, "maximum") } };
    case ValueErrorType.ArrayMaxItems:
      return { key: "validate.max_items", params: { max: bound(schema, "maxItems") } };
    default:
      return typeof schema.type === "string"
        ? { key: "validate.type", params: { type: schema.type } }
        : { key: "validate.invalid" };
  }
}

/** `/config/parameters/top_p` as a person writes it: `config.parameters.top_p`; JSON pointer escapes undone. */
const fieldOf = (path: string): string =>
  path
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .join(".") || "body";

/** At most so many fields are named: an object with a thousand unknown ones needs no thousand messages. */
const fieldsMax = 20;

/** Elysia's validation error as ours: each field with its first problem; nothing of the input but field names. */
export function toValidateError(error: ValidationError): ValidateError {
  const problems: Record<string, Problem[]> = Object.create(null);
  for (const complaint of error.all as unknown as Complaint[]) {
    const field = fieldName(complaint, error.type === "query" ? "query" : "body");
    if (field in problems) continue;
    if (Object.keys(problems).length >= fieldsMax) break;
    problems[field] = [problemOf(complaint)];
  }
  return new ValidateError(problems as Problems);
}

/** An unknown field's name is input too, and may be anything: a long or unprintable one is not repeated. */
export const printableField = (field: string | undefined): string | undefined =>
  field !== undefined && /^[\w.-]{1,64}$/.test(field) ? field : undefined;

function fieldName({ path, type }: Complaint, place: "body" | "query"): string {
  const field = fieldOf(path);
  if (type !== ValueErrorType.ObjectAdditionalProperties) return field;
  return printableField(field) ?? place;
}
