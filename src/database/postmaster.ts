import { closeSync, existsSync, openSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { StartupError } from "../errors/startup.ts";
import type { Owner } from "./embedded-archive.ts";
import { diskFull } from "./folder-error.ts";

/** What `postmaster.pid` says. */
export interface Postmaster {
  pid: number;
  socketDir: string;
}

/** How to start PostgreSQL. */
interface StartOptions {
  /** The unpacked runtime. */
  runtime: string;
  /** The cluster, `-D`. */
  cluster: string;
  socketDir: string;
  /** Gets what PostgreSQL says on standard error; see `trimLog`. */
  logFile: string;
  owner: Owner;
  /** `-c name=value`. */
  settings: Record<string, string>;
}

const startMsMax = 30_000;
const fastStopMs = 10_000;
const immediateStopMs = 5_000;
const pollMs = 5;
const logBytesMax = 1_000_000;

/** Failures that pass by themselves, while the processes of a killed server are still ending. */
const passing = /shared memory block|lock file|another (postmaster|postgres)/i;

/**
 * The postmaster of a cluster, adopted if one is running, else started and ready to take connections. It is in a session
 * of its own: Ctrl-C in the terminal does not reach it, and it outlives this process. The caller holds the lock which
 * makes this the only one that starts or stops it.
 * @throws {StartupError} it ended, or was not ready within 30 s; with PostgreSQL's own last words.
 */
export async function ensurePostmaster(options: StartOptions): Promise<Postmaster & { adopted: boolean }> {
  const end = performance.now() + startMsMax;
  let child: { process: Bun.Subprocess; logFrom: number } | undefined;
  while (performance.now() < end) {
    const found = readPidFile(options.cluster);
    const runs = found !== undefined && isPostmaster(found.pid, options.cluster);
    if (runs && found.isReady && (await accepts(found.socketDir))) {
      return { pid: found.pid, socketDir: found.socketDir, adopted: child?.process.pid !== found.pid };
    }
    if (child && child.process.exitCode === null && child.process.signalCode === null) {
      // It is starting.
    } else if (!runs) {
      // A postmaster that is starting, or that has been told to stop and still answers, was waited for.
      if (child) {
        const words = lastWords(options.logFile, child.logFrom);
        if (!passing.test(words)) throw failure(words, options);
      }
      if (found) removeStaleFiles(found.pid, options);
      child = start(options);
    }
    await Bun.sleep(pollMs);
  }
  throw failure(lastWords(options.logFile, child?.logFrom ?? 0), options);
}

/** Whether `pid` is the postmaster of this cluster: not another program that has the same number by now, nor a zombie. */
export function isPostmaster(pid: number, cluster: string): boolean {
  if (!isAlive(pid)) return false;
  if (process.platform !== "linux") return true;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(cluster);
  } catch {
    return false;
  }
}

/**
 * Stops the postmaster of a cluster and waits for its end: without waiting for clients, and after 10 s without writing
 * out what is in memory, which the next start recovers from the log. The caller holds the lock. Nothing runs: no work.
 * @throws {Error} it survived 15 s of both.
 */
export async function stopPostmaster(cluster: string): Promise<void> {
  const found = readPidFile(cluster);
  if (!found) return;
  for (const [signal, ms] of [["SIGINT", fastStopMs] as const, ["SIGQUIT", immediateStopMs] as const]) {
    const end = performance.now() + ms;
    if (isPostmaster(found.pid, cluster)) process.kill(found.pid, signal);
    while (isPostmaster(found.pid, cluster) && performance.now() < end) await Bun.sleep(pollMs);
    if (!isPostmaster(found.pid, cluster)) return;
  }
  throw new Error(`PostgreSQL (pid ${found.pid}) did not stop`);
}

/** Keeps the newest 100 kB of a log that has grown over 1 MB. PostgreSQL appends, so that it needs no notice. */
export async function trimLog(logFile: string): Promise<void> {
  const log = Bun.file(logFile);
  if (log.size > logBytesMax) await Bun.write(logFile, await log.slice(-logBytesMax / 10).arrayBuffer());
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** `postmaster.pid`: line 1 is the pid, 5 the folder of the socket, 8 the state. */
function readPidFile(cluster: string): (Postmaster & { isReady: boolean }) | undefined {
  try {
    const lines = readFileSync(join(cluster, "postmaster.pid"), "utf8").split("\n");
    const pid = Number(lines[0]);
    if (!Number.isInteger(pid) || pid <= 0) return undefined;
    return { pid, socketDir: lines[4] ?? "", isReady: lines[7]?.trim() === "ready" };
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

async function accepts(socketDir: string): Promise<boolean> {
  try {
    const socket = await Bun.connect({ unix: join(socketDir, ".s.PGSQL.5432"), socket: { data() {} } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}

/**
 * PostgreSQL sees through the files of a killed one unless another program has its pid by now, which in a container is
 * the rule: pids start again from 1. Whether backends of the killed one still live is told by their shared memory.
 */
function removeStaleFiles(pid: number, { cluster, socketDir }: StartOptions): void {
  if (!isAlive(pid)) return;
  rmSync(join(cluster, "postmaster.pid"), { force: true });
  rmSync(join(socketDir, ".s.PGSQL.5432.lock"), { force: true });
}

function start({ runtime, cluster, socketDir, logFile, owner, settings }: StartOptions) {
  const log = openSync(logFile, "a", 0o600);
  const all = { listen_addresses: "", unix_socket_permissions: "0700", port: "5432", ...settings };
  const command = [join(runtime, "bin/postgres"), "-D", cluster, "-k", socketDir];
  for (const [name, value] of Object.entries(all)) command.push("-c", `${name}=${value}`);
  try {
    const logFrom = statSync(logFile).size;
    // The environment is not handed on: PGPORT, PGDATA and the like would change what is started.
    const child = Bun.spawn(command, {
      ...owner,
      cwd: dirname(runtime),
      env: { LC_ALL: "C", PATH: "/usr/bin:/bin" },
      stdio: ["ignore", log, log],
      detached: true,
    });
    child.unref();
    return { process: child, logFrom };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (code === "EPERM") {
      throw new StartupError(
        `cannot run PostgreSQL as user ${owner?.uid ?? "?"}, and it does not run as root: run llmops as an ordinary user, or set DATABASE_URL`,
        { cause: error },
      );
    }
    if (code === "EACCES") {
      throw new StartupError(
        `cannot execute ${command[0]}: its file system may be mounted noexec; choose another folder with --data-dir, or set DATABASE_URL`,
        { cause: error },
      );
    }
    throw error;
  } finally {
    closeSync(log);
  }
}

/** The line that tells most of what was logged from that byte on: the last fatal one, else the last. */
function lastWords(logFile: string, from: number): string {
  if (!existsSync(logFile)) return "";
  const lines = readFileSync(logFile).subarray(from).toString("utf8").trim().split("\n");
  return lines.findLast((line) => /FATAL|PANIC|error while/.test(line)) ?? lines.at(-1) ?? "";
}

function failure(words: string, { cluster, logFile }: StartOptions): StartupError {
  if (words.includes("No space left on device")) return diskFull(cluster);
  return new StartupError(
    `the embedded PostgreSQL did not start: ${words || "it said nothing"} (more in ${logFile})`,
  );
}
