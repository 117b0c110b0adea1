import { UpstreamError } from "../errors/app-error.ts";
import type { Soon } from "../soon.ts";
import type { AnswerHead, Exchange } from "./exchange.ts";
import { type BodyScanner, type BodySink, createBodyScanner } from "./http-body.ts";
import { type Head, headBytesMax, malformed, parseHead } from "./http-head.ts";

/** Bytes that may lie unread before the other side is held back. Bun reads up to 512 KiB at a time. */
const unreadBytesMax = 64 * 1024;

/**
 * Longest piece that is kept as it came, in bytes. A longer one is cut into copies of as many: a view of what is unread would
 * keep all that Bun has read with it.
 */
const sectionBytes = 64 * 1024;

const cut = (cause: unknown) => new UpstreamError("cut", { cause });

/** The connection that an exchange keeps busy, as the exchange sees it. */
export interface Carrier {
  /** Holds the other side back. */
  pause(): void;
  resume(): void;
  /** The answer is complete, with nothing after it. */
  release(head: Head): void;
  close(): void;
}

interface Waiter {
  resolve: (piece: Uint8Array | undefined) => void;
  reject: (error: unknown) => void;
}

/** How an answer went: its body is complete, or broke off for a reason. */
interface Outcome {
  error?: unknown;
}

const complete: Outcome = {};

/** Methods that do for any bytes as well; making a buffer of them costs more. */
const ofBuffers = Buffer.prototype;

/**
 * The exchange that a connection serves next: what is read of one answer, and when the connection is free. A class, since one
 * is made for every call: its methods are made once.
 */
export class HttpExchange implements Exchange, BodySink {
  readonly head: Promise<AnswerHead>;
  readonly #resolveHead: (head: AnswerHead) => void;
  readonly #rejectHead: (error: unknown) => void;
  readonly #carrier: Carrier;
  #head: Head | undefined;
  #body: BodyScanner | undefined;
  /** Bytes of a head that is not complete. */
  #held: Uint8Array | undefined;
  /** What has come and was not read, the first of it at `#readAt`; what stands before was read, and is let go. */
  readonly #pieces: (Uint8Array | undefined)[] = [];
  #readAt = 0;
  #unread = 0;
  #paused = false;
  #waiter: Waiter | undefined;
  #outcome: Outcome | undefined;

  constructor(carrier: Carrier) {
    this.#carrier = carrier;
    const { promise, resolve, reject } = Promise.withResolvers<AnswerHead>();
    this.head = promise;
    this.#resolveHead = resolve;
    this.#rejectHead = reject;
  }

  #end(how: Outcome): void {
    this.#outcome = how;
    this.#held = undefined;
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (!("error" in how)) waiter?.resolve(undefined);
    else if (this.#head === undefined) this.#rejectHead(how.error);
    else waiter?.reject(how.error);
  }

  #fail(error: unknown): void {
    if (this.#outcome) return;
    this.#end({ error });
    this.#carrier.close();
  }

  take(piece: Uint8Array): void {
    const waiter = this.#waiter;
    if (waiter) {
      this.#waiter = undefined;
      waiter.resolve(piece);
      return;
    }
    this.#pieces.push(piece);
    this.#unread += piece.byteLength;
  }

  /** Where the body begins; `undefined` while the head is not complete. */
  #readHead(bytes: Uint8Array): number | undefined {
    for (let at = 0; ; ) {
      const headEnd = ofBuffers.indexOf.call(bytes, "\r\n\r\n", at, "latin1");
      if ((headEnd === -1 ? bytes.length : headEnd) - at > headBytesMax)
        throw malformed("a head that is too long");
      if (headEnd === -1) {
        this.#held = new Uint8Array(bytes.subarray(at));
        return undefined;
      }
      const found = parseHead(ofBuffers.toString.call(bytes, "latin1", at, headEnd));
      at = headEnd + 4;
      if (found.status === 101) throw malformed("another protocol");
      // An interim answer: the real one follows (RFC 9110, section 15.2).
      if (found.status < 200) continue;
      this.#head = found;
      this.#body = createBodyScanner(found.framing);
      return at;
    }
  }

  /** Takes what has come, with `after` more bytes behind it. */
  #read(bytes: Uint8Array, after: number): void {
    let from = 0;
    if (!this.#head) {
      const known = this.#held ? Buffer.concat([this.#held, bytes]) : bytes;
      const at = this.#readHead(known);
      if (at === undefined) return;
      this.#held = undefined;
      bytes = known;
      from = at;
    }
    const head = this.#head as unknown as Head;
    if (from > 0) this.#resolveHead(head);
    const rest = (this.#body as BodyScanner).push(from === 0 ? bytes : bytes.subarray(from), this);
    if (rest === undefined) return;
    this.#end(complete);
    if (this.#paused) this.#carrier.resume();
    // More than was promised: where one answer ends and the next begins is anybody's guess.
    if (rest + after > 0) this.#carrier.close();
    else this.#carrier.release(head);
  }

  /** Bytes have come. */
  data(bytes: Uint8Array): void {
    if (this.#outcome) {
      this.#carrier.close();
      return;
    }
    const size = bytes.byteLength;
    try {
      if (size <= sectionBytes) this.#read(bytes, 0);
      else {
        for (let at = 0; at < size && !this.#outcome; at += sectionBytes) {
          const section = bytes.slice(at, at + sectionBytes);
          this.#read(section, size - at - section.byteLength);
        }
      }
    } catch (error) {
      this.#fail(error);
    }
    if (!this.#outcome && !this.#paused && (this.#unread >= unreadBytesMax || size >= unreadBytesMax)) {
      this.#paused = true;
      this.#carrier.pause();
    }
  }

  /** The connection is no more. */
  closed(error: Error | undefined): void {
    if (this.#outcome) return;
    const head = this.#head;
    if (!head) this.#end({ error: error ?? new Error("the connection was closed before an answer") });
    else this.#end(head.framing.kind === "close" && error === undefined ? complete : { error: cut(error) });
  }

  read(): Soon<Uint8Array | undefined> {
    const piece = this.#pieces[this.#readAt];
    if (piece !== undefined) {
      this.#pieces[this.#readAt++] = undefined;
      this.#unread -= piece.byteLength;
      if (this.#readAt === this.#pieces.length) this.#letGo();
      return piece;
    }
    const outcome = this.#outcome;
    if (outcome) return "error" in outcome ? Promise.reject(outcome.error) : undefined;
    if (this.#paused) {
      this.#paused = false;
      this.#carrier.resume();
    }
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
  }

  #letGo(): void {
    this.#pieces.length = 0;
    this.#readAt = 0;
  }

  abort(reason: unknown): void {
    const some = this.#readAt < this.#pieces.length;
    this.#letGo();
    if (!this.#outcome) this.#fail(reason);
    // Who reads on after that must not take it for the answer's end.
    else if (some) this.#outcome = { error: reason };
  }
}
