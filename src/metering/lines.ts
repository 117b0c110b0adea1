import { readFileSync } from "node:fs";
import type { Uuid } from "../id.ts";
import type { Closed } from "./flush.ts";
import { type CallRecord, type Charge, chargesOf, type Enclosed } from "./record.ts";

/** How a line begins, which tells what it is; the id of the call follows. */
const heads = { open: '{"open":"', close: '{"close":"' } as const;
const idLength = 36;

/** The line of a call's attempt: what stands on record if nothing more is heard. */
export const openLine = (record: CallRecord, { question, charges }: Enclosed): string =>
  `${heads.open}${record.id}","record":${JSON.stringify(record)}${member("charges", charges?.json)}${member("question", question)}}`;

/** The line of a call's end, without what stands in that of its attempt as it is. */
export const closeLine = (
  { id, record, question, charges, answer, truncated }: Closed,
  opened: Enclosed = {},
): string => {
  const asked = question === opened.question ? undefined : question;
  const charged = charges === opened.charges ? undefined : (charges?.json ?? "[]");
  return `${heads.close}${id}","record":${JSON.stringify(record)}${member("charges", charged)}${member("question", asked)}${member(
    "answer",
    answer,
  )}${truncated ? ',"truncated":true' : ""}}`;
};

const member = (name: string, json: string | undefined): string =>
  json === undefined ? "" : `,"${name}":${json}`;

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
    const line = text.slice(start, end);
    const kind = line.startsWith(heads.open) ? "open" : line.startsWith(heads.close) ? "close" : undefined;
    if (kind === undefined || !line.endsWith("}")) continue;
    const from = heads[kind].length;
    yield { kind, id: line.slice(from, from + idLength), text: line };
  }
}

/** A line's parts. @throws {SyntaxError} it was not written whole. */
function partsOf({ id, text }: Line): Closed {
  const parsed = JSON.parse(text) as { record: CallRecord; charges?: readonly Charge[] } & Record<
    "question" | "answer" | "truncated",
    unknown
  >;
  const json = (value: unknown) => (value === undefined ? undefined : JSON.stringify(value));
  return {
    id,
    record: parsed.record,
    charges: parsed.charges && chargesOf(parsed.charges),
    question: json(parsed.question),
    answer: json(parsed.answer),
    truncated: parsed.truncated === true,
  };
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
        let parts: Closed;
        try {
          parts = partsOf(line);
        } catch {
          continue;
        }
        const before = open.get(line.id);
        const whole = {
          ...parts,
          question: parts.question ?? before?.question,
          charges: parts.charges ?? before?.charges,
        };
        if (line.kind === "open") {
          // A later attempt; what it stands on includes the earlier ones.
          if (!closed.has(line.id)) open.set(line.id, whole);
          continue;
        }
        open.delete(line.id);
        closed.add(line.id);
        found.push(whole);
      }
      return found;
    },
    rest: () => [...open.values()],
  };
}
