import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { StartupError } from "../errors/startup.ts";
import { exclusive, type FileLock, shared, tryExclusive } from "../file-lock.ts";
import type { Log } from "../log.ts";
import { type ArchiveHeader, readArchive, readHeader, unpack } from "./embedded-archive.ts";
import { type EmbeddedPlace, hasCluster, openPlace } from "./embedded-place.ts";
import { folderError } from "./folder-error.ts";
import { ensurePostmaster, isPostmaster, type Postmaster, stopPostmaster, trimLog } from "./postmaster.ts";

/** A running embedded database, and this process's share in it. */
export interface EmbeddedDatabase extends AsyncDisposable {
  /** `postgres://llmops@localhost:5432/llmops?host=<folder of the socket, URL-encoded>`; never changes. */
  readonly url: string;
  /** Gives the share back; the last user stops PostgreSQL (at most 15 s). A second call does nothing. */
  stop(): Promise<void>;
}

/** What `startEmbedded` needs. */
export interface EmbeddedOptions {
  /** The data folder; made if missing. */
  dataDir: string;
  /** The packed PostgreSQL: a path that `Bun.file` reads. */
  archive: string;
  log: Log;
  /** `serve`: the one service on this folder, which also restarts a database that died. `attach`: any other command. */
  role: "serve" | "attach";
  /** Further settings of PostgreSQL, used if this call starts it. */
  settings?: Record<string, string>;
}

/** Longer than a start may take, so that whoever waits for one sees its end. */
const startLockMsMax = 40_000;
const superviseMs = 250;
const failedRestartRestMs = 5_000;
/** What PostgreSQL logs of failed statements is its clients' affair, who see the errors themselves. */
const defaults = { max_connections: "200", log_min_messages: "log", log_min_error_statement: "panic" };
const runtimeName = /^\d+\.\d+-[0-9a-f]{12}$/;

/**
 * Starts the embedded PostgreSQL of a data folder, or joins the one that runs there. The first start unpacks it and
 * makes the cluster; an existing cluster is never replaced. All users of a folder hold a shared lock, the last one to
 * stop also stops the database. A killed user leaves it running for the next start to adopt.
 * @throws {StartupError} for what a person can mend: a second `serve`, a folder that cannot be used, a cluster of another
 * major version, no PostgreSQL in this build, one that does not start.
 */
export async function startEmbedded({
  dataDir,
  archive,
  log,
  role,
  settings = {},
}: EmbeddedOptions): Promise<EmbeddedDatabase> {
  const header = await readHeader(archive);
  if (!header) {
    throw new StartupError("this build has no embedded PostgreSQL (musl, Windows): set DATABASE_URL");
  }
  const place = openPlace(dataDir, log);
  const locks = openLocks(place);
  const logFile = join(place.locks, "postgres.log");
  const runtime = join(place.home, `${header.version}-${header.hash}`);
  const held: FileLock[] = [];
  const release = () => {
    for (const lock of held.splice(0)) lock.release();
  };

  const ensure = async (): Promise<Postmaster> => {
    const { adopted, ...postmaster } = await ensurePostmaster({
      runtime,
      cluster: place.cluster,
      socketDir: place.socketDir,
      logFile,
      owner: place.owner,
      settings: { ...defaults, ...settings },
    });
    if (!adopted) await removeOldRuntimes(place.home, runtime);
    return postmaster;
  };

  let postmaster: Postmaster;
  try {
    if (role === "serve") held.push(locks.serve());
    using _starting = await locks.start();
    held.push(await locks.users());
    const unpacked = await install({ place, archive, header, runtime });
    // A service lives for weeks: the 130 MB which unpacking took need not stay until its next collection.
    if (unpacked) Bun.gc(true);
    postmaster = await ensure();
  } catch (error) {
    release();
    throw folderError(error, place.dataDir);
  }

  /** Starts a database that died again; one attempt at a time, and none once `stop` was called. */
  let stopping = false;
  let healing = false;
  let restAfterFailure = 0;
  const supervise = async () => {
    if (healing || stopping || performance.now() < restAfterFailure) return;
    await trimLog(logFile);
    if (isPostmaster(postmaster.pid, place.cluster)) return;
    healing = true;
    try {
      using _starting = await locks.start();
      if (stopping) return;
      log.warn("the database ended unexpectedly and is started again", { pid: postmaster.pid });
      postmaster = await ensure();
      log.info("the database is running again", { pid: postmaster.pid });
    } catch (error) {
      restAfterFailure = performance.now() + failedRestartRestMs;
      log.error("the database could not be started again", { dataDir: place.dataDir }, error);
    } finally {
      healing = false;
    }
  };
  const supervision = role === "serve" ? setInterval(supervise, superviseMs) : undefined;
  supervision?.unref();

  const stopOnce = async () => {
    stopping = true;
    clearInterval(supervision);
    if (role === "serve") rmSync(locks.servePidFile, { force: true });
    release();
    using _starting = await locks.start();
    using last = locks.tryLast();
    if (last) await stopPostmaster(place.cluster);
  };
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= stopOnce();
    return stopped;
  };
  const url = `postgres://llmops@localhost:5432/llmops?host=${encodeURIComponent(postmaster.socketDir)}`;
  return { url, stop, [Symbol.asyncDispose]: stop };
}

