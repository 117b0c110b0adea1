import { randomBytes } from "node:crypto";
import {
  chownSync,
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { makeDataDir } from "../database/embedded-place.ts";
import { StartupError } from "../errors/startup.ts";

/** The secret's file in the data folder. */
export const secretFileName = "secret";
/** Holds the secret to come, from before the data keys are re-wrapped until after. */
export const nextFileName = "secret.next";

/** 256 random bits as text that can be copied into LLMOPS_SECRET_KEY. */
const newSecret = (): string => randomBytes(32).toString("base64url");

/**
 * Makes the file `secret`, whole or not at all; one that is there already stays.
 * @throws {StartupError} it cannot be written, with what to do.
 */
export function createSecretFile(dataDir: string): void {
  inFolder(dataDir, (folder) => {
    const path = join(folder, secretFileName);
    const temporary = writeTemporary(path, newSecret());
    try {
      linkSync(temporary, path); // unlike a rename, this leaves what another process has just put there
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "EEXIST") renameSync(temporary, path); // a file system without links
    } finally {
      rmSync(temporary, { force: true });
    }
  });
}

/** Writes a new secret beside the present one, over what an earlier attempt has left; returns it. @throws as above. */
export function writeNextSecret(dataDir: string): string {
  const text = newSecret();
  inFolder(dataDir, (folder) => {
    const path = join(folder, nextFileName);
    renameSync(writeTemporary(path, text), path);
  });
  return text;
}

/** Puts the new secret in the place of the present one. @throws as above. */
export function promoteNextSecret(dataDir: string): void {
  inFolder(dataDir, (folder) => renameSync(join(folder, nextFileName), join(folder, secretFileName)));
}

/** Does something to the data folder, which is on the disk before this returns. */
function inFolder(dataDir: string, work: (folder: string) => void): void {
  try {
    const folder = makeDataDir(dataDir);
    work(folder);
    sync(folder);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StartupError(
      `the secret cannot be kept in the data folder (${reason}); with LLMOPS_SECRET_KEY no file is needed`,
      { cause },
    );
  }
}

/** A file only its owner may read, itself on the disk already; root gives it to whom the folder serves. */
function writeTemporary(path: string, text: string): string {
  const temporary = `${path}.${process.pid}.tmp`;
  rmSync(temporary, { force: true });
  try {
    writeFileSync(temporary, `${text}\n`, { flag: "wx", mode: 0o600, flush: true });
    const present = join(dirname(path), secretFileName);
    const { uid, gid } = statSync(existsSync(present) ? present : dirname(path));
    if (process.getuid?.() === 0) chownSync(temporary, uid, gid);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  return temporary;
}

/** A rename is on the disk only when its folder is. */
function sync(folder: string): void {
  if (process.platform === "win32") return;
  const file = openSync(folder, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
