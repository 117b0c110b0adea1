import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { settings } from "../../src/config/settings.ts";
import { createProgram } from "../harness/program.ts";

const rowsOf = (stdout: string) =>
  Object.fromEntries(
    stdout
      .trimEnd()
      .split("\n")
      .map((line) => {
        const [name = "", value = "", from = ""] = line.split(/ {2,}/);
        return [name, [value, from]];
      }),
  );

test("prints every setting, its value and where it came from, secrets masked, and touches nothing", async () => {
  using program = createProgram();
  await Bun.write(
    join(program.folder, ".env"),
    "PORT=7000\nHOST=::1\nOPEN_API_KEY=sk-canary-in-file\nSQLALCHEMY_POOL_SIZE=12\nLOG_LEVEL=warn\n",
  );
  const { code, stdout, stderr } = await program.run(["config", "--data-dir", "elsewhere"], {
    PORT: "8000",
    SQLALCHEMY_DATABASE_URI: "postgresql+psycopg2://me:canary@127.0.0.1:1/db",
    FLASK_ENV: "development",
    LOG_LEVEL: "",
    WTF_CSRF_ENABLED: "false",
    LLMOPS_ADMIN_EMAIL: "owner@example.com",
    LLMOPS_ADMIN_PASSWORD: "canary-passphrase",
    LLMOPS_SECRET_KEY: "canary-secret-of-at-least-32-bytes",
    LLMOPS_TRUSTED_PROXIES: "10.0.0.0/8, ::1",
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout.toLowerCase()).not.toContain("canary");
  const rows = rowsOf(stdout);
  expect(Object.keys(rows)).toEqual(Object.keys(settings));
  expect(rows).toMatchObject({
    OPEN_API_KEY: ["***", ".env"],
    OPEN_API_BASE: ["https://api.moonshot.cn/v1", "default"],
    DATABASE_URL: ["***", "environment (SQLALCHEMY_DATABASE_URI)"],
    DATABASE_POOL_SIZE: ["12", ".env (SQLALCHEMY_POOL_SIZE)"],
    LLMOPS_ENV: ["development", "environment (FLASK_ENV)"],
    HOST: ["::1", ".env"],
    PORT: ["8000", "environment"],
    LLMOPS_DATA_DIR: ["elsewhere", "flag"],
    LLMOPS_PUBLIC_URL: ["-", "unset"],
    LLMOPS_TRUSTED_PROXIES: ["10.0.0.0/8, ::1", "environment"],
    LLMOPS_CSRF: ["false", "environment (WTF_CSRF_ENABLED)"],
    LLMOPS_ADMIN_EMAIL: ["owner@example.com", "environment"],
    LLMOPS_ADMIN_PASSWORD: ["***", "environment"],
    LLMOPS_SECRET_KEY: ["***", "environment"],
    LLMOPS_SECRET_KEY_PREVIOUS: ["-", "unset"],
    LOG_LEVEL: ["warn", ".env"],
    LOG_FORMAT: ["-", "unset"],
  });
  expect(readdirSync(program.folder)).toEqual([".env"]);
});

test("prints a dash for a secret that is not set", async () => {
  using program = createProgram();
  const rows = rowsOf((await program.run(["config"])).stdout);
  expect([rows.OPEN_API_KEY, rows.DATABASE_URL]).toEqual([
    ["-", "unset"],
    ["-", "unset"],
  ]);
});

test("refuses a bad value in one line that names the variable and not the value, and exits 1", async () => {
  using program = createProgram();
  for (const [environment, name] of [
    [{ PORT: "canary" }, "PORT"],
    [{ OPEN_API_KEY: "sk canary" }, "OPEN_API_KEY"],
    [{ DATABASE_URL: "mysql://me:canary@h/db" }, "DATABASE_URL"],
    [{ SQLALCHEMY_DATABASE_URI: "postgres://me:canary#1@h/db" }, "SQLALCHEMY_DATABASE_URI"],
    [{ FLASK_DEBUG: "1" }, "FLASK_DEBUG"],
    [{ WTF_CSRF_ENABLED: "0" }, "WTF_CSRF_ENABLED"],
    [{ LLMOPS_SECRET_KEY: "canary-31-bytes-canary-31-bytes" }, "LLMOPS_SECRET_KEY"],
    [{ LLMOPS_SECRET_KEY_PREVIOUS: "canary" }, "LLMOPS_SECRET_KEY_PREVIOUS"],
    [{ LLMOPS_ADMIN_EMAIL: "canary" }, "LLMOPS_ADMIN_EMAIL"],
    [{ LLMOPS_ADMIN_EMAIL: "o@example.com", LLMOPS_ADMIN_PASSWORD: "canary7" }, "LLMOPS_ADMIN_PASSWORD"],
    [{ LLMOPS_ADMIN_PASSWORD: "canary-passphrase" }, "LLMOPS_ADMIN_EMAIL and LLMOPS_ADMIN_PASSWORD"],
    [{ LLMOPS_PUBLIC_URL: "https://me:canary@example.com" }, "LLMOPS_PUBLIC_URL"],
    [{ LLMOPS_TRUSTED_PROXIES: "10.0.0.0/8,canary" }, "LLMOPS_TRUSTED_PROXIES"],
  ] as const) {
    for (const command of ["config", "serve", "migrate"]) {
      const args = command === "migrate" ? ["migrate", "status"] : [command];
      const { code, stdout, stderr } = await program.run(args, environment);
      expect([command, code, stdout]).toEqual([command, 1, ""]);
      expect(stderr).toMatch(new RegExp(`^llmops: ${name} .*\n$`));
      expect(stderr).not.toContain("canary");
    }
  }
});
