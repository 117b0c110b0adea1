import type { Guard } from "../database/health.ts";
import type { Sql } from "../database/pool.ts";
import type { Uuid } from "../id.ts";
import type { Log } from "../log.ts";
import { RowWriter } from "../sql/row.ts";
import { Batch, sizeOf } from "./batch.ts";
import { createReject, writeOrReject } from "./flush.ts";
import type { Journal } from "./journal.ts";
import { type Closed, createJournalReader, writeCloseLine, writeOpenLine } from "./lines.ts";
import type { Recorder } from "./record.ts";

/** How often what has ended is written to the database, in milliseconds; sooner when a batch is full. */
const flushMs = 200;
/** Most of what waits for the database that is kept in memory, in characters; the rest is read back from the journal. */
const waitingMax = 32 * 1024 * 1024;
/** Longest pause between attempts while the database is away, in milliseconds. */
const retryMsMax = 1000;
/** How long the end of the process waits for the database, in milliseconds; the journal keeps what is left. */
const disposeMs = 5000;

/** Calls whose ends the journal writes together. */
interface Ending {
  written: Promise<void>;
  ids: Uuid[];
}

/** A recorder over a journal and a database. Disposing of it writes what has ended. */
export interface FlushingRecorder extends Recorder, AsyncDisposable {
  /** Resolves once everything that is closed by now is in the database. */
  flushed(): Promise<void>;
}

/**
 * Creates the recorder of a process over its journal, which it disposes of with itself; `release` is done in between, when
 * nothing more will be written.
 */
