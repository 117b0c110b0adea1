import { StartupError } from "../errors/startup.ts";

const denied = [
  "EACCES",
  "EPERM",
  "EROFS",
  "ENOENT",
  "ENOTDIR",
  "EEXIST",
  "SQLITE_CANTOPEN",
  "SQLITE_READONLY",
];
const full = ["ENOSPC", "EDQUOT", "SQLITE_FULL"];

/** A system error about `folder` as one line that says what to do; any other error as it is. */
export function folderError(error: unknown, folder: string): unknown {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (full.includes(code)) return diskFull(folder, error);
  if (!denied.some((known) => code.startsWith(known))) return error;
  const user = process.getuid?.() ?? "?";
  return new StartupError(
    `cannot write in the data folder ${folder} as user ${user} (${code}): make it writable for this user, or choose another with --data-dir`,
    { cause: error },
  );
}

/** The disk of `folder` has no room left. */
export function diskFull(folder: string, cause?: unknown): StartupError {
  return new StartupError(
    `no space left for the data folder ${folder}: PostgreSQL needs at least 200 MB, free some or choose another folder with --data-dir`,
    { cause },
  );
}
