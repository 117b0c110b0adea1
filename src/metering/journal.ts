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
import { FailError } from "../errors/app-error.ts";
import { type FileLock, tryExclusive } from "../file-lock.ts";
import { newId, type Uuid } from "../id.ts";
import type { Written } from "../sql/row.ts";

/** When what was written is certain to survive a power cut: at once, or a tenth of a second later at most. */
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
    .filter((name) => /^\d{8}\.rows$/.test(name))
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
  pending: number;
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
  /**
   * Appends a line about a call. Resolves once it is in the file: lines of one turn of the event loop are written together.
   * Rejects with a {@link FailError}, and then for all of them.
   */
  append(id: Uuid, line: Written): Promise<void>;
  /** These calls are in the database: a file that mentions no others is deleted. */
  commit(ids: readonly Uuid[]): void;
  /** Ends the current file, so that all there are can be read. Returns them, oldest first. */
  seal(): string[];
}

/** Most of what is written together, unless one line alone is longer, in bytes. */
const turnBytesMax = 256 * 1024;

/** Lines that are written together. */
interface Turn {
  ids: Uuid[];
  written: PromiseWithResolvers<void>;
}

/** Writes all of `bytes`; a short write goes on. */
function writeAll(fd: number, bytes: Uint8Array, write: typeof writeSync): void {
  for (let at = 0; at < bytes.length; ) at += write(fd, bytes, at, bytes.length - at);
}

/**
 * Opens a journal of this process's own under `root`. What could not be written whole ends its file, so that the next line stands
 * on its own.
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
  /** Where calls are mentioned that are not in the database yet, the last segment last. */
  const mentions = new Map<Uuid, Segment[]>();
  let current: Segment | undefined;
  let count = 0;
  let syncing = false;
  let kept = false;

  let turn: Turn | undefined;
  /** The bytes of the turn, as far as they are set. */
  const gathered = Buffer.allocUnsafeSlow(turnBytesMax);
  let gatheredBytes = 0;

  const close = (segment: Segment) => {
    if (segment.fd === undefined) return;
    if (segment.dirty) fdatasyncSync(segment.fd);
    closeSync(segment.fd);
    segment.fd = undefined;
    if (segment === current) current = undefined;
  };
  const dropIfDone = (segment: Segment) => {
    if (segment.fd !== undefined || segment.pending > 0) return;
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
    const path = join(folder, `${String(++count).padStart(8, "0")}.rows`);
    const fd = openSync(path, "ax", 0o600);
    current = { path, fd, bytes: 0, openedAt: now(), dirty: false, pending: 0 };
    segments.add(current);
    return current;
  };
  const mention = (id: Uuid, segment: Segment) => {
    const known = mentions.get(id);
    if (known?.at(-1) === segment) return;
    if (known) known.push(segment);
    else mentions.set(id, [segment]);
    segment.pending++;
  };
  const writeTurn = ({ ids, written }: Turn, bytes: Uint8Array) => {
    let segment: Segment | undefined;
    try {
      segment = segmentFor(bytes.length);
      // Beforehand: what is written in part is there, too.
      for (const id of ids) mention(id, segment);
      writeAll(segment.fd as number, bytes, write);
      segment.bytes += bytes.length;
      segment.dirty = true;
      if (sync === "line") {
        fdatasyncSync(segment.fd as number);
        segment.dirty = false;
      }
      written.resolve();
    } catch (error) {
      if (segment) close(segment);
      written.reject(new FailError("journal.failed", { cause: error }));
    }
  };
  const flush = () => {
    const ready = turn;
    if (!ready) return;
    const bytes = gathered.subarray(0, gatheredBytes);
    turn = undefined;
    gatheredBytes = 0;
    writeTurn(ready, bytes);
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
    append(id, { bytes, length }) {
      if (gatheredBytes + length > turnBytesMax) flush();
      if (length > turnBytesMax) {
        const alone: Turn = { ids: [id], written: Promise.withResolvers() };
        writeTurn(alone, bytes.subarray(0, length));
        return alone.written.promise;
      }
      if (!turn) {
        turn = { ids: [], written: Promise.withResolvers() };
        setImmediate(flush);
      }
      turn.ids.push(id);
      bytes.copy(gathered, gatheredBytes, 0, length);
      gatheredBytes += length;
      return turn.written.promise;
    },
    commit(ids) {
      for (const id of ids) {
        for (const segment of mentions.get(id) ?? []) {
          segment.pending--;
          dropIfDone(segment);
        }
        mentions.delete(id);
      }
    },
    seal() {
      flush();
      if (current) close(current);
      return [...segments].map(({ path }) => path);
    },
    [Symbol.dispose]() {
      clearInterval(syncer);
      flush();
      if (current) close(current);
      for (const segment of segments) dropIfDone(segment);
      lock.release();
      const clean = segments.size === 0 && !kept && !existsSync(join(folder, rejectedName));
      if (clean) rmSync(folder, { recursive: true, force: true });
    },
  };
}
