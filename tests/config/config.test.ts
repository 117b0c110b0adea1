import { describe, expect, test } from "bun:test";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Config, loadConfig, type Sources } from "../../src/config/config.ts";
import { readDotenv } from "../../src/config/environment.ts";
import { type Setting, type SettingName, settings } from "../../src/config/settings.ts";
import { createPool } from "../../src/database/pool.ts";
import { StartupError } from "../../src/errors/startup.ts";
import { createDatabase } from "../harness/database.ts";
import { createTestLog } from "../harness/log.ts";

const load = (environment: Record<string, string> = {}, rest: Omit<Sources, "environment"> = {}) =>
  loadConfig({ environment, ...rest });

const refusal = (environment: Record<string, string>, rest: Omit<Sources, "environment"> = {}): string => {
  try {
    load(environment, rest);
  } catch (error) {
    expect(error).toBeInstanceOf(StartupError);
    expect((error as StartupError).exitCode).toBe(1);
    return (error as Error).message;
  }
  throw new Error(`not refused: ${JSON.stringify(environment)}`);
};

/** For each setting: where it shows, its default, a good text with what becomes of it, and texts that are refused. */
const table: Record<
  SettingName,
  { of: (config: Config) => unknown; unset: unknown; good: [text: string, value: unknown]; bad: string[] }
