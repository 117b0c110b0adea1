import { readFileSync } from "node:fs";
import type { Uuid } from "../id.ts";
import { type CopyLine, copyNull, copyTab } from "../sql/copy.ts";
import { requestLine, requestLineLength, requestOfLine } from "../sql/request.ts";
import { attemptsJson, type StoredAttempt, wholeAttempts } from "./attempts.ts";
import { type CallRecord, type Charge, type Charges, type Refusal, toCharges } from "./record.ts";

/** The first value of a line, which tells what it is; the row of the call follows, which begins with its id. */
const heads = { open: "o", close: "c" } as const;
const headLength = heads.open.length + copyTab.length;
const idLength = 36;

/** A call that is over and not in the database yet. */
export interface Closed {
  id: Uuid;
  record: CallRecord;
  charges: Charges | undefined;
  /** The two above as `copy` takes them. */
  row: CopyLine;
  /** JSON texts, alike. */
  question: string;
  answer: string;
  truncated: boolean;
}

/** A call as its row in the form of `copy`: what stands in the journal goes into the database as it is. */
export const rowOf = (record: CallRecord, charges: Charges | undefined): CopyLine =>
  requestLine(record, {
    attempts: attemptsJson(record, record.attempts),
    charges: charges?.json,
    refusal: record.refusal && JSON.stringify(record.refusal),
  });

/** The line of a call's attempt: what stands on record if nothing more is heard. */
export const openLine = (row: CopyLine, question = copyNull): CopyLine => [heads.open, ...row, question];

/** The line of a call's end; `question` where it stands in no line before. */
export const closeLine = ({ row, answer, truncated }: Closed, question = copyNull): CopyLine => [
  heads.close,
  ...row,
  question,
  answer,
  String(truncated),
];

/** One line of a journal. */
interface Line {
  kind: "open" | "close";
  id: Uuid;
  text: string;
}

/** The lines of a file; one that was not written whole has no end, and is left out. */
function* linesOf(path: string): Generator<Line> {
  const text = readFileSync(path, "utf8");
  for (
    let start = 0, end = text.indexOf("\n");
    end !== -1;
    start = end + 1, end = text.indexOf("\n", start)
  ) {
    const kind = text[start] === heads.open ? "open" : text[start] === heads.close ? "close" : undefined;
    const from = start + headLength;
    if (kind) yield { kind, id: text.slice(from, from + idLength), text: text.slice(from, end) };
  }
}

/** What {@link rowOf} was given, from its values. @throws {SyntaxError} it is not whole. */
function callOf(values: readonly string[]): Pick<Closed, "id" | "record" | "charges" | "row"> {
  const { attempts, charges, refusal, ...row } = requestOfLine(values);
  const call = row as Omit<CallRecord, "attempts">;
  const record = {
    ...call,
    attempts: wholeAttempts(call, attempts as StoredAttempt[]),
    ...(refusal ? { refusal: refusal as Refusal } : {}),
  };
  return {
    id: row.id,
    record,
    charges: charges ? toCharges(charges as Charge[]) : undefined,
    row: [values.join(copyTab)],
  };
}

/** Calls from their rows, and the lines of those that have content, in the same order. */
export function* closedOf(rows: Iterable<string>, contents: Iterator<string>): Generator<Closed> {
  let content = contents.next();
  for (const row of rows) {
    const call = callOf(row.split(copyTab));
    const [id, , question = copyNull, answer = copyNull, truncated] = content.done
      ? []
      : content.value.split(copyTab);
    if (id !== call.id) {
      yield { ...call, question: copyNull, answer: copyNull, truncated: false };
      continue;
    }
    yield { ...call, question, answer, truncated: truncated === "true" };
    content = contents.next();
  }
}

/** A line's parts; `undefined` where it was not written whole. */
function partsOf({ kind, text }: Line): Closed | undefined {
  const values = text.split(copyTab);
  const content = values.splice(requestLineLength);
  if (content.length !== (kind === "open" ? 1 : 3)) return undefined;
  const [question = copyNull, answer = copyNull, truncated = "false"] = content;
  try {
    return { ...callOf(values), question, answer, truncated: truncated === "true" };
  } catch {
    return undefined;
  }
}

/** Reads journals back: what was closed, each with its question, and in the end what never was. */
export interface JournalReader {
  /** The calls that this file closes. */
  read(path: string): Closed[];
  /** The calls that no file has closed, as they shall stand then. */
  rest(): Closed[];
}

/** Creates a reader for the files of one journal, which it must be given in order; of calls that are not `wanted` it says nothing. */
export function createJournalReader(wanted: (id: Uuid) => boolean = () => true): JournalReader {
  const open = new Map<Uuid, Closed>();
  const closed = new Set<Uuid>();
  return {
    read(path) {
      const found: Closed[] = [];
      for (const line of linesOf(path)) {
        if (!wanted(line.id)) continue;
        const parts = partsOf(line);
        if (!parts) continue;
        // It stands in the first line of the call.
        if (parts.question === copyNull) parts.question = open.get(line.id)?.question ?? copyNull;
        if (line.kind === "open") {
          // A later attempt; what it stands on includes the earlier ones.
          if (!closed.has(line.id)) open.set(line.id, parts);
          continue;
        }
        open.delete(line.id);
        closed.add(line.id);
        found.push(parts);
      }
      return found;
    },
    rest: () => [...open.values()],
  };
}
