import { chmodSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { StartupError } from "../errors/startup.ts";
import { createSecretFile, nextFileName, secretFileName } from "./secret-file.ts";

/** Least length of a secret, in bytes. */
export const secretBytesMin = 32;

/** Where the secret comes from, as the settings say. */
export interface SecretOptions {
  /** LLMOPS_SECRET_KEY; without it the secret is in the data folder. */
  key: string | undefined;
  /** LLMOPS_SECRET_KEY_PREVIOUS. */
  previous: string | undefined;
  dataDir: string;
}

/** What a secret is to the installation: the one to wrap with, the one before, or that of a half-done rotation. */
export type SecretPlace = "current" | "previous" | "next";

/** The secrets that may open the data keys. Never logged, and in no message. */
export interface Secret {
  /** Where the present one is kept: the setting, or the path of its file. */
  readonly source: { readonly setting: "LLMOPS_SECRET_KEY" } | { readonly file: string };
  /** In the order in which they are tried. */
  readonly candidates: readonly { readonly text: string; readonly place: SecretPlace }[];
}

/**
 * The secret from the setting, else from the file `secret` in the data folder, which `generate` makes where it is
 * missing (mode 0600). A file `secret.next` is what a rotation that did not come to its end has left.
 * @throws {StartupError} shorter than 32 bytes, or the file cannot be read or made; names the variable or the file.
 */
export function loadSecret(
  { key, previous, dataDir }: SecretOptions,
  { generate }: { generate: boolean },
): Secret {
  const others = [
    { text: previous && longEnough(previous, "LLMOPS_SECRET_KEY_PREVIOUS"), place: "previous" as const },
  ];
  if (key !== undefined) {
    return {
      source: { setting: "LLMOPS_SECRET_KEY" },
      candidates: present([{ text: longEnough(key, "LLMOPS_SECRET_KEY"), place: "current" }, ...others]),
    };
  }
  const folder = resolve(dataDir);
  const file = join(folder, secretFileName);
  if (readSecretFile(file) === undefined && generate) createSecretFile(folder);
  return {
    source: { file },
    candidates: present([
      { text: readSecretFile(file), place: "current" },
      ...others,
      { text: readSecretFile(join(folder, nextFileName)), place: "next" },
    ]),
  };
}

const present = (all: { text: string | undefined; place: SecretPlace }[]): Secret["candidates"] =>
  all.flatMap(({ text, place }) => (text === undefined ? [] : [{ text, place }]));

function longEnough(text: string, where: string): string {
  if (Buffer.byteLength(text) >= secretBytesMin) return text;
  throw new StartupError(
    `${where} is shorter than ${secretBytesMin} bytes; 'openssl rand -base64 32' makes one that is long enough`,
  );
}

/** The secret in a file; `undefined` where there is no file. What others may read is closed to them first. */
function readSecretFile(path: string): string | undefined {
  let text: string;
  try {
    const { mode } = statSync(path);
    if ((mode & 0o077) !== 0 && process.platform !== "win32") chmodSync(path, 0o600);
    text = readFileSync(path, "utf8").trim();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new StartupError(
      `the secret in ${path} cannot be read for this user alone (${code}): give the file to user ${process.getuid?.() ?? "?"} with mode 0600, or set LLMOPS_SECRET_KEY`,
      { cause },
    );
  }
  if (Buffer.byteLength(text) >= secretBytesMin) return text;
  throw new StartupError(
    `the secret in ${path} is shorter than ${secretBytesMin} bytes: put back the file that was there, or set LLMOPS_SECRET_KEY to what it held`,
  );
}