> = {
  OPEN_API_KEY: {
    of: ({ provider }) => provider.apiKey,
    unset: undefined,
    good: ["sk-1", "sk-1"],
    bad: ["sk canary", "sk-canary\nx", "密钥canary", `canary${"x".repeat(4096)}`],
  },
  OPEN_API_BASE: {
    of: ({ provider }) => provider.baseUrl,
    unset: "https://api.moonshot.cn/v1",
    good: ["http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"],
    bad: [
      "canary",
      "ftp://canary/v1",
      "https://",
      "https://canary/v1?x=1",
      "https://canary/v1#x",
      "https://canary:99999/v1",
      "https://[canary/v1",
      "https://user:canary@host/v1",
      "https://canary@host/v1",
      "https://can ary/v1",
    ],
  },
  OPEN_API_MODEL: {
    of: ({ provider }) => provider.models,
    unset: ["kimi-k2-turbo-preview", "kimi-k2.5"],
    good: [" a , b,,c ", ["a", "b", "c"]],
    bad: [",", " , ,", `canary${"x".repeat(250)}`, Array(21).fill("canary").join(",")],
  },
  LLMOPS_UPSTREAM_CONNECT_TIMEOUT: {
    of: ({ provider }) => provider.timeouts.connectMs,
    unset: 5000,
    good: ["0.5", 500],
    bad: ["0", "-1", "canary", "86401", "1e3", "NaN", "Infinity", "0x10", "5s"],
  },
  LLMOPS_UPSTREAM_FIRST_BYTE_TIMEOUT: {
    of: ({ provider }) => provider.timeouts.firstByteMs,
    unset: 60_000,
    good: ["1", 1000],
    bad: ["0", "canary"],
  },
  LLMOPS_UPSTREAM_IDLE_TIMEOUT: {
    of: ({ provider }) => provider.timeouts.idleMs,
    unset: 120_000,
    good: ["86400", 86_400_000],
    bad: ["0", "canary"],
  },
  LLMOPS_UPSTREAM_TOTAL_TIMEOUT: {
    of: ({ provider }) => provider.timeouts.totalMs,
    unset: 600_000,
    good: ["2.25", 2250],
    bad: ["0", "canary"],
  },
  DATABASE_URL: {
    of: ({ database }) => database.url,
    unset: undefined,
    good: ["postgresql://u:p%23@h:5433/db?sslmode=require", "postgres://u:p%23@h:5433/db?sslmode=require"],
    bad: [
      "canary",
      "mysql://u:canary@h/db",
      "sqlite:///canary.db",
      "postgres://u:can ary@h/db",
      "postgres://u:canary#@h/db",
      "postgres://u:p@canary#w@h/db",
      "postgres://u:12/canary@h/db",
      "postgres://u:canary%zz@h/db",
      "postgres://canary:99999/db",
      "postgres://u:canary@[h/db",
      "http://canary",
    ],
  },
  LLMOPS_MAX_BODY: {
    of: ({ bodyBytesMax }) => bodyBytesMax,
    unset: 33_554_432,
    good: ["1024", 1024],
    bad: ["0", "1023", "1073741825", "32MiB", "canary"],
  },
  LLMOPS_RATE_WINDOW: {
    of: ({ limits }) => limits.windowMs,
    unset: 60_000,
    good: ["3", 3000],
    bad: ["canary", "0", "3601", "1.5", "-1"],
  },
  LLMOPS_LIMITS_WITHOUT_DATABASE: {
    of: ({ limits }) => limits.withoutDatabase,
    unset: "refuse",
    good: ["allow", "allow"],
    bad: ["canary", "ALLOW", "1"],
  },
  LLMOPS_JOURNAL_SYNC: {
    of: ({ journalSync }) => journalSync,
    unset: "interval",
    good: ["line", "line"],
    bad: ["canary", "LINE", "0"],
  },
  LLMOPS_RETENTION_DAYS: {
    of: ({ retention }) => retention.requestDays,
    unset: 90,
    good: ["1", 1],
    bad: ["0", "-1", "36501", "canary"],
  },
  LLMOPS_CONTENT_RETENTION_DAYS: {
    of: ({ retention }) => retention.contentDays,
    unset: 14,
    good: ["365", 365],
    bad: ["0", "-1", "36501", "canary"],
  },
  REDIS_URL: {
    of: ({ redisUrl }) => redisUrl,
    unset: undefined,
    good: ["rediss://cache:6379/1", "rediss://cache:6379/1"],
    bad: ["canary", "http://canary", "redis://"],
  },
  DATABASE_POOL_SIZE: {
    of: ({ database }) => database.poolSize,
    unset: 30,
    good: ["1000", 1000],
    bad: ["0", "1001", "-5", "1.5", "canary", "1e2", "0x10", "１"],
  },
  DATABASE_POOL_RECYCLE: {
    of: ({ database }) => database.poolRecycleMs,
    unset: 3_600_000,
    good: ["1", 1000],
    bad: ["0", "-1", "86401", "canary"],
  },
  DATABASE_ECHO: {
    of: ({ database }) => database.echo,
    unset: false,
    good: ["1", true],
    bad: ["yes", "on", "canary", "2"],
  },
  LLMOPS_ENV: {
    of: ({ environment }) => environment,
    unset: "production",
    good: ["development", "development"],
    bad: ["canary", "Production", "test"],
  },
  LLMOPS_DEBUG: { of: ({ debug }) => debug, unset: false, good: ["0", false], bad: ["canary", "-1"] },
  HOST: {
    of: ({ host }) => host,
    unset: "127.0.0.1",
    good: ["::", "::"],
    bad: ["can ary", "http://canary", "canary/24"],
  },
  PORT: {
    of: ({ port }) => port,
    unset: 5000,
    good: ["0", 0],
    bad: ["65536", "-1", "canary", "80.5", "5000/tcp"],
  },
  LLMOPS_PUBLIC_URL: {
    of: ({ publicUrl }) => publicUrl,
    unset: undefined,
    good: ["https://llmops.example.com:8443/", "https://llmops.example.com:8443"],
    bad: [
      "canary",
      "ftp://canary",
      "https://",
      "https://canary/path",
      "https://canary?x=1",
      "https://canary#x",
      "https://user:canary@host",
      "https://canary@host",
      "https://canary:99999",
      "https://can ary",
    ],
  },
  LLMOPS_TRUSTED_PROXIES: {
    of: ({ trustedProxies }) => trustedProxies,
    unset: [],
    good: [" 10.0.0.0/8 , ::1,192.0.2.1 ", ["10.0.0.0/8", "::1", "192.0.2.1"]],
    bad: [
      "canary",
      "10.0.0.0/33",
      "::1/129",
      "10.0.0.256",
      "10.0.0.0/-1",
      "10.0.0.0/8/8",
      "10.0.0.0/",
      "10.0.0.1,canary",
      "10.0.0.0/8,,::1",
      ",",
      "*",
    ],
  },
  LLMOPS_CSRF: {
    of: ({ csrf }) => csrf,
    unset: true,
    good: ["1", true],
    bad: ["canary", "yes", "2"],
  },
  LLMOPS_ADMIN_EMAIL: {
    of: ({ firstOwner }) => firstOwner?.email,
    unset: undefined,
    good: ["owner@example.com", "owner@example.com"],
    bad: ["canary", "canary@", "@canary", "can ary@example.com", "a@canary@b", `canary@${"x".repeat(190)}`],
  },
  LLMOPS_ADMIN_PASSWORD: {
    of: ({ firstOwner }) => firstOwner?.password,
    unset: undefined,
    good: ["correct horse battery staple", "correct horse battery staple"],
    bad: ["canary7", `canary${"x".repeat(251)}`],
  },
  LLMOPS_SECRET_KEY: {
    of: ({ secret }) => secret.key,
    unset: undefined,
    good: ["密钥密钥密钥密钥密钥1x", "密钥密钥密钥密钥密钥1x"],
    bad: ["canary", "x".repeat(31), `canary${"x".repeat(4096)}`],
  },
  LLMOPS_SECRET_KEY_PREVIOUS: {
    of: ({ secret }) => secret.previous,
    unset: undefined,
    good: ["x".repeat(32), "x".repeat(32)],
    bad: ["canary", `canary${"x".repeat(4096)}`],
  },
  LLMOPS_DATA_DIR: {
    of: ({ dataDir }) => dataDir,
    unset: resolve("llmops-data"),
    good: ["./数据 folder", resolve("数据 folder")],
    bad: [`canary${"x".repeat(4096)}`],
  },
  LOG_LEVEL: {
    of: ({ log }) => log.level,
    unset: "info",
    good: ["error", "error"],
    bad: ["canary", "INFO", "fatal"],
  },
  LOG_FORMAT: {
    of: ({ log }) => log.format,
    unset: "json",
    good: ["pretty", "pretty"],
    bad: ["canary", "text"],
  },
};

