import { UpstreamError } from "../errors/app-error.ts";

/** One server-sent event, or a comment (WHATWG HTML, section 9.2). */
export interface Frame {
  /** Exactly the bytes that came, the blank line that ends it included; where that never came, it is added. */
  raw: Uint8Array;
  name: string | undefined;
  /** Its `data` lines, joined; `undefined` for a comment, which is a sign of life and no event. */
  data: string | undefined;
}

/** Cuts a stream of bytes into events, wherever the pieces were cut. */
export interface EventScanner {
  /** The events that this piece completes. @throws {UpstreamError} `malformed`: an event beyond the limit. */
  push(piece: Uint8Array): Frame[];
  /** What stands at the end without its blank line; `undefined` for nothing. */
  end(): Frame | undefined;
}

/** Largest event, in bytes: a whole picture fits, a stream without an end does not. */
const eventBytesMax = 16 * 1024 * 1024;

const lf = 0x0a;
const cr = 0x0d;
const decoder = new TextDecoder();
/** Ends an event, and the line before it. */
const blankLine = new Uint8Array([lf, lf]);

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

/** Creates a scanner for one stream. Events that lie within one piece are views of it and not copies. */
export function createEventScanner({ bytesMax = eventBytesMax } = {}): EventScanner {
  /** What has come of an event that is not complete. */
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  /** Whether the line that is being read is empty so far, and whether the byte before was a CR. */
  let empty = true;
  let afterCr = false;
  /** Whether the event so far is more than line ends. */
  let some = false;

  const take = (last: Uint8Array): Uint8Array => {
    if (held.length === 0) return last;
    const whole = Buffer.concat([...held, last]);
    held = [];
    heldBytes = 0;
    return whole;
  };

  return {
    push(piece) {
      const frames: Frame[] = [];
      const hasCr = piece.indexOf(cr) !== -1;
      let start = 0;
      let at = 0;
      while (at < piece.length) {
        const byte = piece[at];
        if (byte === lf && afterCr) {
          // The second half of a line end; after a finished event it goes before the next.
          afterCr = false;
          at++;
          continue;
        }
        afterCr = byte === cr;
        if (byte !== lf && byte !== cr) {
          empty = false;
          some = true;
          // Nothing but a line end matters now.
          const next = piece.indexOf(lf, at);
          const nextCr = hasCr ? piece.indexOf(cr, at) : -1;
          at = Math.min(next === -1 ? piece.length : next, nextCr === -1 ? piece.length : nextCr);
          continue;
        }
        at++;
        if (empty && some) {
          // With both halves of its line end, if they are here: whoever waits for the second would be one event behind.
          if (afterCr && piece[at] === lf) {
            afterCr = false;
            at++;
          }
          frames.push(frameOf(take(piece.subarray(start, at))));
          start = at;
          some = false;
        }
        empty = true;
      }
      if (start < piece.length) {
        held.push(piece.slice(start));
        heldBytes += piece.length - start;
        if (heldBytes > bytesMax)
          throw new UpstreamError("malformed", { cause: new Error("event too large") });
      }
      return frames;
    },
    end() {
      if (heldBytes === 0) return undefined;
      const frame = frameOf(take(some ? blankLine : new Uint8Array()));
      some = false;
      return frame;
    },
  };
}
