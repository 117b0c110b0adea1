import { resolve } from "node:path";
import { KindGuard, type TSchema } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { StartupError } from "../errors/startup.ts";
import type { LogLevel } from "../log.ts";
import {
  plainPostgresUrl,
  type Setting,
  type SettingName,
  type SettingValues,
  settings,
} from "./settings.ts";

/** Text by name, as the environment has it. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** Where values come from, strongest first: flags, the process's environment, the `.env` file, the default. */
export interface Sources {
  flags?: Partial<Record<SettingName, string>>;
  environment: Variables;
  dotenv?: Variables;
  /** The flag `--dev`: admits without login, on loopback only. */
  dev?: boolean;
  /** Whether logs go to a terminal, where they are coloured unless told otherwise. */
  terminal?: boolean;
}

/** All settings, validated and frozen. Durations are in milliseconds here, whatever they are outside. */
export interface Config {
  readonly environment: "production" | "development";
  /** Only ever true by the flag `--dev`. */
  readonly dev: boolean;
  readonly debug: boolean;
  readonly host: string;
  readonly port: number;
  /** Absolute path. */
  readonly dataDir: string;
  readonly database: {
    /** An external PostgreSQL; `undefined` means the embedded one. */
    readonly url: string | undefined;
    readonly poolSize: number;
    readonly poolRecycleMs: number;
    readonly echo: boolean;
  };
  /** What people's browsers see, without a slash at its end; `undefined`: from where the service listens. */
  readonly publicUrl: string | undefined;
  /** Addresses and CIDR ranges. */
  readonly trustedProxies: readonly string[];
  readonly csrf: boolean;
  /** The first owner, where there is no account yet. */
  readonly firstOwner: { readonly email: string; readonly password: string } | undefined;
  readonly secret: {
    /** `undefined`: the one in the data folder. */
    readonly key: string | undefined;
    /** Still opens what it has wrapped, during a rotation. */
    readonly previous: string | undefined;
  };
  readonly provider: {
    readonly apiKey: string | undefined;
    readonly baseUrl: string;
    readonly models: readonly string[];
    readonly timeouts: {
      readonly connectMs: number;
      readonly firstByteMs: number;
      readonly idleMs: number;
      readonly totalMs: number;
    };
    /** An HTTP(S)_PROXY applies, so that a direct connection says nothing about the provider. */
    readonly proxied: boolean;
  };
  /** Largest body on `/v1`, in bytes. */
  readonly bodyBytesMax: number;
  readonly limits: {
    /** Over how long requests and tokens are counted, in milliseconds. */
    readonly windowMs: number;
    readonly withoutDatabase: "refuse" | "allow";
  };
  readonly journalSync: "interval" | "line";
  /** How long records and their content are kept, in days. */
  readonly retention: { readonly requestDays: number; readonly contentDays: number };
  readonly redisUrl: string | undefined;
  readonly log: { readonly level: LogLevel; readonly format: "json" | "pretty" };
  /** Each setting's text and where it came from, for `llmops config`. */
  readonly origins: Readonly<Record<SettingName, Origin>>;
}

/** Where a setting's value came from; `name` is the variable, flag or alias that held it. */
export interface Origin {
  text: string | undefined;
  from: "flag" | "environment" | ".env" | "default" | "unset";
  name: string;
}

const loopback = /^(localhost|127(\.\d{1,3}){3}|::1)$/;

/** Whether `host` (a name or address without brackets or port) is this machine only. */
export const isLoopback = (host: string): boolean => loopback.test(host);

/** The text of a setting and its origin. An empty value counts as not set. */
function originOf(name: SettingName, setting: Setting, sources: Sources): Origin {
  const flag = sources.flags?.[name];
  if (flag !== undefined) return { text: flag, from: "flag", name: setting.flag ?? name };
  for (const [from, variables] of [
    ["environment", sources.environment],
    [".env", sources.dotenv ?? {}],
  ] as const) {
    for (const key of setting.alias ? [name, setting.alias] : [name]) {
      const text = variables[key]?.trim();
      if (text) return { text, from, name: key };
    }
  }
  if (setting.default === undefined) return { text: undefined, from: "unset", name };
  return { text: setting.default, from: "default", name };
}

function parse(schema: TSchema, text: string): unknown {
  if (KindGuard.IsArray(schema))
    return text
      .split(",")
      .map((item) => item.trim())
      .filter(Boolean);
  if (KindGuard.IsBoolean(schema))
    return ({ "1": true, true: true, "0": false, false: false } as const)[text.toLowerCase()] ?? text;
  if (KindGuard.IsInteger(schema) || KindGuard.IsNumber(schema))
    return /^\d+(\.\d+)?$/.test(text) ? Number(text) : text;
  return text;
}

