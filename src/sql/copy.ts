import type { Db } from "./db.ts";

/** What stands between the values of a line of PostgreSQL's text format for `copy`, and what for `null`. */
export const copyTab = "\t";
export const copyNull = "\\N";

/** From here on, in characters, looking for one sign after the other is faster than for any of them. */
const longMin = 64;

const mustEscape = (text: string): boolean =>
  text.length < longMin
    ? /[\\\n\r\t]/.test(text)
    : text.includes("\\") || text.includes("\n") || text.includes("\r") || text.includes("\t");

const escapes: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** A text that may hold anything, in that format. */
export function copyText(text: string | null | undefined): string {
  if (text === null || text === undefined) return copyNull;
  return mustEscape(text) ? text.replace(/[\\\n\r\t]/g, (one) => escapes[one] as string) : text;
}

const unescapes: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };

/** What {@link copyText} was given. */
export const copyValue = (text: string): string | null =>
  text === copyNull ? null : text.replace(/\\(.)/g, (_, one: string) => unescapes[one] ?? one);

/** The values of a line, some of which may be several in one: a text of them all would be put together only to be read again. */
export type CopyLine = readonly string[];

/** The characters of a line, but for its tabs and its end. */
export const lengthOf = (line: CopyLine): number => {
  let length = 0;
  for (const value of line) length += value.length;
  return length;
};

/** Most bytes that a line takes in UTF-8, its tabs and its end included: no character takes more than three. */
export const lineBytesMax = (line: CopyLine): number => lengthOf(line) * 3 + line.length;

/** Writes a line and its end into `bytes` from `at` on; returns where it ends. */
export function writeLine(bytes: Buffer, line: CopyLine, at: number): number {
  for (const value of line) {
    at += bytes.write(value, at);
    bytes[at++] = 0x09;
  }
  bytes[at - 1] = 0x0a;
  return at;
}

/** What is sent at once, unless one line alone is longer, in bytes: it stays in the processor's caches. */
const chunkBytesMax = 64 * 1024;

/** Most chunks that are kept for other lines, in memory that would otherwise be made anew. */
const spareMax = 64;

/** Some lines together. */
interface Chunk {
  bytes: Buffer;
  length: number;
}

/** Lines as bytes, so that what waits to be sent is nothing that the collector has to look at. */
export class CopyLines {
  readonly #chunks: Chunk[] = [];
  #last: Chunk | undefined;
  /** Of chunks that were emptied, for the next ones. */
  readonly #spare: Buffer[] = [];

  add(line: CopyLine): void {
    const bytesMax = lineBytesMax(line);
    let last = this.#last;
    if (!last || last.length + bytesMax > last.bytes.length) {
      const bytes = bytesMax > chunkBytesMax ? undefined : this.#spare.pop();
      last = { bytes: bytes ?? Buffer.allocUnsafeSlow(Math.max(bytesMax, chunkBytesMax)), length: 0 };
      this.#last = last;
      this.#chunks.push(last);
    }
    last.length = writeLine(last.bytes, line, last.length);
  }

  get empty(): boolean {
    return this.#chunks.length === 0;
  }

  /** All of them, in pieces of whole lines, which are good until {@link clear}. */
  *pieces(): Generator<Uint8Array> {
    for (const { bytes, length } of this.#chunks) yield bytes.subarray(0, length);
  }

  /** Forgets them. */
  clear(): void {
    for (const { bytes } of this.#chunks)
      if (bytes.length === chunkBytesMax && this.#spare.length < spareMax) this.#spare.push(bytes);
    this.#chunks.length = 0;
    this.#last = undefined;
  }

  /** Reads them back. */
  *lines(): Generator<string> {
    for (const piece of this.pieces()) {
      const text = Buffer.from(piece.buffer, piece.byteOffset, piece.length).toString("utf8");
      for (let at = 0, end = text.indexOf("\n"); end !== -1; at = end + 1, end = text.indexOf("\n", at))
        yield text.slice(at, end);
    }
  }
}

/** Sends lines to a `copy … from stdin`. @throws what the database says of the rows. */
export async function copyIn(statement: ReturnType<Db>, lines: CopyLines): Promise<void> {
  const stream = await (statement as unknown as { writable(): Promise<NodeJS.WritableStream> }).writable();
  const done = new Promise<void>((resolve, reject) => {
    stream.once("error", reject);
    stream.once("finish", resolve);
  });
  // The driver has copied it when it says that it is written, whether well or not.
  const send = (bytes: Uint8Array) =>
    Promise.race([done, new Promise<void>((resolve) => stream.write(bytes, () => resolve()))]);
  for (const piece of lines.pieces()) await send(piece);
  stream.end();
  await done;
}
