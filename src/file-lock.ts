import { Database } from "bun:sqlite";
import { chmodSync } from "node:fs";

/** A held lock. Keep a reference to it: the lock goes with `release()`, with the handle, or with the process. */
export interface FileLock extends Disposable {
  /** Gives the lock back; a second call does nothing. */
  release(): void;
}

/**
 * Locks of the operating system (`fcntl`) by way of SQLite, since Bun has no call for them. They vanish with the
 * process, however it ends, and children do not inherit them. Nothing is ever stored: the file stays empty. Never open
 * it by other means, because closing any descriptor of a file drops all of the process's locks on it.
 */
function lock(path: string, begin: (database: Database) => void): FileLock | undefined {
  const database = new Database(path);
  try {
    // Others could hold the lock up for ever if they could as much as read the file.
    chmodSync(path, 0o600);
    // No journal beside it: there is nothing to roll back.
    database.run("pragma journal_mode = memory");
    begin(database);
  } catch (error) {
    database.close();
    if (error instanceof Error && "code" in error && error.code === "SQLITE_BUSY") return undefined;
    throw error;
  }
  const release = () => database.close();
  return { release, [Symbol.dispose]: release };
}

/**
 * Takes the lock at `path` alone; `undefined` if anybody has it, this process included.
 * @throws SQLite's and system errors where the file cannot be made or locked.
 */
export function tryExclusive(path: string): FileLock | undefined {
  return lock(path, (database) => database.run("begin exclusive"));
}

/** Takes the lock at `path` together with other sharers; `undefined` if somebody has it alone. @throws as above. */
export function tryShared(path: string): FileLock | undefined {
  return lock(path, (database) => {
    database.run("begin");
    // The lock comes with the first read.
    database.query("select count(*) from sqlite_schema").get();
  });
}

/** As `tryExclusive`, but waits up to `timeoutMs` for others to release; `undefined` if they did not. */
export function exclusive(path: string, timeoutMs: number): Promise<FileLock | undefined> {
  return retry(() => tryExclusive(path), timeoutMs);
}

/** As `tryShared`, but waits up to `timeoutMs` for the one who has it alone; `undefined` if that did not end. */
export function shared(path: string, timeoutMs: number): Promise<FileLock | undefined> {
  return retry(() => tryShared(path), timeoutMs);
}

async function retry(take: () => FileLock | undefined, timeoutMs: number): Promise<FileLock | undefined> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const taken = take();
    if (taken || performance.now() >= end) return taken;
    await Bun.sleep(10);
  }
}