/**
 * Three locks: `start` is held around every look at, start and stop of PostgreSQL; `serve` by the one service; `users`
 * is shared by everybody who uses the database, so that whoever gets it alone was the last.
 */
function openLocks({ locks, dataDir }: EmbeddedPlace) {
  const path = (name: string) => join(locks, `${name}.lock`);
  const servePidFile = join(locks, "serve.pid");
  const held = (lock: FileLock | undefined, what: string): FileLock => {
    if (lock) return lock;
    throw new StartupError(
      `${what} the data folder ${dataDir} for more than 40 s: try again, or use another --data-dir`,
    );
  };
  return {
    servePidFile,
    start: async () =>
      held(await exclusive(path("start"), startLockMsMax), "another llmops is starting or stopping"),
    users: async () => held(await shared(path("users"), startLockMsMax), "another llmops is stopping"),
    tryLast: () => tryExclusive(path("users")),
    serve: () => {
      const lock = tryExclusive(path("serve"));
      if (lock) {
        writeFileSync(servePidFile, `${process.pid}\n`, { mode: 0o600 });
        return lock;
      }
      const pid = existsSync(servePidFile) ? readFileSync(servePidFile, "utf8").trim() : "unknown";
      throw new StartupError(
        `llmops serve (pid ${pid}) already runs on the data folder ${dataDir}: stop it or use another --data-dir; other commands may run beside it`,
      );
    },
  };
}

/** Makes sure that the runtime is unpacked and that there is a cluster which it can open; tells if it did either. */
async function install(at: {
  place: EmbeddedPlace;
  archive: string;
  header: ArchiveHeader;
  runtime: string;
}) {
  const { cluster, owner } = at.place;
  if (hasCluster(cluster)) refuseOtherMajor(cluster, at.header.version, at.place.dataDir);
  else if (existsSync(cluster) && readdirSync(cluster).length > 0) {
    throw new StartupError(`${cluster} is not empty and not a PostgreSQL cluster: move it away`);
  }
  if (existsSync(at.runtime) && hasCluster(cluster)) return false;
  const entries = await readArchive(at.archive);
  await Promise.all([
    existsSync(at.runtime) ? undefined : unpack(entries, "runtime", at.runtime, undefined),
    hasCluster(cluster) ? undefined : unpack(entries, "cluster", cluster, owner),
  ]);
  return true;
}

function refuseOtherMajor(cluster: string, version: string, dataDir: string): void {
  const found = readFileSync(join(cluster, "PG_VERSION"), "utf8").trim();
  const own = version.split(".")[0];
  if (found === own) return;
  throw new StartupError(
    `the data folder ${dataDir} is of PostgreSQL ${found}, and this llmops brings ${own}: start the llmops that made it and export the database with pg_dump, or choose another folder with --data-dir`,
  );
}

/** Removes runtimes of earlier releases, and what a killed start left half unpacked. The caller holds the start lock. */
async function removeOldRuntimes(home: string, current: string): Promise<void> {
  for (const name of readdirSync(home)) {
    const path = join(home, name);
    const isOld = runtimeName.test(name.replace(/\.tmp$/, "")) && path !== current;
    if (isOld) await rm(path, { recursive: true, force: true });
  }
}
