import { readFileSync } from "node:fs";
import type { Uuid } from "../id.ts";
import {
  readRequestContentRow,
  readRequestRow,
  writeRequestContentRow,
  writeRequestRow,
} from "../sql/request.ts";
import { RowReader, type RowWriter } from "../sql/row.ts";
import { attemptsJson, type StoredAttempt, wholeAttempts } from "./attempts.ts";
import { type CallRecord, type Charge, type Charges, type Refusal, toCharges } from "./record.ts";

/** A call that is over and not in the database yet, with its content. */
export interface Closed {
  id: Uuid;
  record: CallRecord;
  charges: Charges | undefined;
  /** JSON texts. */
  question: string | null;
  answer: string | null;
  truncated: boolean;
}

/** Whether something of what was asked and answered is kept. */
export const hasContent = ({ question, answer }: Closed): boolean => question !== null || answer !== null;

/**
 * A line of a journal begins with what it is, a byte, and the length of what follows, four bytes: the rows of a call and of its
 * content as `copy` takes them.
 */
const kinds = { open: 0x6f, close: 0x63 } as const;
const headBytes = 5;

/** Where the row of a call begins in its line. */
export const rowStart = headBytes;

/** Writes a line; returns where the row of the call ends. */
function writeLine(
  to: RowWriter,
  kind: keyof typeof kinds,
  { record, charges, question, answer, truncated }: Omit<Closed, "id">,
): number {
  to.reset();
  to.byte(kinds[kind]);
  to.count(0);
  writeRequestRow(to, record, {
    attempts: attemptsJson(record, record.attempts),
    charges: charges?.json,
    refusal: record.refusal && JSON.stringify(record.refusal),
  });
  const rowEnd = to.length;
  const { id, app_id } = record;
  writeRequestContentRow(to, { id, app_id, question, answer, truncated });
  to.count(to.length - headBytes, headBytes - 4);
  return rowEnd;
}

/** The line of a call's attempt: what stands on record if nothing more is heard. */
export const writeOpenLine = (
  to: RowWriter,
  { record, charges, question }: Pick<Closed, "record" | "charges" | "question">,
): void => {
  writeLine(to, "open", { record, charges, question, answer: null, truncated: false });
};

/** The line of a call's end; without its question where that stands in an earlier line. Returns where the row of the call ends. */
export const writeCloseLine = (to: RowWriter, call: Closed): number => writeLine(to, "close", call);

/** What the row of a call was made of. @throws {RangeError} it was not written whole. @throws {SyntaxError} what should be JSON is none. */
function readCall(from: RowReader): Pick<Closed, "id" | "record" | "charges"> {
  const { attempts, charges, refusal, ...row } = readRequestRow(from);
  const call = row as Omit<CallRecord, "attempts">;
  const record = {
    ...call,
    attempts: wholeAttempts(call, attempts as StoredAttempt[]),
    ...(refusal ? { refusal: refusal as Refusal } : {}),
  };
  return { id: row.id, record, charges: charges ? toCharges(charges as Charge[]) : undefined };
}

/** Calls from their rows, and the rows of those that have content, in the same order. */
export function* readCalls(rows: Iterable<RowReader>, contents: Iterator<RowReader>): Generator<Closed> {
  const nextContent = () => {
    const { done, value } = contents.next();
    return done ? undefined : readRequestContentRow(value);
  };
  let content = nextContent();
  for (const row of rows) {
    const call = readCall(row);
    if (content?.id !== call.id) {
      yield { ...call, question: null, answer: null, truncated: false };
      continue;
    }
    const { question, answer, truncated } = content;
    yield { ...call, question, answer, truncated };
    content = nextContent();
  }
}

/** The call of a line of so many bytes; `undefined` where it is none. */
function understood(from: RowReader, length: number): Closed | undefined {
  const end = from.at + length;
  try {
    const call = readCall(from);
    const { question, answer, truncated } = readRequestContentRow(from);
    return from.at === end ? { ...call, question, answer, truncated } : undefined;
  } catch {
    return undefined;
  }
}

/** A line of a journal; without its call where that makes no sense. */
interface Line {
  kind: keyof typeof kinds | undefined;
  call: Closed | undefined;
}

/** The lines of a file, up to one that was not written whole, or whose end cannot be told. */
function* linesOf(path: string): Generator<Line> {
  const bytes = readFileSync(path);
  const reader = new RowReader(bytes);
  while (bytes.length - reader.at >= headBytes) {
    const byte = reader.byte();
    // A power cut can leave a file longer than what was written into it.
    if (byte === 0) return;
    const kind = byte === kinds.open ? "open" : byte === kinds.close ? "close" : undefined;
    const length = reader.count();
    if (!kind || length < 0) {
      yield { kind, call: undefined };
      return;
    }
    if (length > bytes.length - reader.at) return;
    const end = reader.at + length;
    yield { kind, call: understood(reader, length) };
    reader.at = end;
  }
}

/** Reads journals back: what was closed, each with its question, and in the end what never was. */
export interface JournalReader {
  /** The calls that this file closes. */
  read(path: string): Closed[];
  /** The calls that no file has closed, as they shall stand then. */
  rest(): Closed[];
  /** How many lines made no sense so far: a disk has lost what they said, and of the last perhaps what came after it. */
  readonly damaged: number;
}

/** Creates a reader for the files of one journal, which it must be given in order; of calls that are not `wanted` it says nothing. */
export function createJournalReader(wanted: (id: Uuid) => boolean = () => true): JournalReader {
  const open = new Map<Uuid, Closed>();
  const closed = new Set<Uuid>();
  let damaged = 0;
  return {
    get damaged() {
      return damaged;
    },
    read(path) {
      const found: Closed[] = [];
      for (const { kind, call } of linesOf(path)) {
        if (!call) {
          damaged++;
          continue;
        }
        const { id } = call;
        if (!wanted(id)) continue;
        // It stands in the first line of the call.
        call.question ??= open.get(id)?.question ?? null;
        if (kind === "open") {
          // A later attempt; what it stands on includes the earlier ones.
          if (!closed.has(id)) open.set(id, call);
          continue;
        }
        open.delete(id);
        closed.add(id);
        found.push(call);
      }
      return found;
    },
    rest: () => [...open.values()],
  };
}
