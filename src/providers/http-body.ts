import { type Framing, malformed } from "./http-head.ts";

/** Gets the pieces of a body. */
export interface BodySink {
  take(piece: Uint8Array): void;
}

/** Finds the end of a body in what comes in. */
export interface BodyScanner {
  /**
   * What of `bytes` is the body's goes to `sink`, as views. Returns how many bytes follow the body's end; `undefined` where
   * it has not come.
   * @throws {UpstreamError} `malformed`
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
function sizeOf(line: Uint8Array): number {
  let size = 0;
  let at = 0;
  for (; at < line.length; at++) {
    const digit = digitOf(line[at] as number);
    if (digit === -1) break;
    size = size * 16 + digit;
  }
  const after = line[at];
  const proper = after === undefined || after === 0x3b || after === 0x20 || after === 0x09;
  if (at === 0 || at > 12 || !proper) throw malformed("a chunk's size that is no number");
  return size;
}

class Chunked implements BodyScanner {
  #held: Uint8Array | undefined;
  /** Of the chunk that is being read. */
  #left = 0;
  #state: "size" | "data" | "data-end" | "trailers" = "size";
  #trailers = 0;

  /** Takes a line's content and says what comes next; returns whether the body is over. */
  #endLine(line: Uint8Array): boolean {
    if (this.#state === "size") {
      this.#left = sizeOf(line);
      this.#state = this.#left === 0 ? "trailers" : "data";
      return false;
    }
    if (this.#state === "data-end") {
      if (line.length > 0) throw malformed("a chunk that is longer than its size");
      this.#state = "size";
      return false;
    }
    if (++this.#trailers > trailersMax) throw malformed("too many trailers");
    return line.length === 0;
  }

  push(bytes: Uint8Array, sink: BodySink): number | undefined {
    let at = 0;
    while (at < bytes.length) {
      if (this.#state === "data") {
        const end = Math.min(bytes.length, at + this.#left);
        sink.take(bytes.subarray(at, end));
        this.#left -= end - at;
        at = end;
        if (this.#left === 0) this.#state = "data-end";
        continue;
      }
      const end = bytes.indexOf(lf, at);
      const piece = bytes.subarray(at, end === -1 ? bytes.length : end);
      const line = this.#held ? Buffer.concat([this.#held, piece]) : piece;
      if (line.length > lineBytesMax) throw malformed("a line between chunks that is too long");
      if (end === -1) {
        // A copy: what it is a view of may be large.
        this.#held = new Uint8Array(line);
        return undefined;
      }
      this.#held = undefined;
      at = end + 1;
      if (line.at(-1) !== cr) throw malformed("a line between chunks without its end");
      if (this.#endLine(line.subarray(0, -1))) return bytes.length - at;
    }
    return undefined;
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
