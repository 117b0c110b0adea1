import type { Db } from "./db.ts";
import { RowReader, type Written } from "./row.ts";

/** What is kept together, in bytes: it stays in the processor's caches while it is sent. */
const chunkBytes = 64 * 1024;
/** Most chunks that are kept for other rows, in memory that would otherwise be made anew. */
const spareMax = 64;

/** Some rows. */
interface Chunk extends Written {
  length: number;
}

/** Rows as bytes, so that what waits to be sent is nothing that the collector has to look at. */
export class Rows {
  readonly #chunks: Chunk[] = [];
  #last: Chunk | undefined;
  /** Of chunks that were emptied, for the next ones. */
  readonly #spare: Buffer[] = [];

  get empty(): boolean {
    return this.#chunks.length === 0;
  }

  /** Takes over a row. */
  add({ bytes, length }: Written, from = 0, to = length): void {
    const size = to - from;
    let last = this.#last;
    if (!last || last.length + size > last.bytes.length) {
      const spare = size > chunkBytes ? undefined : this.#spare.pop();
      last = { bytes: spare ?? Buffer.allocUnsafeSlow(Math.max(size, chunkBytes)), length: 0 };
      this.#last = last;
      this.#chunks.push(last);
    }
    bytes.copy(last.bytes, last.length, from, to);
    last.length += size;
  }

  /** All of them, in pieces of whole rows, which are good until {@link clear}. */
  *pieces(): Generator<Buffer> {
    for (const { bytes, length } of this.#chunks) yield bytes.subarray(0, length);
  }

  /** Forgets them. */
  clear(): void {
    for (const { bytes } of this.#chunks)
      if (bytes.length === chunkBytes && this.#spare.length < spareMax) this.#spare.push(bytes);
    this.#chunks.length = 0;
    this.#last = undefined;
  }

  /** What reads them back, one after the other. */
  *readers(): Generator<RowReader> {
    for (const piece of this.pieces()) for (const reader = new RowReader(piece); !reader.done; ) yield reader;
  }
}

/** What binary data begins with: a sign of its own, no flags, and no more of a head. */
const head = Buffer.from("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", "latin1");
const end = Buffer.from([0xff, 0xff]);

/** Sends rows to a `copy … from stdin with (format binary)`. @throws what the database says of them. */
export async function copyIn(statement: ReturnType<Db>, rows: Rows): Promise<void> {
  const stream = await (statement as unknown as { writable(): Promise<NodeJS.WritableStream> }).writable();
  const done = new Promise<void>((resolve, reject) => {
    stream.once("error", reject);
    stream.once("finish", resolve);
  });
  // The driver has copied it when it says that it is written, whether well or not.
  const send = (bytes: Uint8Array) =>
    Promise.race([done, new Promise<void>((resolve) => stream.write(bytes, () => resolve()))]);
  await send(head);
  for (const piece of rows.pieces()) await send(piece);
  stream.end(end);
  await done;
}
