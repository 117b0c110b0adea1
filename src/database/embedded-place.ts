import {
  chmodSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  statSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { StartupError } from "../errors/startup.ts";
import type { Log } from "../log.ts";
import type { Owner } from "./embedded-archive.ts";
import { folderError } from "./folder-error.ts";

/** PostgreSQL refuses to run as root, and this id exists wherever ids do; its name need not. */
const nobody = { uid: 65534, gid: 65534 };
/** Where the cluster goes when `nobody` cannot get into root's data folder. */
const systemFolder = "/var/lib/llmops";
/** PostgreSQL's default port; over a unix socket it is no more than a part of the file's name. */
const socketName = ".s.PGSQL.5432";
/** The kernel's limit is 107 bytes on Linux and 103 on macOS. */
const socketPathBytesMax = 100;

/** Where one embedded database keeps its parts. All paths are absolute and without links. */
export interface EmbeddedPlace {
  /** The data folder itself. */
  dataDir: string;
  /** Locks, pid file and log: always in the data folder, owned by this process's user. */
  locks: string;
  /** Holds the unpacked runtime, `data` and `run`. */
  home: string;
  /** The cluster: PostgreSQL's `-D`. */
  cluster: string;
  /** The folder of the socket. */
  socketDir: string;
  /** Whom PostgreSQL runs as; `undefined`: this process's user. */
  owner: Owner;
}

const isRoot = () => process.getuid?.() === 0;
/** Only the owner may enter; root's may be passed through, but not read. */
const folderMode = () => (isRoot() ? 0o711 : 0o700);

/**
 * Makes the data folder where it is missing; returns its path without links. Only its owner may enter it; root's may be
 * passed through, but not read, so that PostgreSQL can run as an ordinary user below it.
 * @throws {StartupError} the folder cannot be made, with what to do.
 */
export function makeDataDir(dataDir: string): string {
  const asked = resolve(dataDir);
  try {
    mkdirSync(asked, { recursive: true, mode: folderMode() });
    return realpathSync(asked);
  } catch (error) {
    throw folderError(error, asked);
  }
}

/**
 * Makes the data folder where it is missing and decides where the database lives in it.
 * @throws {StartupError} the folder cannot be used, with what to do.
 */
export function openPlace(dataDir: string, log: Log): EmbeddedPlace {
  const folder = makeDataDir(dataDir);
  try {
    const locks = join(folder, "postgres");
    if (isRoot()) letPass(folder);
    mkdirSync(locks, { recursive: true, mode: folderMode() });
    const { home, owner } = isRoot() ? homeAsRoot(folder, locks, log) : { home: locks, owner: undefined };
    return {
      dataDir: folder,
      locks,
      home,
      cluster: join(home, "data"),
      socketDir: openSocketDir(home, folder, owner),
      owner,
    };
  } catch (error) {
    throw folderError(error, folder);
  }
}

/** Whether a folder holds a cluster. */
export const hasCluster = (cluster: string) => existsSync(join(cluster, "PG_VERSION"));

/** A short name that is the same each time for the same folder. */
const shortName = (folder: string) => Bun.SHA256.hash(folder, "hex").slice(0, 12);

/** A folder of root's own gets the right to be passed through, nothing more. */
function letPass(folder: string): void {
  const { uid, mode } = statSync(folder);
  if (uid === 0 && (mode & 0o011) !== 0o011) chmodSync(folder, (mode & 0o777) | 0o011);
}

/** An existing cluster stays where it is and its owner's; a new one goes to the data folder if it can. */
function homeAsRoot(folder: string, locks: string, log: Log): { home: string; owner: NonNullable<Owner> } {
  const elsewhere = join(systemFolder, shortName(folder));
  const existing = [locks, elsewhere].find((home) => hasCluster(join(home, "data")));
  const owner = existing === undefined ? nobody : ownerOf(join(existing, "data"));
  const home = existing ?? (canUse(locks, owner) ? locks : elsewhere);
  if (home === elsewhere) {
    mkdirSync(elsewhere, { recursive: true, mode: 0o711 });
    log.info("the data folder cannot be reached by the user of the database, which lives elsewhere", {
      dataDir: folder,
      database: elsewhere,
      uid: owner.uid,
    });
  }
  if (!canUse(home, owner)) {
    throw new StartupError(
      `the embedded PostgreSQL does not run as root, and user ${owner.uid} cannot use ${home}: let it pass every folder above (chmod o+x), run llmops as an ordinary user, or set DATABASE_URL`,
    );
  }
  return { home, owner };
}

/** The owner of a cluster; one that was copied by root is given back to the user whom PostgreSQL runs as. */
function ownerOf(cluster: string): NonNullable<Owner> {
  const { uid, gid } = statSync(cluster);
  if (uid !== 0) return { uid, gid };
  for (const name of readdirSync(cluster, { recursive: true, encoding: "utf8" })) {
    lchownSync(join(cluster, name), nobody.uid, nobody.gid);
  }
  lchownSync(cluster, nobody.uid, nobody.gid);
  return nobody;
}

/** Whether that user can get to `home`, and the file system lets files be given to it. */
function canUse(home: string, owner: NonNullable<Owner>): boolean {
  for (let folder = home; ; folder = dirname(folder)) {
    const { uid, gid, mode } = statSync(folder);
    const pass = uid === owner.uid ? 0o100 : gid === owner.gid ? 0o010 : 0o001;
    if ((mode & pass) === 0) return false;
    if (folder === dirname(folder)) break;
  }
  try {
    makePrivate(join(home, "run"), owner);
    return statSync(join(home, "run")).uid === owner.uid;
  } catch {
    return false;
  }
}

/** Makes a folder which only `owner` may enter. */
function makePrivate(folder: string, owner: Owner): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (owner && lstatSync(folder).uid !== owner.uid) lchownSync(folder, owner.uid, owner.gid);
}

/** The folder of the socket: only PostgreSQL's user gets in, and the path fits into what the kernel takes. */
function openSocketDir(home: string, folder: string, owner: Owner): string {
  const usual = join(home, "run");
  const uid = owner?.uid ?? process.getuid?.() ?? 0;
  const fits = Buffer.byteLength(join(usual, socketName)) <= socketPathBytesMax;
  // Not $TMPDIR: every process must find the same folder, whatever its environment.
  const socketDir = fits ? usual : join("/tmp", `llmops-${uid}-${shortName(folder)}`);
  if (!existsSync(socketDir)) makePrivate(socketDir, owner);
  const found = lstatSync(socketDir);
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o777) !== 0o700) {
    throw new StartupError(
      `${socketDir} must be a folder (not a link) of user ${uid} with mode 0700, for the database's socket: remove it, or choose another --data-dir`,
    );
  }
  return socketDir;
}
