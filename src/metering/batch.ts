import type { Uuid } from "../id.ts";
import { Rows } from "../sql/copy.ts";
import { writeRequestContentRow } from "../sql/request.ts";
import { RowWriter } from "../sql/row.ts";
import { Bookings } from "./ledger.ts";
import { type Closed, hasContent, readCalls, rowStart, writeCloseLine } from "./lines.ts";
import { RollUp } from "./rollup.ts";

/** Most calls of a batch: what `copy` does for each takes the longer the more there are. */
const batchMax = 400;

/** Most of a batch, in characters. */
const batchSizeMax = 4 * 1024 * 1024;

/** What a call takes beside its row and its texts, roughly, in characters. */
const callSize = 500;

/** What of a call, whose row ends at `rowEnd` of its line, counts towards the bounds of memory, in characters. */
export const sizeOf = ({ question, answer }: Pick<Closed, "question" | "answer">, rowEnd: number): number =>
  callSize + rowEnd + (question?.length ?? 0) + (answer?.length ?? 0);

const whole = new RowWriter();
const content = new RowWriter();

/**
 * Calls that are over and go to the database together. They are kept as what is sent of them, so that it need not be made, nor
 * the calls be held, until then; the calls themselves are read back from it where one has to be looked at.
 */
export class Batch {
  ids: Uuid[] = [];
  /** The size of all; see {@link sizeOf}. */
  size = 0;
  readonly requests = new Rows();
  readonly contents = new Rows();
  sums = new RollUp();
  readonly bookings = new Bookings("call");

  static of(calls: readonly Closed[]): Batch {
    const batch = new Batch();
    for (const call of calls) batch.add(call, whole, writeCloseLine(whole, call));
    return batch;
  }

  /** All of these calls, in batches. */
  static *all(calls: readonly Closed[]): Generator<Batch> {
    for (let at = 0; at < calls.length; at += batchMax) yield Batch.of(calls.slice(at, at + batchMax));
  }

  get full(): boolean {
    return this.ids.length >= batchMax || this.size >= batchSizeMax;
  }

  /** Adds a call, whose row ends at `rowEnd` of its line. Returns its size. */
  add(call: Closed, line: RowWriter, rowEnd: number): number {
    const { id, record, charges, question, answer, truncated } = call;
    const size = sizeOf(call, rowEnd);
    this.ids.push(id);
    this.size += size;
    this.requests.add(line, rowStart, rowEnd);
    if (hasContent(call)) {
      content.reset();
      writeRequestContentRow(content, { id, app_id: record.app_id, question, answer, truncated });
      this.contents.add(content);
    }
    this.sums.add(record);
    if (charges) this.bookings.add(record, charges.list);
    return size;
  }

  /** The calls, in their order. */
  calls(): Closed[] {
    return [...readCalls(this.requests.readers(), this.contents.readers())];
  }

  /** Forgets them. */
  clear(): void {
    this.ids = [];
    this.size = 0;
    this.requests.clear();
    this.contents.clear();
    this.sums = new RollUp();
    this.bookings.clear();
  }
}
