import { UpstreamError } from "../errors/app-error.ts";

/** One server-sent event, or a comment (WHATWG HTML, section 9.2). */
export interface Frame {
  /** Exactly the bytes that came, the blank line that ends it included; where that never came, it is added. */
  raw: Uint8Array;
  name: string | undefined;
  /** Its `data` lines, joined; `undefined` for a comment, which is a sign of life and no event. */
  data: string | undefined;
}

/** Largest event, in bytes: a whole picture fits, a stream without an end does not. */
const eventBytesMax = 16 * 1024 * 1024;

const lf = 0x0a;
const cr = 0x0d;
const decoder = new TextDecoder();
/** Ends an event, and the line before it. */
const blankLine = new Uint8Array([lf, lf]);
const nothing = new Uint8Array();

/** Reads one event's lines. */
function frameOf(raw: Uint8Array): Frame {
  const text = decoder.decode(raw);
  // The shape of nearly every event of a model: a line of data and nothing else.
  if (text.startsWith("data: ") && text.indexOf("\n") === text.length - 2 && !text.includes("\r")) {
    return { raw, name: undefined, data: text.slice(6, -2) };
  }
  let name: string | undefined;
  let data: string | undefined;
  for (const line of text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/)) {
    const colon = line.indexOf(":");
    if (colon === 0) continue;
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "data") data = data === undefined ? value : `${data}\n${value}`;
    else if (field === "event") name = value;
  }
  return { raw, name, data };
}

/**
 * Cuts a stream of bytes into events, wherever the pieces were cut. Events that lie within one piece are views of it and not
 * copies.
 */
export class EventScanner {
  readonly #bytesMax: number;
  /** Events that are given again. */
  #again: Frame[] = [];
  /** What is being read, from where on it was not looked at, and where the event that is there begins. */
  #piece: Uint8Array = nothing;
  #at = 0;
  #start = 0;
  /** Whether the piece has any CR. */
  #hasCr = false;
  /** What came in earlier pieces of the event that is not complete. */
  readonly #held: Uint8Array[] = [];
  #heldBytes = 0;
  /** Whether the line that is being read is empty so far, and whether the byte before was a CR. */
  #empty = true;
  #afterCr = false;
  /** Whether the event so far is more than line ends. */
  #some = false;

  /** Takes at most so many bytes for one event. */
  constructor(bytesMax = eventBytesMax) {
    this.#bytesMax = bytesMax;
  }

  /** Goes on with this piece; the one before must have been read to its end. */
  push(piece: Uint8Array): void {
    this.#piece = piece;
    this.#at = 0;
    this.#start = 0;
    this.#hasCr = piece.indexOf(cr) !== -1;
  }

  /** Gives events again that were looked at, before what comes after them. */
  putBack(frames: Frame[]): void {
    this.#again = frames;
  }

  /** The next event, or comment; `undefined` where it is not complete. @throws {UpstreamError} `malformed`: it is too large. */
  next(): Frame | undefined {
    if (this.#again.length > 0) return this.#again.shift();
    const piece = this.#piece;
    while (this.#at < piece.length) {
      const byte = piece[this.#at];
      if (byte === lf && this.#afterCr) {
        // The second half of a line end; after a finished event it goes before the next.
        this.#afterCr = false;
        this.#at++;
        continue;
      }
      this.#afterCr = byte === cr;
      if (byte !== lf && byte !== cr) {
        this.#empty = false;
        this.#some = true;
        this.#at = this.#lineEnd(this.#at);
        continue;
      }
      this.#at++;
      if (this.#empty && this.#some) {
        // With both halves of its line end, if they are here: whoever waits for the second would be one event behind.
        if (this.#afterCr && piece[this.#at] === lf) {
          this.#afterCr = false;
          this.#at++;
        }
        const raw = piece.subarray(this.#start, this.#at);
        this.#start = this.#at;
        this.#some = false;
        return frameOf(this.#whole(raw));
      }
      this.#empty = true;
    }
    this.#hold();
    return undefined;
  }

  /** What stands at the end without its blank line, once there is no next event; `undefined` for nothing. */
  end(): Frame | undefined {
    if (this.#heldBytes === 0) return undefined;
    const frame = frameOf(this.#whole(this.#some ? blankLine : nothing));
    this.#some = false;
    return frame;
  }

  /** Where the line that holds `at` ends: nothing but a line end matters there. */
  #lineEnd(at: number): number {
    const piece = this.#piece;
    const end = piece.indexOf(lf, at);
    const crEnd = this.#hasCr ? piece.indexOf(cr, at) : -1;
    return Math.min(end === -1 ? piece.length : end, crEnd === -1 ? piece.length : crEnd);
  }

  /** An event's bytes, of which these are the last. */
  #whole(last: Uint8Array): Uint8Array {
    if (this.#heldBytes === 0) return last;
    const whole = Buffer.concat([...this.#held, last]);
    this.#held.length = 0;
    this.#heldBytes = 0;
    return whole;
  }

  /** Keeps what there is of an event until the rest of it comes, as a copy: what it is a view of may be large. */
  #hold(): void {
    const piece = this.#piece;
    const start = this.#start;
    this.#piece = nothing;
    this.#at = 0;
    this.#start = 0;
    if (start === piece.length) return;
    const rest = new Uint8Array(piece.subarray(start));
    this.#held.push(rest);
    this.#heldBytes += rest.length;
    if (this.#heldBytes > this.#bytesMax)
      throw new UpstreamError("malformed", { cause: new Error("event too large") });
  }
}