export function createRecorder({
  sql,
  journal,
  log,
  guard = (service) => service,
  release = async () => {},
  waitingBytesMax = waitingMax,
}: {
  sql: Sql;
  journal: Journal;
  log: Log;
  /** Makes functions end while the database is away, rather than wait for a connection that nobody answers on. */
  guard?: Guard;
  release?: () => Promise<void>;
  waitingBytesMax?: number;
}): FlushingRecorder {
  /** Questions of calls in flight, until they end. */
  const questions = new Map<Uuid, string>();
  /** Ended calls that wait for the database: whole batches, and the one that the next call comes to. */
  const batches: Batch[] = [];
  let filling = new Batch();
  /** For the next batch: it has its memory already. */
  let spare: Batch | undefined;
  /** What is being written, or could not be. */
  let tried: Batch | undefined;
  /** The size of all that waits, in characters. */
  let waiting = 0;
  /** Ended calls that are in the journal only. */
  const spilled = new Set<Uuid>();
  let flushing: Promise<boolean> | undefined;
  let away = false;
  let disposed = false;
  let timer: Timer | undefined;
  /** Ended calls on their way into the journal, which writes what comes in one turn at once; and when they are there. */
  let ending: Ending | undefined;
  let closing = Promise.resolve();
  /** What is being written down at the moment. */
  const line = new RowWriter();

  const reject = createReject(journal.folder, log);
  const database = guard({
    write: (batch: Batch) => writeOrReject(sql, batch, journal.id, reject),
  });
  const write = async (batch: Batch) => {
    // What is not in the journal yet could not be crossed out there.
    await closing;
    await database.write(batch);
    if (away) log.info("records are written to the database again");
    away = false;
    journal.commit(batch.ids);
  };

  /** Reads back what memory had no room for; what finds none meanwhile is for the next time. */
  const recover = async () => {
    const missing = new Set(spilled);
    const reader = createJournalReader((id) => missing.has(id));
    for (const path of journal.seal()) {
      for (const batch of Batch.all(reader.read(path))) {
        await write(batch);
        for (const id of batch.ids) {
          missing.delete(id);
          spilled.delete(id);
        }
      }
    }
    if (missing.size === 0) return;
    log.error("records are missing from the journal", { calls: missing.size });
    for (const id of missing) spilled.delete(id);
  };

  /** What has come together is a batch. */
  const seal = () => {
    if (filling.ids.length === 0) return;
    batches.push(filling);
    filling = spare ?? new Batch();
    spare = undefined;
  };

  /** Writes all that waits. What ends meanwhile waits for the next time, unless it fills a batch: the fewer, the cheaper. */
  const flush = async () => {
    // Not each time that the database is tried: what comes while it is away makes whole batches.
    if (batches.length === 0) seal();
    for (let [batch] = batches; batch; [batch] = batches) {
      const again = batch === tried;
      tried = batch;
      await write(batch);
      batches.shift();
      tried = undefined;
      waiting -= batch.size;
      // What was given up may go on after all: it must find what it began with.
      if (again) continue;
      batch.clear();
      spare = batch;
    }
    if (spilled.size > 0) await recover();
  };

  /** The same, again and again while the database is away; `false` where the process ends before it is back. */
  const flushOrWait = async (): Promise<boolean> => {
    for (let pauseMs = 100; ; pauseMs = Math.min(pauseMs * 2, retryMsMax)) {
      try {
        await flush();
        return true;
      } catch (error) {
        const calls = batches.reduce((total, { ids }) => total + ids.length, 0);
        if (!away) log.warn("records wait for the database", { waiting: calls, cause: String(error) });
        away = true;
        if (disposed) return false;
        await Bun.sleep(pauseMs);
      }
    }
  };

  /** One flush at a time. */
  const run = (): Promise<boolean> => {
    clearTimeout(timer);
    timer = undefined;
    flushing ??= flushOrWait().finally(() => {
      flushing = undefined;
      if (waits() && !disposed) schedule();
    });
    return flushing;
  };
  const waits = () => batches.length > 0 || filling.ids.length > 0 || spilled.size > 0;
  const schedule = () => {
    if (batches.length > 0 && !flushing) void run();
    else timer ??= setTimeout(() => void run(), flushMs);
  };
  const runAll = async () => {
    while (waits() && (await run()));
  };

  /** Keeps a call until the database has it; `line` is its own. */
  const keep = (call: Closed, rowEnd: number) => {
    waiting += filling.add(call, line, rowEnd);
    if (filling.full) seal();
    schedule();
  };

  /** Keeps a call that memory has no room for where it is read back from, as soon as it is there. */
  const spill = (call: Closed, written: Promise<void>) =>
    written.then(
      () => {
        spilled.add(call.id);
        schedule();
      },
      () => keep(call, writeCloseLine(line, call)),
    );

  /** Takes care of calls that end together. Resolves once they are in the journal. */
  const end = (together: Ending): Promise<void> => {
    ending = together;
    return together.written.catch((error) => {
      for (const request_id of together.ids)
        log.error("the end of a call could not be written to the journal", { request_id }, error);
    });
  };

  return {
    open(standing, { question = null, charges } = {}) {
      if (question !== null) questions.set(standing.id, question);
      writeOpenLine(line, { record: standing, charges, question });
      return journal.append(standing.id, line);
    },
    close(record, { question, charges, answer = null, truncated = false } = {}) {
      const { id } = record;
      const call: Closed = { id, record, charges, question: question ?? null, answer, truncated };
      const rowEnd = writeCloseLine(line, call);
      const written = journal.append(id, line);
      if (ending?.written === written) ending.ids.push(id);
      else closing = end({ written, ids: [id] });
      // Where it stands in the journal already, only the database lacks it.
      call.question ??= questions.get(id) ?? null;
      questions.delete(id);
      // Only while the database is behind: what is being written is neither dropped nor read back.
      if (waiting + sizeOf(call, rowEnd) > waitingBytesMax) void spill(call, written);
      else keep(call, rowEnd);
      return closing;
    },
    async flushed() {
      await closing;
      await runAll();
    },
    async [Symbol.asyncDispose]() {
      await closing;
      disposed = true;
      let late: Timer | undefined;
      const limit = new Promise<void>((resolve) => {
        late = setTimeout(resolve, disposeMs);
      });
      await Promise.race([runAll(), limit]);
      clearTimeout(late);
      clearTimeout(timer);
      await release();
      journal[Symbol.dispose]();
    },
  };
}