/**
 * Reads every setting.
 * @throws {StartupError} names the variable and what is allowed, never the value.
 */
export function loadConfig(sources: Sources): Config {
  const origins = {} as Record<SettingName, Origin>;
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(settings) as [SettingName, Setting][]) {
    const origin = originOf(name, setting, sources);
    origins[name] = origin;
    if (origin.text === undefined) continue;
    const value = parse(setting.schema, origin.text);
    if (!Value.Check(setting.schema, value) || setting.check?.(origin.text) === false) {
      throw new StartupError(`${origin.name} has a value that is not allowed; it takes ${setting.allowed}`);
    }
    values[name] = value;
  }
  return freeze(toConfig(values as SettingValues, origins, sources));
}

function toConfig(values: SettingValues, origins: Record<SettingName, Origin>, sources: Sources): Config {
  const dev = sources.dev ?? false;
  const environment = dev ? "development" : values.LLMOPS_ENV;
  if (dev) origins.LLMOPS_ENV = { text: environment, from: "flag", name: "--dev" };
  if (values.LLMOPS_DEBUG && environment === "production") {
    throw new StartupError(
      `${origins.LLMOPS_DEBUG.name} is refused in production; unset it, or set LLMOPS_ENV=development`,
    );
  }
  if (dev && !isLoopback(values.HOST)) {
    throw new StartupError(
      `${origins.HOST.name} must be a loopback address with --dev, which needs no login; use 127.0.0.1, or leave --dev out`,
    );
  }
  if (!values.LLMOPS_CSRF && environment === "production") {
    throw new StartupError(
      `${origins.LLMOPS_CSRF.name} cannot be switched off in production; unset it, or set LLMOPS_ENV=development`,
    );
  }
  const { LLMOPS_ADMIN_EMAIL: email, LLMOPS_ADMIN_PASSWORD: password } = values;
  if ((email === undefined) !== (password === undefined)) {
    throw new StartupError("LLMOPS_ADMIN_EMAIL and LLMOPS_ADMIN_PASSWORD go together; set both or neither");
  }
  return {
    environment,
    dev,
    debug: values.LLMOPS_DEBUG,
    host: values.HOST,
    port: values.PORT,
    dataDir: resolve(values.LLMOPS_DATA_DIR),
    database: {
      url: values.DATABASE_URL && plainPostgresUrl(values.DATABASE_URL),
      poolSize: values.DATABASE_POOL_SIZE,
      poolRecycleMs: values.DATABASE_POOL_RECYCLE * 1000,
      echo: values.DATABASE_ECHO,
    },
    publicUrl: values.LLMOPS_PUBLIC_URL?.replace(/\/$/, ""),
    trustedProxies: values.LLMOPS_TRUSTED_PROXIES ?? [],
    csrf: values.LLMOPS_CSRF,
    firstOwner: email !== undefined && password !== undefined ? { email, password } : undefined,
    secret: { key: values.LLMOPS_SECRET_KEY, previous: values.LLMOPS_SECRET_KEY_PREVIOUS },
    provider: {
      apiKey: values.OPEN_API_KEY,
      baseUrl: values.OPEN_API_BASE,
      models: values.OPEN_API_MODEL,
      timeouts: {
        connectMs: values.LLMOPS_UPSTREAM_CONNECT_TIMEOUT * 1000,
        firstByteMs: values.LLMOPS_UPSTREAM_FIRST_BYTE_TIMEOUT * 1000,
        idleMs: values.LLMOPS_UPSTREAM_IDLE_TIMEOUT * 1000,
        totalMs: values.LLMOPS_UPSTREAM_TOTAL_TIMEOUT * 1000,
      },
      proxied: ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"].some(
        (name) => sources.environment[name],
      ),
    },
    bodyBytesMax: values.LLMOPS_MAX_BODY,
    limits: {
      windowMs: values.LLMOPS_RATE_WINDOW * 1000,
      withoutDatabase: values.LLMOPS_LIMITS_WITHOUT_DATABASE,
    },
    journalSync: values.LLMOPS_JOURNAL_SYNC,
    retention: {
      requestDays: values.LLMOPS_RETENTION_DAYS,
      contentDays: values.LLMOPS_CONTENT_RETENTION_DAYS,
    },
    redisUrl: values.REDIS_URL,
    log: {
      level: values.LLMOPS_DEBUG ? "debug" : values.LOG_LEVEL,
      format: values.LOG_FORMAT ?? (sources.terminal ? "pretty" : "json"),
    },
    origins,
  };
}

function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  }
  return value;
}
