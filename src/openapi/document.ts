import { type AnyElysia, Elysia } from "elysia";
import { name, version } from "../version.ts";

/** A JSON Schema (2020-12), as OpenAPI 3.1 takes it. */
export interface JsonSchema {
  readonly [keyword: string]: unknown;
}

/** A place of an operation's address. */
export interface Parameter {
  name: string;
  in: "path" | "query" | "header";
  required: boolean;
  description?: string;
  schema: JsonSchema;
  example?: unknown;
}

/** One media type of a body: what it looks like, and an example of it. */
export interface Media {
  schema: JsonSchema;
  example?: unknown;
  examples?: Record<string, { value: unknown }>;
}

/** One method of one path. */
export interface Operation {
  tags: string[];
  summary: string;
  description?: string;
  operationId: string;
  /** Which of the document's schemes opens it; none for what is open to everybody. */
  security?: Record<string, never[]>[];
  parameters?: Parameter[];
  requestBody?: { required: boolean; content: Record<string, Media> };
  responses: Record<string, { description: string; headers?: object; content?: Record<string, Media> }>;
}

/** The methods of one path, in lower case. */
export type PathItem = Partial<Record<"get" | "post", Operation>>;

/** The parts of an OpenAPI 3.1 document that this service uses. */
export interface OpenApiDocument {
  openapi: "3.1.0";
  info: { title: string; version: string; description: string };
  servers: { url: string }[];
  tags: { name: string; description: string }[];
  components: { securitySchemes: Record<string, object> };
  paths: Record<string, PathItem>;
}

/** What the plugin makes of a parameter: its examples stand where OpenAPI has a map. */
type RawParameter = Parameter & { examples?: unknown[] };
type RawOperation = Omit<Operation, "parameters"> & { parameters?: RawParameter[] };

const tags = [
  { name: "account", description: "People who may log in · 账号" },
  { name: "app", description: "LLM apps: a prompt, a model, parameters · 应用" },
  { name: "audit", description: "Who changed what · 审计日志" },
  { name: "auth", description: "Logging in and out · 登录" },
  { name: "budget", description: "How much may be spent · 预算" },
  { name: "completion", description: "Ask a model · 对话" },
  { name: "health", description: "Whether the service works · 健康检查" },
  { name: "key", description: "Keys that open `/v1` for an app · 密钥" },
  { name: "member", description: "Who else may see or change an app · 成员" },
  { name: "model", description: "Models that can be called, and what they cost · 模型与价格" },
  { name: "oidc", description: "Login with an OpenID provider · 单点登录" },
  { name: "provider", description: "Who answers · 模型服务" },
  { name: "rate", description: "What currencies are worth · 汇率" },
  { name: "rate-limit", description: "How much may be asked per minute, and at once · 限流" },
  { name: "request", description: "What every call did · 调用记录" },
  { name: "usage", description: "How much there was of everything · 用量" },
  { name: "v1", description: "What app keys open, in OpenAI's shape · OpenAI 兼容接口" },
];

/** How to show who is calling. */
const securitySchemes = {
  key: { type: "http", scheme: "bearer", description: "an app key, for `/v1` · 应用密钥" },
  login: {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT",
    description: "`access_token` of `POST /auth/login`; not needed with `--dev` · 登录令牌",
  },
};

const description = `\
Calls answer HTTP 200 with \`{ code, message, data }\`; the outcome is in \`code\`. \
\`/v1\`, \`/healthz\`, \`/readyz\`, downloads and redirects have real HTTP statuses instead. \
Messages are Chinese, or English with \`Accept-Language: en\`. \
In production every route but \`/ping\`, \`/healthz\`, \`/readyz\` and the login itself needs a login; with \`--dev\` none does. \
\`/v1\` always needs an app key.

接口返回 HTTP 200 与 \`{ code, message, data }\`,结果见 \`code\`;\
\`/v1\`、\`/healthz\`、\`/readyz\`、下载与跳转则使用真实的 HTTP 状态码。\
消息默认为中文,请求头 \`Accept-Language: en\` 时为英文。\
生产环境中除 \`/ping\`、\`/healthz\`、\`/readyz\` 与登录本身外都需要登录;使用 \`--dev\` 启动时不需要。\
\`/v1\` 始终需要应用密钥。`;

const keywordOrder = ["type", "format", "enum", "description", "default", "additionalProperties", "required"];
const rank = (keyword: string) =>
  keywordOrder.includes(keyword) ? keywordOrder.indexOf(keyword) : keywordOrder.length;

