import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { isAddressRange } from "../address.ts";

/** One setting: what it is called, what it may be, and what it is for. */
export interface Setting {
  /** The name that an older stack used; read where the setting's own name is not set. */
  alias?: string;
  /** The flag that overrides it, such as `--port`. */
  flag?: string;
  schema: TSchema;
  /** What the schema cannot say. */
  check?: (text: string) => boolean;
  /** As text, the way a person would write it; without one the setting may be absent. */
  default?: string;
  /** In words, for the message about a bad value. */
  allowed: string;
  /** One line for `llmops config` and the documentation. */
  help: string;
  /** Never shown: `llmops config` says only that it is set. */
  secret?: true;
}

const setting = <const S extends Setting>(it: S): S => it;

/** A URL that can be taken apart, escapes included. */
const isUrl = (text: string): boolean => {
  try {
    const { username, password, pathname } = new URL(text);
    decodeURIComponent(username + password + pathname);
    return true;
  } catch {
    return false;
  }
};

/** Whether nobody's name or password stands in a URL, which is shown to whoever asks for the settings. */
const isPublicUrl = (text: string): boolean => isUrl(text) && !/^[^/]*\/\/[^/]*@/.test(text);

/** `postgresql+psycopg2://`, as other stacks write it, as the driver takes it. */
export const plainPostgresUrl = (text: string): string =>
  text.replace(/^postgres(ql)?(\+\w+)?:/, "postgres:");

const flag = Type.Boolean();
/** A secret of this program's own, whose length counts in bytes. */
const secret = (help: string) =>
  setting({
    schema: Type.String({ maxLength: 4096 }),
    check: (text) => Buffer.byteLength(text) >= 32,
    allowed: "at least 32 bytes; 'openssl rand -base64 32' makes one",
    help,
    secret: true,
  });
const seconds = (fallback: string, help: string) =>
  setting({
    schema: Type.Number({ exclusiveMinimum: 0, maximum: 86_400 }),
    default: fallback,
    allowed: "seconds, more than 0 and at most 86400",
    help,
  });

/**
 * Every setting there is. The order is the one in which people read them; the table in the documentation is
 * checked against this one.
 */