/** What has to be set beside a setting for it to be taken at all. */
const companions: Partial<Record<SettingName, Record<string, string>>> = {
  LLMOPS_ADMIN_EMAIL: { LLMOPS_ADMIN_PASSWORD: "12345678" },
  LLMOPS_ADMIN_PASSWORD: { LLMOPS_ADMIN_EMAIL: "a@b" },
};

/** What a setting is called where a flag has set it. */
const shown = (name: SettingName) =>
  ({ HOST: "--host", PORT: "--port", LLMOPS_DATA_DIR: "--data-dir" })[name as string] ?? name;

const all = Object.entries(settings) as [SettingName, Setting][];

describe("every setting", () => {
  test("has its default where nothing is set", () => {
    const config = load();
    for (const [name] of all) {
      expect([name, table[name].of(config)]).toEqual([name, table[name].unset]);
      const from = settings[name] as Setting;
      expect(config.origins[name]).toEqual({
        text: from.default,
        from: from.default === undefined ? "unset" : "default",
        name,
      });
    }
  });

  test("counts as unset where it is empty or blank, in the environment and in .env", () => {
    const blank = Object.fromEntries(
      all.flatMap(([name, { alias }]) => [
        [name, "  "],
        [alias ?? name, ""],
      ]),
    );
    const config = load(blank, { dotenv: blank });
    for (const [name] of all) expect([name, table[name].of(config)]).toEqual([name, table[name].unset]);
  });

  test("is taken from a flag before the environment, before .env, before its default", () => {
    for (const [name] of all) {
      const [text, value] = table[name].good;
      const bad = table[name].bad[0] ?? "";
      const beside = companions[name];
      // A weaker source is not even looked at: a bad value there stops nothing.
      for (const [from, config] of [
        ["flag", load({ ...beside, [name]: bad }, { flags: { [name]: text }, dotenv: { [name]: bad } })],
        ["environment", load({ ...beside, [name]: text }, { dotenv: { [name]: bad } })],
        [".env", load({ ...beside, [name]: "" }, { dotenv: { [name]: text } })],
      ] as const) {
        expect([name, from, table[name].of(config)]).toEqual([name, from, value]);
        const flagged = from === "flag";
        expect(config.origins[name]).toEqual({
          text: flagged ? text : text.trim(),
          from,
          name: flagged ? shown(name) : name,
        });
      }
    }
  });

  test("is taken from its alias where it is not set itself, source by source", () => {
    const aliases = all.filter(([, { alias }]) => alias);
    expect(Object.fromEntries(aliases.map(([name, { alias }]) => [name, alias]))).toEqual({
      DATABASE_URL: "SQLALCHEMY_DATABASE_URI",
      DATABASE_POOL_SIZE: "SQLALCHEMY_POOL_SIZE",
      DATABASE_POOL_RECYCLE: "SQLALCHEMY_POOL_RECYCLE",
      DATABASE_ECHO: "SQLALCHEMY_ECHO",
      LLMOPS_ENV: "FLASK_ENV",
      LLMOPS_DEBUG: "FLASK_DEBUG",
      LLMOPS_CSRF: "WTF_CSRF_ENABLED",
    });
    for (const [name, { alias = "" }] of aliases) {
      const [text, value] = table[name].good;
      const bad = table[name].bad[0] ?? "";
      for (const [from, at, config] of [
        ["environment", alias, load({ [alias]: text, [name]: "" })],
        ["environment", name, load({ [alias]: bad, [name]: text })],
        ["environment", alias, load({ [alias]: text }, { dotenv: { [name]: bad } })],
        [".env", alias, load({}, { dotenv: { [alias]: text } })],
      ] as const) {
        expect([name, table[name].of(config)]).toEqual([name, value]);
        expect(config.origins[name]).toEqual({ text, from, name: at });
      }
    }
  });

  test("refuses a bad value, names the variable that held it and what is allowed, and never the value", () => {
    for (const [name, { alias, allowed }] of all) {
      for (const bad of table[name].bad) {
        for (const key of alias ? [name, alias] : [name]) {
          const expected = `${key} has a value that is not allowed; it takes ${allowed}`;
          expect([bad, refusal({ [key]: bad })]).toEqual([bad, expected]);
          expect([bad, refusal({}, { dotenv: { [key]: bad } })]).toEqual([bad, expected]);
          expect(expected).not.toContain("canary");
          expect(expected).not.toContain("\n");
        }
        expect(refusal({}, { flags: { [name]: bad } })).toStartWith(
          `${shown(name)} has a value that is not allowed`,
        );
      }
    }
  });
});