const mapValues = <T, U>(record: Record<string, T>, map: (value: T) => U): Record<string, U> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));

/** Words as `enum`; a number that may also arrive as text as the number; any other union as it is. */
function tidyUnion(parts: readonly JsonSchema[]): JsonSchema {
  if (parts.every((part) => typeof part.const === "string")) {
    return { type: "string", enum: parts.map((part) => part.const) };
  }
  const number = parts.find(({ type }) => type === "number" || type === "integer");
  const textual = parts.some(({ format }) => format === "numeric" || format === "integer");
  return number && textual ? tidySchema(number) : { anyOf: parts.map(tidySchema) };
}

/** The schemas that one keyword of a schema holds, tidied. */
function tidyKeyword(keyword: string, value: unknown): unknown {
  if (keyword === "properties") return mapValues(value as Record<string, JsonSchema>, tidySchema);
  if (keyword === "items") return tidySchema(value as JsonSchema);
  if (keyword === "oneOf" || keyword === "allOf") return (value as JsonSchema[]).map(tidySchema);
  return value;
}

/** A schema without TypeBox's leftovers, its keywords in one order; properties keep the order of their code. */
function tidySchema({ $id: _, anyOf, ...rest }: JsonSchema): JsonSchema {
  const union = Array.isArray(anyOf) ? tidyUnion(anyOf) : {};
  return Object.fromEntries(
    Object.entries({ ...union, ...rest })
      .map(([keyword, value]) => [keyword, tidyKeyword(keyword, value)] as const)
      .sort(([a], [b]) => rank(a) - rank(b)),
  );
}

const tidyMedia = ({ schema, ...rest }: Media): Media => ({ schema: tidySchema(schema), ...rest });

function tidyParameter({
  name,
  in: place,
  required,
  description,
  schema,
  examples = [],
}: RawParameter): Parameter {
  const [example] = examples;
  return {
    name,
    in: place,
    required,
    ...(description !== undefined && { description }),
    schema: tidySchema(schema),
    ...(example !== undefined && { example }),
  };
}

/** The body in the first of its types, which is JSON unless the route says otherwise; none where nothing fits in it. */
function tidyBody({ content }: NonNullable<Operation["requestBody"]>): Pick<Operation, "requestBody"> {
  const [[type, { schema: raw }] = ["", { schema: {} }]] = Object.entries(content);
  const { examples, ...schema } = raw;
  const { properties = {}, additionalProperties } = schema;
  if (additionalProperties === false && Object.keys(properties as object).length === 0) return {};
  const example = Array.isArray(examples) ? { example: examples[0] } : {};
  return {
    requestBody: {
      required: Array.isArray(schema.required) && schema.required.length > 0,
      content: { [type]: { schema: tidySchema(schema), ...example } },
    },
  };
}

function tidyOperation(raw: RawOperation): Operation {
  const { tags, summary, description, operationId, security, parameters = [], requestBody, responses } = raw;
  return {
    tags,
    summary,
    ...(description !== undefined && { description }),
    operationId,
    ...(security && { security }),
    ...(parameters.length > 0 && { parameters: parameters.map(tidyParameter) }),
    ...(requestBody && tidyBody(requestBody)),
    responses: mapValues(responses, ({ content, ...rest }) => ({
      ...rest,
      ...(content && { content: mapValues(content, tidyMedia) }),
    })),
  };
}

/**
 * The OpenAPI document of these routes, its paths in alphabetical order. They are mounted beside the documentation
 * plugin on an app that nobody else reaches, because what the plugin says by itself is not valid OpenAPI.
 */
export async function openApiDocument(routes: AnyElysia): Promise<OpenApiDocument> {
  const { swagger } = await import("@elysiajs/swagger");
  const documented = new Elysia().use(routes).use(swagger({ path: "/document", excludeStaticFile: false }));
  const response = await documented.fetch(new Request("http://localhost/document/json"));
  const { paths } = (await response.json()) as { paths: Record<string, Record<string, RawOperation>> };
  const tidied = Object.entries(paths).map(
    ([path, operations]) => [path.replace(/(?<=.)\/$/, ""), mapValues(operations, tidyOperation)] as const,
  );
  return {
    openapi: "3.1.0",
    info: { title: name, version, description },
    servers: [{ url: "/" }],
    tags,
    components: { securitySchemes },
    paths: Object.fromEntries(tidied.sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}
