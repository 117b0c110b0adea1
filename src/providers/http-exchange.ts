import type { Socket } from "bun";
import { UpstreamError } from "../errors/app-error.ts";
import type { AnswerHead, Exchange } from "./exchange.ts";
import { type BodyScanner, createBodyScanner } from "./http-body.ts";
import { type Head, headBytesMax, malformed, parseHead } from "./http-head.ts";

/** Bytes that may lie unread before the other side is held back. Bun reads up to 512 KiB at a time. */
const unreadBytesMax = 64 * 1024;

/**
 * Longest piece that is kept as it came, in bytes. A longer one is cut into copies of as many: a view of what is unread would
 * keep all that Bun has read with it.
 */
const sectionBytes = 64 * 1024;

const cut = (cause: unknown) => new UpstreamError("cut", { cause });

/** The exchange that a connection is busy with, as the socket sees it. */
export interface Serving {
  data(bytes: Uint8Array): void;
  closed(error: Error | undefined): void;
}

interface ExchangeNeeds {
  socket: Pick<Socket, "pause" | "resume">;
  release: (head: Head) => void;
  close: () => void;
}

interface Waiter {
  resolve: (piece: Uint8Array | undefined) => void;
  reject: (error: unknown) => void;
}

/**
 * The exchange that a connection serves next, and its side of it: what is read of one answer, and when the connection is free.
 */
export function createExchange({ socket, release, close }: ExchangeNeeds): {
  exchange: Exchange;
  side: Serving;
} {
  const { promise, resolve: resolveHead, reject: rejectHead } = Promise.withResolvers<AnswerHead>();
  let head: Head | undefined;
  let body: BodyScanner | undefined;
  /** Bytes of a head that is not complete. */
  let held: Uint8Array | undefined;
  /** What has come and was not read, the first of it at `readAt`; what stands before was read, and is let go. */
  const pieces: (Uint8Array | undefined)[] = [];
  let readAt = 0;
  let unread = 0;
  let paused = false;
  let waiter: Waiter | undefined;
  /** How it went: the body is complete, or broke off for a reason. */
  let outcome: { error?: unknown } | undefined;

  const end = (how: { error?: unknown }) => {
    outcome = how;
    held = undefined;
    const waiting = waiter;
    waiter = undefined;
    if (!("error" in how)) return waiting?.resolve(undefined);
    if (head === undefined) rejectHead(how.error);
    else waiting?.reject(how.error);
  };
  const fail = (error: unknown) => {
    if (outcome) return;
    end({ error });
    close();
  };

  const take = (piece: Uint8Array) => {
    if (!waiter) {
      pieces.push(piece);
      unread += piece.byteLength;
      return;
    }
    const { resolve } = waiter;
    waiter = undefined;
    resolve(piece);
  };

  /** Where the body begins; `undefined` while the head is not complete. */
  const readHead = (bytes: Uint8Array): number | undefined => {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; ; ) {
      const headEnd = buffer.indexOf("\r\n\r\n", at, "latin1");
      if ((headEnd === -1 ? buffer.length : headEnd) - at > headBytesMax)
        throw malformed("a head that is too long");
      if (headEnd === -1) {
        held = new Uint8Array(buffer.subarray(at));
        return undefined;
      }
      const found = parseHead(buffer.toString("latin1", at, headEnd));
      at = headEnd + 4;
      if (found.status === 101) throw malformed("another protocol");
      // An interim answer: the real one follows (RFC 9110, section 15.2).
      if (found.status < 200) continue;
      head = found;
      body = createBodyScanner(found.framing);
      return at;
    }
  };

  /** Takes what has come, with `after` more bytes behind it. */
  const read = (bytes: Uint8Array, after: number): void => {
    let from = 0;
    if (!head) {
      const known = held ? Buffer.concat([held, bytes]) : bytes;
      const at = readHead(known);
      if (at === undefined) return;
      held = undefined;
      bytes = known;
      from = at;
    }
    if (from > 0) resolveHead(head as Head);
    const rest = (body as BodyScanner).push(from === 0 ? bytes : bytes.subarray(from), take);
    if (rest === undefined) return;
    end({});
    if (paused) socket.resume();
    // More than was promised: where one answer ends and the next begins is anybody's guess.
    if (rest + after > 0) close();
    else release(head as Head);
  };

  const side: Serving = {
    data(bytes) {
      if (outcome) return close();
      const size = bytes.byteLength;
      try {
        if (size <= sectionBytes) read(bytes, 0);
        else {
          for (let at = 0; at < size && !outcome; at += sectionBytes) {
            const section = bytes.slice(at, at + sectionBytes);
            read(section, size - at - section.byteLength);
          }
        }
      } catch (error) {
        return fail(error);
      }
      if (!outcome && !paused && (unread >= unreadBytesMax || size >= unreadBytesMax)) {
        paused = true;
        socket.pause();
      }
    },
    closed(error) {
      if (outcome) return;
      if (head?.framing.kind === "close" && error === undefined) return end({});
      end({ error: head ? cut(error) : (error ?? new Error("the connection was closed before an answer")) });
    },
  };

  const exchange: Exchange = {
    head: promise,
    get ready() {
      return readAt < pieces.length || outcome !== undefined;
    },
    read() {
      const piece = pieces[readAt];
      if (piece !== undefined) {
        pieces[readAt++] = undefined;
        unread -= piece.byteLength;
        if (readAt === pieces.length) {
          pieces.length = 0;
          readAt = 0;
        }
        return Promise.resolve(piece);
      }
      if (outcome) return "error" in outcome ? Promise.reject(outcome.error) : Promise.resolve(undefined);
      if (paused) {
        paused = false;
        socket.resume();
      }
      return new Promise((resolve, reject) => {
        waiter = { resolve, reject };
      });
    },
    abort(reason) {
      const some = readAt < pieces.length;
      pieces.length = 0;
      readAt = 0;
      if (!outcome) fail(reason);
      // Who reads on after that must not take it for the answer's end.
      else if (some) outcome = { error: reason };
    },
  };
  return { exchange, side };
}