describe("booleans", () => {
  test("are 1, 0, true and false in any case", () => {
    for (const name of ["DATABASE_ECHO", "SQLALCHEMY_ECHO"]) {
      for (const text of ["1", "true", "TRUE", "True", " tRuE "])
        expect(load({ [name]: text }).database.echo).toBe(true);
      for (const text of ["0", "false", "FALSE", "False"])
        expect(load({ [name]: text }).database.echo).toBe(false);
    }
  });
});

describe("the database's URL", () => {
  test("may be written as SQLAlchemy writes it", () => {
    for (const scheme of [
      "postgres",
      "postgresql",
      "postgresql+psycopg2",
      "postgresql+asyncpg",
      "postgres+pg8000",
    ]) {
      const { database } = load({ SQLALCHEMY_DATABASE_URI: `${scheme}://u:p@h:5432/db?x=postgresql://` });
      expect(database.url).toBe("postgres://u:p@h:5432/db?x=postgresql://");
    }
  });
});

describe("what does not go together", () => {
  test("refuses LLMOPS_DEBUG in production, under either name, and takes it in development", () => {
    expect(refusal({ LLMOPS_DEBUG: "1" })).toBe(
      "LLMOPS_DEBUG is refused in production; unset it, or set LLMOPS_ENV=development",
    );
    expect(refusal({ FLASK_DEBUG: "true", FLASK_ENV: "production" })).toStartWith(
      "FLASK_DEBUG is refused in production",
    );
    expect(load({ LLMOPS_DEBUG: "1", LLMOPS_ENV: "development", LOG_LEVEL: "error" })).toMatchObject({
      debug: true,
      log: { level: "debug" },
    });
    expect(load({ FLASK_DEBUG: "1" }, { dev: true })).toMatchObject({ debug: true, dev: true });
  });

  test("refuses to switch the CSRF guard off in production, under either name, and does it in development", () => {
    expect(refusal({ LLMOPS_CSRF: "false" })).toBe(
      "LLMOPS_CSRF cannot be switched off in production; unset it, or set LLMOPS_ENV=development",
    );
    expect(refusal({ WTF_CSRF_ENABLED: "0" })).toStartWith("WTF_CSRF_ENABLED cannot be switched off");
    expect(load({ WTF_CSRF_ENABLED: "False", FLASK_ENV: "development" }).csrf).toBe(false);
    expect(load({ LLMOPS_CSRF: "0" }, { dev: true }).csrf).toBe(false);
  });

  test("refuses an e-mail of the first owner without a password, and a password without an e-mail", () => {
    for (const alone of [
      { LLMOPS_ADMIN_EMAIL: "a@b.example" },
      { LLMOPS_ADMIN_PASSWORD: "12345678" },
      { LLMOPS_ADMIN_EMAIL: "", LLMOPS_ADMIN_PASSWORD: "12345678" },
    ]) {
      expect(refusal(alone)).toBe(
        "LLMOPS_ADMIN_EMAIL and LLMOPS_ADMIN_PASSWORD go together; set both or neither",
      );
    }
    const both = { LLMOPS_ADMIN_EMAIL: "a@b.example", LLMOPS_ADMIN_PASSWORD: "12345678" };
    expect(load(both).firstOwner).toEqual({ email: "a@b.example", password: "12345678" });
  });

  test("refuses --dev on a host that is not loopback, wherever the host comes from", () => {
    for (const host of [
      "0.0.0.0",
      "::",
      "192.168.1.5",
      "example.com",
      "localhost.example.com",
      "127.0.0.1.nip.io",
    ]) {
      expect(refusal({ HOST: host }, { dev: true })).toStartWith(
        "HOST must be a loopback address with --dev",
      );
      expect(refusal({}, { dev: true, flags: { HOST: host } })).toContain("loopback");
      expect(load({ HOST: host }).host).toBe(host);
    }
    for (const host of ["localhost", "127.0.0.1", "127.1.2.3", "::1"]) {
      expect(load({ HOST: host }, { dev: true }).host).toBe(host);
    }
  });

  test("takes development from the flag alone for dev, whatever LLMOPS_ENV says", () => {
    expect(load({ LLMOPS_ENV: "development" })).toMatchObject({ environment: "development", dev: false });
    const config = load({ LLMOPS_ENV: "production" }, { dev: true });
    expect(config).toMatchObject({ environment: "development", dev: true });
    expect(config.origins.LLMOPS_ENV).toEqual({ text: "development", from: "flag", name: "--dev" });
  });
});

