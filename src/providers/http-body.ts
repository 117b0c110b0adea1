import { type Framing, malformed } from "./http-head.ts";

/** Gets the pieces of a body. */
export interface BodySink {
  take(piece: Uint8Array): void;
}

/** Finds the end of a body in what comes in. */
export interface BodyScanner {
  /**
   * What of `bytes` is the body's goes to `sink`, as one view: chunks are moved together, so `bytes` is the scanner's from now on.
   * Returns how many bytes follow the body's end; `undefined` where it has not come.
   * @throws {UpstreamError} `malformed`; what came before that has gone to `sink`.
   */
  push(bytes: Uint8Array, sink: BodySink): number | undefined;
}

/** Longest line between chunks, in bytes: a size and its extensions, or a trailer; and most trailers. */
const lineBytesMax = 4096;
const trailersMax = 64;

const lf = 0x0a;
const cr = 0x0d;

/** The value of a hexadecimal digit; -1 for anything else. */
function digitOf(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** The size that a chunk's first line tells; extensions are left out (RFC 9112, section 7.1). */
function sizeOf(bytes: Uint8Array, from: number, end: number): number {
  let size = 0;
  let at = from;
  for (; at < end; at++) {
    const digit = digitOf(bytes[at] as number);
    if (digit === -1) break;
    size = size * 16 + digit;
  }
  const after = bytes[at];
  const proper = at === end || after === 0x3b || after === 0x20 || after === 0x09;
  if (at === from || at - from > 12 || !proper) throw malformed("a chunk's size that is no number");
  return size;
}

class Chunked implements BodyScanner {
  /** The beginning of a line. */
  #held: Uint8Array | undefined;
  /** Of the chunk that is being read. */
  #left = 0;
  #state: "size" | "data" | "data-end" | "trailers" = "size";
  #trailers = 0;

  /** Takes a line's content and says what comes next; returns whether the body is over. */
  #endLine(bytes: Uint8Array, from: number, end: number): boolean {
    if (this.#state === "size") {
      this.#left = sizeOf(bytes, from, end);
      this.#state = this.#left === 0 ? "trailers" : "data";
      return false;
    }
    if (this.#state === "data-end") {
      if (end > from) throw malformed("a chunk that is longer than its size");
      this.#state = "size";
      return false;
    }
    if (++this.#trailers > trailersMax) throw malformed("too many trailers");
    return end === from;
  }

  push(bytes: Uint8Array, sink: BodySink): number | undefined {
    let at = 0;
    /** What is the body's so far. */
    let start = 0;
    let size = 0;
    try {
      while (at < bytes.length) {
        if (this.#state === "data") {
          const next = Math.min(bytes.length, at + this.#left);
          if (size === 0) start = at;
          else bytes.copyWithin(start + size, at, next);
          size += next - at;
          this.#left -= next - at;
          at = next;
          if (this.#left === 0) this.#state = "data-end";
          continue;
        }
        const found = bytes.indexOf(lf, at);
        let line = bytes;
        let from = at;
        let end = found === -1 ? bytes.length : found;
        if (this.#held) {
          line = Buffer.concat([this.#held, bytes.subarray(from, end)]);
          from = 0;
          end = line.length;
        }
        if (end - from > lineBytesMax) throw malformed("a line between chunks that is too long");
        if (found === -1) {
          // A copy: what it is a view of may be large.
          this.#held = new Uint8Array(line.subarray(from, end));
          return undefined;
        }
        this.#held = undefined;
        at = found + 1;
        if (end === from || line[end - 1] !== cr) throw malformed("a line between chunks without its end");
        if (this.#endLine(line, from, end - 1)) return bytes.length - at;
      }
      return undefined;
    } finally {
      if (size > 0) sink.take(bytes.subarray(start, start + size));
    }
  }
}

class Counted implements BodyScanner {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  push(bytes: Uint8Array, sink: BodySink): number | undefined {
    const own = Math.min(this.#left, bytes.length);
    if (own > 0) sink.take(own === bytes.length ? bytes : bytes.subarray(0, own));
    this.#left -= own;
    return this.#left === 0 ? bytes.length - own : undefined;
  }
}

const endless: BodyScanner = {
  push(bytes, sink) {
    if (bytes.length > 0) sink.take(bytes);
    return undefined;
  },
};

/** A scanner for one body. One of a known length that is 0 ends with the first push, even of nothing. */
export function createBodyScanner(framing: Framing): BodyScanner {
  if (framing.kind === "chunked") return new Chunked();
  return framing.kind === "length" ? new Counted(framing.bytes) : endless;
}
