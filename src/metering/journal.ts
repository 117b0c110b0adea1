import {
  closeSync,
  existsSync,
  fdatasync,
  fdatasyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { type FileLock, tryExclusive } from "../file-lock.ts";
import { newId, type Uuid } from "../id.ts";

/** When what was written is certain to survive a power cut: with each line, or a tenth of a second later at most. */
export type JournalSync = "line" | "interval";

/** Size at which a segment is done, in bytes, and age, in milliseconds. */
const segmentBytesMax = 16 * 1024 * 1024;
const segmentMsMax = 10_000;
/** Longest time that a line is not on the disk itself, in milliseconds. */
const syncMs = 100;

export const lockName = "lock";
/** What PostgreSQL would not take, one line each, for a person to look at. */
export const rejectedName = "rejected.jsonl";

/** The segments of a journal's folder, oldest first. */
export const segmentsIn = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => /^\d{8}\.jsonl$/.test(name))
    .sort()
    .map((name) => join(folder, name));

/** One file of the journal. */
interface Segment {
  path: string;
  fd: number | undefined;
  bytes: number;
  openedAt: number;
  dirty: boolean;
  /** Calls that are mentioned here and not in the database yet. */
  pending: Set<Uuid>;
}

/** The journal of one process: lines that survive its end, until what they say is in the database. */
export interface Journal extends Disposable {
  /** Also names what its process has on lease. */
  readonly id: Uuid;
  readonly folder: string;
  /** Whether everything that it mentions is in the database. */
  readonly settled: boolean;
  /** Keeps the folder, though nothing is in it: something has to be done by whoever brings it in. */
  keep(): void;
  /** Appends a line about a call; it is in the file when this returns. @throws what the system says. */
  append(id: Uuid, line: string): void;
  /** These calls are in the database: a file that mentions no others is deleted. */
  commit(ids: readonly Uuid[]): void;
  /** Ends the current file, so that all there are can be read. Returns them, oldest first. */
  seal(): string[];
}

/** Where lines are encoded, unless they are longer: a buffer for each costs more than writing it. */
const scratchBytes = 64 * 1024;

/** Writes all of `bytes`; a short write goes on. */
function writeAll(fd: number, bytes: Uint8Array, write: typeof writeSync): void {
  for (let at = 0; at < bytes.length; ) at += write(fd, bytes, at, bytes.length - at);
}

/**
 * Opens a journal of this process's own under `root`. Each line is one completed write; a line that could not be written whole
 * ends its file, so that the next one stands on its own.
 */
export function openJournal({
  root,
  sync = "interval",
  now = () => performance.now(),
  write = writeSync,
}: {
  root: string;
  sync?: JournalSync;
  now?: () => number;
  /** For tests: a disk that is full. */
  write?: typeof writeSync;
}): Journal {
  const id = newId();
  const folder = join(root, id);
  // Under another name until it is locked: a folder without a lock is one whose process is gone, to whoever looks for those.
  const made = join(root, `.${id}`);
  mkdirSync(made, { recursive: true, mode: 0o700 });
  const lock = tryExclusive(join(made, lockName)) as FileLock;
  renameSync(made, folder);
  const segments = new Set<Segment>();
  const mentions = new Map<Uuid, Segment[]>();
  let current: Segment | undefined;
  let count = 0;
  let syncing = false;
  let kept = false;

  const scratch = Buffer.allocUnsafeSlow(scratchBytes);
  /** A line as it is written, which holds until the next. */
  const encode = (line: string): Uint8Array => {
    // No character takes more than three bytes in UTF-8.
    if (line.length * 3 >= scratchBytes) return Buffer.from(`${line}\n`);
    const end = scratch.write(line, 0);
    scratch[end] = 0x0a;
    return scratch.subarray(0, end + 1);
  };

  const close = (segment: Segment) => {
    if (segment.fd === undefined) return;
    if (segment.dirty) fdatasyncSync(segment.fd);
    closeSync(segment.fd);
    segment.fd = undefined;
    if (segment === current) current = undefined;
  };
  const dropIfDone = (segment: Segment) => {
    if (segment.fd !== undefined || segment.pending.size > 0) return;
    segments.delete(segment);
    unlinkSync(segment.path);
  };
  const segmentFor = (bytes: number): Segment => {
    if (current && (current.bytes + bytes > segmentBytesMax || now() - current.openedAt > segmentMsMax)) {
      const done = current;
      close(done);
      dropIfDone(done);
    }
    if (current) return current;
    const path = join(folder, `${String(++count).padStart(8, "0")}.jsonl`);
    const fd = openSync(path, "ax", 0o600);
    current = { path, fd, bytes: 0, openedAt: now(), dirty: false, pending: new Set() };
    segments.add(current);
    return current;
  };

  const syncer = setInterval(() => {
    const segment = current;
    if (syncing || !segment?.dirty || segment.fd === undefined) return;
    syncing = true;
    segment.dirty = false;
    fdatasync(segment.fd, () => {
      syncing = false;
    });
  }, syncMs);

  return {
    id,
    folder,
    get settled() {
      return mentions.size === 0;
    },
    keep() {
      kept = true;
    },
    append(id, line) {
      const bytes = encode(line);
      const segment = segmentFor(bytes.length);
      try {
        writeAll(segment.fd as number, bytes, write);
      } catch (error) {
        close(segment);
        throw error;
      }
      segment.bytes += bytes.length;
      segment.dirty = true;
      if (sync === "line") {
        fdatasyncSync(segment.fd as number);
        segment.dirty = false;
      }
      if (segment.pending.has(id)) return;
      segment.pending.add(id);
      const known = mentions.get(id);
      if (known) known.push(segment);
      else mentions.set(id, [segment]);
    },
    commit(ids) {
      for (const id of ids) {
        for (const segment of mentions.get(id) ?? []) {
          segment.pending.delete(id);
          dropIfDone(segment);
        }
        mentions.delete(id);
      }
    },
    seal() {
      if (current) close(current);
      return [...segments].map(({ path }) => path);
    },
    [Symbol.dispose]() {
      clearInterval(syncer);
      if (current) close(current);
      for (const segment of segments) dropIfDone(segment);
      lock.release();
      const clean = segments.size === 0 && !kept && !existsSync(join(folder, rejectedName));
      if (clean) rmSync(folder, { recursive: true, force: true });
    },
  };
}