test("logs as pretty on a terminal and as json elsewhere, unless it is told", () => {
  expect(load({}, { terminal: true }).log.format).toBe("pretty");
  expect(load({}, { terminal: false }).log.format).toBe("json");
  expect(load({ LOG_FORMAT: "json" }, { terminal: true }).log.format).toBe("json");
});

test("is frozen to its last leaf", () => {
  const config = load();
  const frozen = (value: unknown): boolean =>
    typeof value !== "object" ||
    value === null ||
    (Object.isFrozen(value) && Object.values(value).every(frozen));
  expect(frozen(config)).toBe(true);
  expect(() => {
    (config.provider.models as string[]).push("x");
  }).toThrow(TypeError);
});

describe("the file .env", () => {
  const inFolder = async (work: (path: string) => Promise<void>) => {
    const folder = await mkdtemp(join(tmpdir(), "llmops-env-"));
    await work(join(folder, ".env"));
    await rm(folder, { recursive: true });
  };

  test("is read as people write it", () =>
    inFolder(async (path) => {
      await Bun.write(
        path,
        "# comment\nOPEN_API_KEY=\"sk-1\"\nexport PORT=8080\nHOST= ::1 \nDATABASE_ECHO='true'\nEMPTY=\n",
      );
      const { provider, port, host, database } = load({}, { dotenv: readDotenv(path) });
      expect([provider.apiKey, port, host, database.echo]).toEqual(["sk-1", 8080, "::1", true]);
    }));

  test("may be missing", () => inFolder(async (path) => expect(readDotenv(path)).toEqual({})));

  test("is refused with what to do where it cannot be read", () =>
    inFolder(async (path) => {
      await symlink(path, path);
      expect(() => readDotenv(path)).toThrow(
        "cannot be read (ELOOP); mend its permissions, or start elsewhere",
      );
    }));
});

describe("DATABASE_ECHO", () => {
  test("logs every statement with its time and with its values masked, inside transactions too", async () => {
    await using database = await createDatabase();
    const { log, text } = createTestLog();
    const sql = createPool(database.url, { size: 1, echo: log });
    const canary = "canary-value";
    await sql`select ${canary}::text as plain where ${true}`;
    await sql.begin(async (tx) => {
      await tx`select ${canary}::text as within, ${sql.json({ secret: canary })}::jsonb`;
      await tx.savepoint((point) => point`select ${canary}::text as deeper`);
    });
    await sql`select * from ${sql("app")} where ${sql`name = ${canary}`}`;
    const failed = await sql`select ${canary}::int`.then(
      () => "no failure",
      (error: { code: string }) => error.code,
    );
    expect(failed).toBe("22P02");
    await sql.end();
    const lines = text()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const statements = lines.filter(({ message }) => message === "sql");
    expect(statements.map(({ statement }) => statement)).toEqual([
      "select ?::text as plain where ?",
      "select ?::text as within, ?::jsonb",
      "select ?::text as deeper",
      "select * from ? where ?",
      "select ?::int",
    ]);
    for (const { ms, level } of statements) {
      expect(level).toBe("info");
      expect(ms).toBeGreaterThan(0);
      expect(ms).toBeLessThan(10_000);
    }
    expect(text()).not.toContain(canary);
  });

  test("logs nothing where it is off", async () => {
    await using database = await createDatabase();
    const { text } = createTestLog();
    const sql = createPool(database.url, { size: 1 });
    await sql`select 1`;
    await sql.end();
    expect(text()).toBe("");
  });
});
