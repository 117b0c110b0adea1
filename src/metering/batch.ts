import type { Uuid } from "../id.ts";
import { CopyLines, copyNull, lengthOf } from "../sql/copy.ts";
import { requestContentLine } from "../sql/request.ts";
import { Bookings } from "./ledger.ts";
import { type Closed, closedOf } from "./lines.ts";
import { RollUp } from "./rollup.ts";

/** What a call takes beside its texts, roughly, in characters. */
const callSize = 200;

/** What of a call counts towards the bounds of memory, in characters. */
export const sizeOf = ({ row, question, answer }: Closed): number =>
  callSize + lengthOf(row) + question.length + answer.length;

/**
 * Calls that are over and go to the database together. They are kept as what is sent of them, so that it need not be made, nor
 * the calls be held, until then; the calls themselves are read back from it where one has to be looked at.
 */
export class Batch {
  ids: Uuid[] = [];
  /** The size of all; see {@link sizeOf}. */
  size = 0;
  readonly requests = new CopyLines();
  readonly contents = new CopyLines();
  sums = new RollUp();
  bookings = new Bookings("call");

  static of(calls: readonly Closed[]): Batch {
    const batch = new Batch();
    for (const call of calls) batch.add(call);
    return batch;
  }

  add(call: Closed): void {
    const { id, record, charges, row, question, answer, truncated } = call;
    this.ids.push(id);
    this.size += sizeOf(call);
    this.requests.add(row);
    if (question !== copyNull || answer !== copyNull)
      this.contents.add(requestContentLine({ id, app_id: record.app_id, question, answer, truncated }));
    this.sums.add(record);
    if (charges) this.bookings.add(record, charges.list);
  }

  /** The calls, in their order. */
  calls(): Closed[] {
    return [...closedOf(this.requests.lines(), this.contents.lines())];
  }

  /** Forgets them. */
  clear(): void {
    this.ids = [];
    this.size = 0;
    this.requests.clear();
    this.contents.clear();
    this.sums = new RollUp();
    this.bookings = new Bookings("call");
  }
}