export const settings = {
  OPEN_API_KEY: setting({
    schema: Type.String({ maxLength: 4096, pattern: "^[\\x21-\\x7e]+$" }),
    allowed: "a key of printable characters without spaces",
    help: "key of the default model provider (Moonshot AI); without it everything starts, and only calls that need it fail",
    secret: true,
  }),
  OPEN_API_BASE: setting({
    schema: Type.String({ pattern: "^https?://[^\\s?#]+$" }),
    check: isPublicUrl,
    default: "https://api.moonshot.cn/v1",
    allowed: "an http or https URL without query, user and password",
    help: "base URL of the default model provider",
  }),
  OPEN_API_MODEL: setting({
    schema: Type.Array(Type.String({ minLength: 1, maxLength: 255 }), { minItems: 1, maxItems: 20 }),
    default: "kimi-k2-turbo-preview,kimi-k2.5",
    allowed: "1 to 20 model names, separated by commas",
    help: "default model, or several: the next is used where the provider says that one does not exist",
  }),
  LLMOPS_UPSTREAM_CONNECT_TIMEOUT: seconds("5", "longest time to connect to a provider, in seconds"),
  LLMOPS_UPSTREAM_FIRST_BYTE_TIMEOUT: seconds(
    "60",
    "longest wait for the first byte of a provider's answer, in seconds",
  ),
  LLMOPS_UPSTREAM_IDLE_TIMEOUT: seconds("120", "longest pause within a provider's answer, in seconds"),
  LLMOPS_UPSTREAM_TOTAL_TIMEOUT: seconds("600", "longest time for a whole call with its retries, in seconds"),
  LLMOPS_MAX_BODY: setting({
    schema: Type.Integer({ minimum: 1024, maximum: 1_073_741_824 }),
    default: "33554432",
    allowed: "whole bytes from 1024 to 1073741824",
    help: "largest body of a call on /v1, in bytes; a larger one is refused with 413",
  }),
  LLMOPS_RATE_WINDOW: setting({
    schema: Type.Integer({ minimum: 1, maximum: 3600 }),
    default: "60",
    allowed: "whole seconds from 1 to 3600",
    help: "over how long requests and tokens are counted, in seconds; the same in every process",
  }),
  LLMOPS_LIMITS_WITHOUT_DATABASE: setting({
    schema: Type.Union([Type.Literal("refuse"), Type.Literal("allow")]),
    default: "refuse",
    allowed: "refuse or allow",
    help: "what becomes of calls under a limit that was set, once the database is away and what is on lease is spent",
  }),
  LLMOPS_JOURNAL_SYNC: setting({
    schema: Type.Union([Type.Literal("interval"), Type.Literal("line")]),
    default: "interval",
    allowed: "interval or line",
    help: "when records must survive a power cut: a tenth of a second after they are written, or at once",
  }),
  LLMOPS_RETENTION_DAYS: setting({
    schema: Type.Integer({ minimum: 1, maximum: 36_500 }),
    default: "90",
    allowed: "whole days from 1 to 36500",
    help: "how long the records of calls are kept",
  }),
  LLMOPS_CONTENT_RETENTION_DAYS: setting({
    schema: Type.Integer({ minimum: 1, maximum: 36_500 }),
    default: "14",
    allowed: "whole days from 1 to 36500",
    help: "how long questions and answers are kept",
  }),
  REDIS_URL: setting({
    schema: Type.String({ pattern: "^rediss?://\\S+$" }),
    check: isUrl,
    allowed: "a URL that begins with redis:// or rediss://",
    help: "keeps cached answers there, for all processes; without it each process keeps its own",
    secret: true,
  }),
  DATABASE_URL: setting({
    alias: "SQLALCHEMY_DATABASE_URI",
    // A bare # or / of a password would put the rest of it where messages do not mask it.
    schema: Type.String({
      pattern: "^postgres(ql)?(\\+\\w+)?://(?=\\S)[^\\s#/?]*(/[^\\s#?@]*)?(\\?[^\\s#]*)?$",
    }),
    check: (text) => isUrl(plainPostgresUrl(text)),
    allowed:
      "a URL that begins with postgres:// or postgresql://, with %-escapes for special characters in the password",
    help: "external PostgreSQL (15 or later); without it the embedded one in the data folder is used",
    secret: true,
  }),
  DATABASE_POOL_SIZE: setting({
    alias: "SQLALCHEMY_POOL_SIZE",
    schema: Type.Integer({ minimum: 1, maximum: 1000 }),
    default: "30",
    allowed: "a whole number from 1 to 1000",
    help: "most database connections of one process",
  }),
  DATABASE_POOL_RECYCLE: setting({
    alias: "SQLALCHEMY_POOL_RECYCLE",
    schema: Type.Integer({ minimum: 1, maximum: 86_400 }),
    default: "3600",
    allowed: "whole seconds from 1 to 86400",
    help: "seconds that a database connection may live",
  }),
  DATABASE_ECHO: setting({
    alias: "SQLALCHEMY_ECHO",
    schema: flag,
    default: "false",
    allowed: "1, 0, true or false",
    help: "log every statement with its time, values masked",
  }),
  LLMOPS_ENV: setting({
    alias: "FLASK_ENV",
    schema: Type.Union([Type.Literal("production"), Type.Literal("development")]),
    default: "production",
    allowed: "production or development",
    help: "development changes defaults and logging only; what admits without login is the flag --dev",
  }),
  LLMOPS_DEBUG: setting({
    alias: "FLASK_DEBUG",
    schema: flag,
    default: "0",
    allowed: "1, 0, true or false; refused in production",
    help: "debug log level, and error details in answers",
  }),
  HOST: setting({
    flag: "--host",
    schema: Type.String({ minLength: 1, maxLength: 253, pattern: "^[0-9A-Za-z.:_-]+$" }),
    default: "127.0.0.1",
    allowed: "a host name or address",
    help: "address to listen on",
  }),
  PORT: setting({
    flag: "--port",
    schema: Type.Integer({ minimum: 0, maximum: 65_535 }),
    default: "5000",
    allowed: "a whole number from 0 to 65535; 0 takes a free port",
    help: "port to listen on",
  }),
  LLMOPS_PUBLIC_URL: setting({
    schema: Type.String({ pattern: "^https?://[^\\s?#/]+/?$" }),
    check: isPublicUrl,
    allowed: "an http or https URL without a path",
    help: "what people's browsers see; from HOST and PORT without it; https turns on Secure cookies",
  }),
  LLMOPS_TRUSTED_PROXIES: setting({
    schema: Type.Array(Type.String({ minLength: 1, maxLength: 64 }), { minItems: 1, maxItems: 100 }),
    check: (text) => text.split(",").every((range) => isAddressRange(range.trim())),
    allowed: "addresses or CIDR ranges, separated by commas",
    help: "proxies whose X-Forwarded-For tells the caller's address",
  }),
  LLMOPS_CSRF: setting({
    alias: "WTF_CSRF_ENABLED",
    schema: flag,
    default: "true",
    allowed: "1, 0, true or false; false is refused in production",
    help: "requests with a login cookie must come from our own pages",
  }),
  LLMOPS_ADMIN_EMAIL: setting({
    schema: Type.String({ pattern: "^[^@\\s]{1,64}@[^@\\s]{1,189}$" }),
    allowed: "an e-mail address",
    help: "with LLMOPS_ADMIN_PASSWORD: makes the first owner, where there is no account yet",
  }),
  LLMOPS_ADMIN_PASSWORD: setting({
    schema: Type.String({ minLength: 8, maxLength: 256 }),
    allowed: "8 to 256 characters",
    help: "password of the first owner",
    secret: true,
  }),
  LLMOPS_DATA_DIR: setting({
    flag: "--data-dir",
    schema: Type.String({ minLength: 1, maxLength: 4096 }),
    default: "./llmops-data",
    allowed: "a path",
    help: "folder of the embedded database and the generated secret; made where it is missing",
  }),
  LLMOPS_SECRET_KEY: secret(
    "opens the keys that sign, hash and encrypt; without it one is generated in the data folder's file 'secret'",
  ),
  LLMOPS_SECRET_KEY_PREVIOUS: secret("the secret before this one, until 'llmops secret rotate' has been run"),
  LOG_LEVEL: setting({
    schema: Type.Union(["debug", "info", "warn", "error"].map((level) => Type.Literal(level as "info"))),
    default: "info",
    allowed: "debug, info, warn or error",
    help: "least level that is logged",
  }),
  LOG_FORMAT: setting({
    schema: Type.Union([Type.Literal("json"), Type.Literal("pretty")]),
    allowed: "json or pretty",
    help: "json, or pretty on a terminal",
  }),
} as const;

export type SettingName = keyof typeof settings;

type Value<S extends Setting> = Static<S["schema"]> | (S extends { default: string } ? never : undefined);

/** The values after parsing: absent ones without a default are `undefined`. */
export type SettingValues = { readonly [N in SettingName]: Value<(typeof settings)[N]> };
