import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readTar, type TarEntry } from "./tar.ts";

/** What the archive says of itself without being unpacked. */
export interface ArchiveHeader {
  /** PostgreSQL's version, e.g. `18.4`. */
  version: string;
  /** The first 12 hexadecimal digits of the SHA-256 of the runtime's part. */
  hash: string;
}

/** The numeric user and group that are to own unpacked files; `undefined` leaves them to this process's. */
export type Owner = { uid: number; gid: number } | undefined;

/** zstd decoders skip a frame with this number, so `zstd -d` and `tar` read the file as well. */
const skippableFrame = 0x184d2a50;
const headerBytesMax = 256;

/** The bytes to put before the compressed archive. */
export function encodeHeader(header: ArchiveHeader): Uint8Array {
  const json = Buffer.from(JSON.stringify(header));
  const frame = Buffer.alloc(8 + json.length);
  frame.writeUInt32LE(skippableFrame, 0);
  frame.writeUInt32LE(json.length, 4);
  frame.set(json, 8);
  return frame;
}

/** The header of the archive file; `undefined` for an empty one, which a platform without PostgreSQL has. */
export async function readHeader(archive: string): Promise<ArchiveHeader | undefined> {
  const start = Buffer.from(await Bun.file(archive).slice(0, headerBytesMax).arrayBuffer());
  if (start.length === 0) return undefined;
  if (start.readUInt32LE(0) !== skippableFrame) throw new Error(`not an archive of PostgreSQL: ${archive}`);
  return JSON.parse(start.toString("utf8", 8, 8 + start.readUInt32LE(4)));
}

/** Decompresses the whole archive into memory (about 60 MB). */
export async function readArchive(archive: string): Promise<TarEntry[]> {
  const bytes = Buffer.from(await Bun.file(archive).arrayBuffer());
  const frames = bytes.subarray(8 + bytes.readUInt32LE(4));
  return [...readTar(await Bun.zstdDecompress(frames))];
}

/**
 * Writes the entries below `prefix` into the new folder `target`. All of it is on the disk under a temporary name
 * before the folder gets its name: killed or cut off at any moment, there is the whole folder or none.
 * @throws system errors, e.g. ENOSPC, EACCES, or ENOTEMPTY where `target` exists with something in it.
 */
export async function unpack(entries: readonly TarEntry[], prefix: string, target: string, owner: Owner) {
  const unfinished = `${target}.tmp`;
  await rm(unfinished, { recursive: true, force: true });
  const parts = entries
    .filter(({ path }) => path === prefix || path.startsWith(`${prefix}/`))
    .map((entry) => ({ ...entry, path: join(unfinished, entry.path.slice(prefix.length)) }));
  const folders = parts.filter(({ bytes }) => bytes === undefined);
  for (const { path } of folders) await mkdir(path, { recursive: true, mode: 0o700 });

  // Together, the writes to the disk share its flushes: one after another, a thousand of them take seconds.
  await each(parts, async ({ path, mode, bytes }) => {
    const file = await open(path, bytes === undefined ? "r" : "wx", mode);
    try {
      if (bytes !== undefined) await file.writeFile(bytes);
      if (owner) await file.chown(owner.uid, owner.gid);
      await file.chmod(mode);
      if (bytes !== undefined) await file.sync();
    } finally {
      await file.close();
    }
  });
  await each(folders, ({ path }) => syncFolder(path));
  await rename(unfinished, target);
  await syncFolder(dirname(target));
}

/** Makes new names in a folder outlive a power cut. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Runs `work` for every item, 32 at a time. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      for (const item of rest) await work(item);
    }),
  );
}
