import { type Framing, malformed } from "./http-head.ts";

/** Finds the end of a body in what comes in. */
export interface BodyScanner {
  /**
   * What of `bytes` is the body's goes to `take`, as views. Returns how many bytes follow the body's end; `undefined` where
   * it has not come.
   * @throws {UpstreamError} `malformed`
   */
  push(bytes: Uint8Array, take: (piece: Uint8Array) => void): number | undefined;
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

function chunked(): BodyScanner {
  let held: Uint8Array | undefined;
  /** Of the chunk that is being read. */
  let left = 0;
  let state: "size" | "data" | "data-end" | "trailers" = "size";
  let trailers = 0;

  /** Takes a line's content and says what comes next; returns whether the body is over. */
  const endLine = (line: Uint8Array): boolean => {
    if (state === "size") {
      left = sizeOf(line);
      state = left === 0 ? "trailers" : "data";
      return false;
    }
    if (state === "data-end") {
      if (line.length > 0) throw malformed("a chunk that is longer than its size");
      state = "size";
      return false;
    }
    if (++trailers > trailersMax) throw malformed("too many trailers");
    return line.length === 0;
  };

  return {
    push(bytes, take) {
      let at = 0;
      while (at < bytes.length) {
        if (state === "data") {
          const end = Math.min(bytes.length, at + left);
          take(bytes.subarray(at, end));
          left -= end - at;
          at = end;
          if (left === 0) state = "data-end";
          continue;
        }
        const end = bytes.indexOf(lf, at);
        const piece = bytes.subarray(at, end === -1 ? bytes.length : end);
        const line = held ? Buffer.concat([held, piece]) : piece;
        if (line.length > lineBytesMax) throw malformed("a line between chunks that is too long");
        if (end === -1) {
          // A copy: what it is a view of may be large.
          held = new Uint8Array(line);
          return undefined;
        }
        held = undefined;
        at = end + 1;
        if (line.at(-1) !== cr) throw malformed("a line between chunks without its end");
        if (endLine(line.subarray(0, -1))) return bytes.length - at;
      }
      return undefined;
    },
  };
}

function counted(bytesOfBody: number): BodyScanner {
  let left = bytesOfBody;
  return {
    push(bytes, take) {
      const own = Math.min(left, bytes.length);
      if (own > 0) take(own === bytes.length ? bytes : bytes.subarray(0, own));
      left -= own;
      return left === 0 ? bytes.length - own : undefined;
    },
  };
}

const endless: BodyScanner = {
  push(bytes, take) {
    if (bytes.length > 0) take(bytes);
    return undefined;
  },
};

/** A scanner for one body. One of a known length that is 0 ends with the first push, even of nothing. */
export function createBodyScanner(framing: Framing): BodyScanner {
  if (framing.kind === "chunked") return chunked();
  return framing.kind === "length" ? counted(framing.bytes) : endless;
}
