import { expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadConfig } from "../../src/config/config.ts";
import { StartupError } from "../../src/errors/startup.ts";
import { loadSecret } from "../../src/keyring/secret.ts";
import { createSecretFile } from "../../src/keyring/secret-file.ts";
import { needs } from "../harness/require.ts";
import { newDataDir, one, two } from "./fixture.ts";

const isRoot = process.getuid?.() === 0;
const asRoot = needs(isRoot, "not run as root");
const unset = { key: undefined, previous: undefined };
const mode = (path: string) => statSync(path).mode & 0o777;

test("makes one secret of 256 bits that only its owner may read, and finds it again", () => {
  using folder = newDataDir();
  const { dataDir } = folder;
  const made = loadSecret({ ...unset, dataDir }, { generate: true });
  const file = join(dataDir, "secret");
  expect(made.source).toEqual({ file });
  expect(made.candidates).toEqual([
    { text: expect.stringMatching(/^[\w-]{43}$/) as never, place: "current" },
  ]);
  expect(readFileSync(file, "utf8").trim()).toBe(made.candidates[0]?.text ?? "");
  expect(mode(file)).toBe(0o600);
  expect(mode(dataDir)).toBe(isRoot ? 0o711 : 0o700);
  expect(readdirSync(dataDir)).toEqual(["secret"]);
  expect(loadSecret({ ...unset, dataDir }, { generate: true })).toEqual(made);
});

test("leaves the secret that another process has just made, and nothing beside it", () => {
  using folder = newDataDir();
  const { dataDir } = folder;
  createSecretFile(dataDir);
  const file = join(dataDir, "secret");
  expect(mode(file)).toBe(0o600);
  const text = readFileSync(file, "utf8");
  createSecretFile(dataDir);
  expect(readFileSync(file, "utf8")).toBe(text);
  expect(readdirSync(dataDir)).toEqual(["secret"]);
});

test("says that a setting needs no file where the folder cannot be had", () => {
  using folder = newDataDir();
  const { dataDir } = folder;
  writeFileSync(dataDir, "in the way");
  const load = () => loadSecret({ ...unset, dataDir }, { generate: true });
  expect(load).toThrow(StartupError);
  expect(load).toThrow("with LLMOPS_SECRET_KEY no file is needed");
});

test("makes nothing where it may not, and nothing where a setting has the secret", () => {
  using folder = newDataDir();
  const { dataDir } = folder;
  expect(loadSecret({ ...unset, dataDir }, { generate: false }).candidates).toEqual([]);
  const { candidates, source } = loadSecret({ key: one, previous: two, dataDir }, { generate: true });
  expect(candidates).toEqual([
    { text: one, place: "current" },
    { text: two, place: "previous" },
  ]);
  expect(source).toEqual({ setting: "LLMOPS_SECRET_KEY" });
  expect(() => statSync(dataDir)).toThrow("ENOENT");
});

test("closes a secret to others that a copy has left open", () => {
  using folder = newDataDir();
  const { dataDir } = folder;
  mkdirSync(dataDir);
  writeFileSync(join(dataDir, "secret"), `${one}\n`, { mode: 0o644 });
  chmodSync(join(dataDir, "secret"), 0o644);
  expect(loadSecret({ ...unset, dataDir }, { generate: false }).candidates[0]?.text).toBe(one);
  expect(mode(join(dataDir, "secret"))).toBe(0o600);
});

asRoot("gives a secret made by root to the user whom the folder belongs to", async () => {
  using folder = newDataDir();
  const { dataDir } = folder;
  mkdirSync(dataDir);
  chownSync(dataDir, 12_345, 12_345);
  loadSecret({ ...unset, dataDir }, { generate: true });
  expect(statSync(join(dataDir, "secret")).uid).toBe(12_345);
});

test.each([
  ["LLMOPS_SECRET_KEY", { key: "0123456789012345678901234567890" }],
  ["LLMOPS_SECRET_KEY_PREVIOUS", { key: one, previous: "short" }],
])("is refused by the name of its variable where it is shorter than 32 bytes: %s", (name, options) => {
  const load = () => loadSecret({ ...unset, ...options, dataDir: "/nonexistent" }, { generate: true });
  expect(load).toThrow(StartupError);
  expect(load).toThrow(`${name} is shorter than 32 bytes`);
});

test("is refused by the path of its file where that is shorter than 32 bytes, and the file is left as it is", () => {
  using folder = newDataDir();
  const { dataDir } = folder;
  mkdirSync(dataDir);
  writeFileSync(join(dataDir, "secret"), "short-canary\n", { mode: 0o600 });
  const load = () => loadSecret({ ...unset, dataDir }, { generate: true });
  expect(load).toThrow(`the secret in ${join(dataDir, "secret")} is shorter than 32 bytes`);
  expect(load).not.toThrow("canary");
  expect(readFileSync(join(dataDir, "secret"), "utf8")).toBe("short-canary\n");
});

test("counts as long enough in bytes, not in characters, and is named without its value in settings", () => {
  const load = (LLMOPS_SECRET_KEY: string) => loadConfig({ environment: { LLMOPS_SECRET_KEY } });
  expect(load("密".repeat(11)).secret).toEqual({ key: "密".repeat(11), previous: undefined });
  const tooShort = "canary-canary-canary-canary-123";
  expect(() => load(tooShort)).toThrow("LLMOPS_SECRET_KEY has a value that is not allowed");
  expect(() => load(tooShort)).not.toThrow("canary");
  expect(loadConfig({ environment: {} }).secret).toEqual({ key: undefined, previous: undefined });
});
