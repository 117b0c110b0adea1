import {
  Kind,
  type TLiteral,
  type TSchema,
  type TUnion,
  type TUnsafe,
  Type,
  TypeRegistry,
} from "@sinclair/typebox";
import { isAddressRange } from "../address.ts";
import type { Code } from "../errors/app-error.ts";
import { isId, isUuid } from "../id.ts";
import { isText } from "./body.ts";

// Own kinds, where JSON Schema says more than TypeBox checks. Registering them is what importing this file means.

/** Bounds of a text in Unicode code points, as JSON Schema counts them (TypeBox alone counts UTF-16 units). */
export interface TextBounds {
  minLength?: number;
  maxLength: number;
}

/** Code points in `value`, without building an array of them. */
export function codePoints(value: string): number {
  let count = value.length;
  for (let i = 0; i < value.length - 1; i++) {
    const unit = value.charCodeAt(i);
    if (unit >= 0xd800 && unit <= 0xdbff) count--;
  }
  return count;
}

TypeRegistry.Set<TSchema & TextBounds>("Text", ({ minLength = 0, maxLength }, value) => {
  if (typeof value !== "string" || value.length > maxLength * 2 || !isText(value)) return false;
  const length = codePoints(value);
  return length >= minLength && length <= maxLength;
});
TypeRegistry.Set("Cursor", (_schema, value) => typeof value === "string" && isId(value));
TypeRegistry.Set("Uuid", (_schema, value) => typeof value === "string" && isUuid(value));
/** One `@` with something on both sides and a dot behind it: whether mail arrives there, only mail can tell. */
const emailForm = /^[^\s@\p{C}]{1,64}@[^\s@.\p{C}]+(\.[^\s@.\p{C}]+)+$/u;
const timeForm = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/i;
/** In UTC; before and after it, PostgreSQL and RFC 3339 write years in different ways. */
const [timeMin, timeMax] = [Date.parse("0001-01-01T00:00:00Z"), Date.parse("9999-12-31T23:59:59.999Z")];
const isTime = (text: string): boolean => {
  const ms = Date.parse(text);
  return timeForm.test(text) && ms >= timeMin && ms <= timeMax;
};

TypeRegistry.Set(
  "Email",
  (_schema, value) =>
    typeof value === "string" && value.length <= 254 && isText(value) && emailForm.test(value),
);
TypeRegistry.Set("Time", (_schema, value) => typeof value === "string" && isTime(value));
/** At most 12 digits on either side of the point, as the tables have room for. */
const decimalForm = /^\d{1,12}(\.\d{1,12})?$/;
TypeRegistry.Set("Decimal", (_schema, value) => typeof value === "string" && decimalForm.test(value));
TypeRegistry.Set("AddressRange", (_schema, value) => typeof value === "string" && isAddressRange(value));
TypeRegistry.Set<TSchema & { minimum: number; maximum: number }>(
  "Digits",
  ({ minimum, maximum }, value) =>
    typeof value === "string" &&
    /^\d{1,15}$/.test(value) &&
    Number(value) >= minimum &&
    Number(value) <= maximum,
);

interface Described {
  description?: string;
  examples?: unknown[];
  default?: unknown;
}

/** A text that PostgreSQL can store, with its length in code points. */
export const text = (options: TextBounds & Described): TUnsafe<string> =>
  Type.Unsafe<string>({ [Kind]: "Text", type: "string", ...options });

/** A UUID. */
export const uuid = (options: Described = {}): TUnsafe<string> =>
  Type.Unsafe<string>({ [Kind]: "Uuid", type: "string", format: "uuid", ...options });

/** A place in a list: the id of the last item before it, which is one of ours. */
export const cursor = (options: Described = {}): TUnsafe<string> =>
  Type.Unsafe<string>({ [Kind]: "Cursor", type: "string", format: "uuid", ...options });

/** Whether a schema is a {@link cursor}. */
export const isCursor = (schema: object): boolean => Kind in schema && schema[Kind] === "Cursor";

/** An e-mail address; compared without regard to case. */
export const email = (options: Described = {}): TUnsafe<string> =>
  Type.Unsafe<string>({ [Kind]: "Email", type: "string", format: "email", ...options });

/** A moment in time, as RFC 3339 writes it. */
export const time = (options: Described = {}): TUnsafe<string> =>
  Type.Unsafe<string>({ [Kind]: "Time", type: "string", format: "date-time", ...options });

/** An exact decimal that is not negative, as text: JSON's numbers are not exact everywhere. */
export const decimal = (options: Described = {}): TUnsafe<string> =>
  Type.Unsafe<string>({ [Kind]: "Decimal", type: "string", format: "decimal", ...options });

/** An address or a network in CIDR form. */
export const addressRange = (options: Described = {}): TUnsafe<string> =>
  Type.Unsafe<string>({ [Kind]: "AddressRange", type: "string", format: "cidr", ...options });

/** A whole number in a query string; arrives as its digits. */
export const digits = (options: { minimum: number; maximum: number } & Described): TUnsafe<string> =>
  Type.Unsafe<string>({ [Kind]: "Digits", type: "integer", ...options });

/** One of a few words. */
export const oneOf = <const T extends readonly string[]>(
  values: T,
  options: Described = {},
): TUnion<{ -readonly [I in keyof T]: TLiteral<T[I]> }> =>
  Type.Union(
    values.map((value) => Type.Literal(value)),
    options,
  ) as never;

/** An object that takes the named fields and no others. */
export const strict = <P extends Record<string, TSchema>>(properties: P, options: Described = {}) =>
  Type.Object(properties, { additionalProperties: false, ...options });

/** Answer codes with the example that the documentation shows for each. */
const errorExamples: Record<Exclude<Code, "SUCCESS">, { message: string; data: unknown }> = {
  FAIL: { message: "数据库暂时无法访问,请稍后重试", data: {} },
  VALIDATE_ERROR: { message: "参数校验失败", data: {} },
  NOT_FOUND: { message: "应用不存在", data: {} },
  UNAUTHORIZED: { message: "请先登录", data: {} },
  FORBIDDEN: { message: "开发模式只接受来自本机的直接请求:Host 不是本机地址", data: {} },
  CONFLICT: { message: "内容已被他人修改", data: {} },
  RATE_LIMITED: { message: "请求过于频繁", data: {} },
  BUDGET_EXCEEDED: { message: "预算已用完", data: {} },
  UPSTREAM_ERROR: {
    message: "模型服务拒绝了密钥:请检查 OPEN_API_KEY 与 OPEN_API_BASE 是否匹配",
    data: { reason: "unauthorized", retryable: false },
  },
};

export interface EnvelopeDoc {
  operationId: string;
  tag:
    | "app"
    | "member"
    | "key"
    | "completion"
    | "auth"
    | "account"
    | "audit"
    | "oidc"
    | "health"
    | "provider"
    | "model"
    | "rate-limit"
    | "budget"
    | "rate"
    | "request"
    | "usage";
  summary: string;
  description?: string;
  /** Shape of `data` on success. */
  data: TSchema;
  /** A success, as it really looks. */
  example: { message: string; data: unknown };
  /** Which other codes this route answers. */
  errors: readonly Exclude<Code, "SUCCESS">[];
  /** Needs nobody to be logged in. */
  open?: true;
  /** `data` of a VALIDATE_ERROR of this route: fields with what is wrong with them. */
  invalid?: Readonly<Record<string, readonly string[]>>;
  /** The events, where the route can also answer as a stream. */
  events?: string;
}

/** The documentation of a route that answers with the envelope. Answers are described here, not checked. */
export function envelopeDoc(doc: EnvelopeDoc) {
  const { operationId, tag, summary, description, data, example, errors, invalid = {}, events } = doc;
  const codes = ["SUCCESS", ...errors] as const;
  const examples = {
    ...errorExamples,
    VALIDATE_ERROR: { ...errorExamples.VALIDATE_ERROR, data: invalid },
  };
  return {
    operationId,
    tags: [tag],
    summary,
    security: doc.open ? [] : [{ login: [] }],
    ...(description === undefined ? {} : { description }),
    responses: {
      200: {
        description: `The envelope; its code is one of ${codes.join(", ")}`,
        headers: {
          "x-request-id": { description: "names this call in the log", schema: { type: "string" as const } },
          "x-llmops-code": { description: "the envelope's code", schema: { type: "string" as const } },
        },
        content: {
          "application/json": {
            schema: {
              oneOf: [
                envelopeSchema(["SUCCESS"], data),
                envelopeSchema(errors, Type.Object({}, { description: "per code, see the examples" })),
              ],
            } as never,
            examples: {
              SUCCESS: { value: { code: "SUCCESS", ...example } },
              ...Object.fromEntries(errors.map((code) => [code, { value: { code, ...examples[code] } }])),
            },
          },
          ...(events === undefined
            ? {}
            : { "text/event-stream": { schema: { type: "string" as const }, example: events } }),
        },
      },
    },
  };
}

/** The documentation of a route that answers with a file, outside of the envelope; its errors are in it. */
export const downloadDoc = (doc: Pick<EnvelopeDoc, "operationId" | "tag" | "summary" | "description">) => ({
  operationId: doc.operationId,
  tags: [doc.tag],
  summary: doc.summary,
  ...(doc.description !== undefined && { description: doc.description }),
  security: [{ login: [] }],
  responses: {
    200: {
      description: "the file; an error before its first line is the envelope",
      content: {
        "text/csv": { schema: { type: "string" as const }, example: "id,…\r\n" },
        "application/x-ndjson": { schema: { type: "string" as const }, example: '{"id":"…"}\n' },
      },
    },
  },
});

const envelopeSchema = (codes: readonly Code[], data: TSchema) =>
  Type.Object({
    code: Type.Unsafe<string>({ type: "string", enum: [...codes] }),
    message: Type.String(),
    data,
  });
