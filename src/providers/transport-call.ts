import { UpstreamError } from "../errors/app-error.ts";
import { Aborter, type CallSignal } from "../signal.ts";
import type { Soon } from "../soon.ts";
import type { Abortable, Deadline, Deadlines } from "./deadlines.ts";
import type { AnswerHead, Exchange } from "./exchange.ts";
import { fetchExchange } from "./fetch-exchange.ts";
import { type Connection, type Endpoint, StaleConnection } from "./http-connection.ts";
import type { ConnectionPool } from "./http-pool.ts";
import type { Place } from "./place.ts";
import type { Call, Connect, Outgoing, UpstreamAnswer } from "./transport.ts";

/** What all calls of a process share. */
export interface Shared {
  pool: ConnectionPool;
  deadlines: Deadlines;
  connect: Connect;
  placeOf: (url: string) => Place;
  /** Headers as they are sent. @throws {TypeError} one that cannot be sent. */
  linesOf: (headers: Readonly<Record<string, string>>) => string;
  /** The address to dial; a promise only where it must be looked up. @throws {UpstreamError} `blocked` */
  addressOf: (endpoint: Endpoint) => Soon<Endpoint>;
  now: () => number;
}

/**
 * How long an answered request vouches for its origin. A handshake of `Bun.connect` cannot be given up: it stays half open until
 * the kernel tires. So where nothing vouches, one that can be is tried beforehand; longer trusts a host that may be gone,
 * shorter costs a round trip more.
 */
const vouchedMs = 30_000;

/** Longest body that is read as a whole, in bytes: an answer is text, and one without an end must not fill the memory. */
const wholeBytesMax = 64 * 1024 * 1024;

const tooLarge = () => new UpstreamError("malformed", { cause: new Error("body too large") });

/** The reason of calls that have ended; shared, since making an error costs more than the rest of the ending. */
const over = new DOMException("The call is over", "AbortError");

/** A request as it goes out. */
interface Request {
  head: string;
  body: string;
}

/** Sends over `connection`; `undefined` where nothing can have arrived. */
function askOver(connection: Connection, { head, body }: Request): Exchange | undefined {
  try {
    return connection.ask(head, body);
  } catch (error) {
    if (!(error instanceof StaleConnection)) throw error;
    return undefined;
  }
}

/** A class, since one is made for every call: its methods are made once. */
export class TransportCall extends Aborter implements Call {
  readonly #shared: Shared;
  readonly #total: Deadline;
  /** The attempt that is under way. */
  #attempt: Abortable | undefined;

  constructor(shared: Shared, callerSignal: CallSignal, totalMs: number) {
    super();
    this.#shared = shared;
    this.follow(callerSignal);
    this.#total = shared.deadlines.start(totalMs, this, "timeout_total");
  }

  /** Ends the call before its time. */
  override abort(reason: unknown): void {
    if (this.aborted) return;
    try {
      super.abort(reason);
    } finally {
      this.#attempt?.abort(reason);
    }
  }

  async send(url: string, outgoing: Outgoing): Promise<UpstreamAnswer> {
    const { streamed, timeouts } = outgoing;
    const { placeOf, deadlines, now } = this.#shared;
    this.#attempt?.abort(over);
    this.throwIfAborted();
    const startedAt = now();
    const place = placeOf(url);
    try {
      const asked = this.#ask(url, place, outgoing);
      const exchange = asked instanceof Promise ? await asked : asked;
      this.#attempt = exchange;
      if (this.aborted) exchange.abort(this.reason);
      const head = await (streamed
        ? deadlines.limit(timeouts.firstByteMs, exchange, "timeout_first_byte", exchange.head)
        : exchange.head);
      place.vouched.at = now();
      return new Answer(this.#shared, { exchange, head, outgoing, startedAt });
    } catch (cause) {
      place.vouched.at = Number.NEGATIVE_INFINITY;
      this.throwIfAborted();
      throw cause instanceof UpstreamError ? cause : new UpstreamError("unreachable", { cause });
    }
  }

  /** Sends; a promise only where no connection was used a moment ago. */
  #ask(url: string, place: Place, outgoing: Outgoing): Soon<Exchange> {
    const { method = "POST", headers, body = "", local, proxied } = outgoing;
    if (proxied) return fetchExchange(url, { method, headers, body });
    const { pool, linesOf, addressOf } = this.#shared;
    const length = method === "GET" ? "" : `content-length: ${Buffer.byteLength(body)}\r\n`;
    const request = { head: `${method}${place.line}${linesOf(headers)}${length}\r\n`, body };
    const to = local ? place.endpoint : addressOf(place.endpoint);
    const fresh = to instanceof Promise ? undefined : pool.takeFresh(to);
    return (fresh && askOver(fresh, request)) ?? this.#reach(to, place, request, outgoing);
  }

  /** Sends over a connection of the pool, or over a new one. */
  async #reach(
    endpoint: Soon<Endpoint>,
    { vouched }: Place,
    request: Request,
    { timeouts }: Outgoing,
  ): Promise<Exchange> {
    const { pool, deadlines, connect, now } = this.#shared;
    const attempt = new AbortController();
    const { signal } = attempt;
    this.#attempt = attempt;
    const reach = async (): Promise<Exchange> => {
      const to = await endpoint;
      signal.throwIfAborted();
      for (let known = await pool.take(to); known; known = await pool.take(to)) {
        if (signal.aborted) known.close();
        signal.throwIfAborted();
        const exchange = askOver(known, request);
        if (exchange) return exchange;
      }
      if (now() - vouched.at >= vouchedMs) await connect(to, signal);
      signal.throwIfAborted();
      const connection = await pool.open(to, signal);
      return connection.ask(request.head, request.body);
    };
    // Looking a name up cannot be given up.
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
    try {
      const reached = Promise.race([reach(), aborted]);
      return await deadlines.limit(timeouts.connectMs, attempt, "timeout_connect", reached);
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    }
  }

  [Symbol.dispose](): void {
    this.#total.clear();
    this.unfollow();
    this.#attempt?.abort(over);
  }
}

/** The answer to one attempt. */
class Answer implements UpstreamAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly #shared: Shared;
  readonly #exchange: Exchange;
  readonly #head: AnswerHead;
  readonly #outgoing: Outgoing;
  readonly #startedAt: number;
  /** Nothing of a streamed body was asked for yet. */
  #first: boolean;

  constructor(
    shared: Shared,
    {
      exchange,
      head,
      outgoing,
      startedAt,
    }: { exchange: Exchange; head: AnswerHead; outgoing: Outgoing; startedAt: number },
  ) {
    this.#shared = shared;
    this.#exchange = exchange;
    this.#head = head;
    this.#outgoing = outgoing;
    this.#startedAt = startedAt;
    this.status = head.status;
    this.contentType = head.contentType;
    this.#first = outgoing.streamed;
  }

  get headers(): Headers {
    return this.#head.headers;
  }

  /** The next piece; a promise, under its limit, only where it has to be waited for. */
  read(): Soon<Uint8Array | undefined> {
    const { deadlines, now } = this.#shared;
    const { firstByteMs, idleMs } = this.#outgoing.timeouts;
    const isFirst = this.#first;
    this.#first = false;
    const piece = this.#exchange.read();
    if (!(piece instanceof Promise)) return piece;
    if (!isFirst) return deadlines.limit(idleMs, this.#exchange, "timeout_idle", piece);
    const leftMs = Math.max(1, Math.ceil(firstByteMs - (now() - this.#startedAt)));
    return deadlines.limit(leftMs, this.#exchange, "timeout_first_byte", piece);
  }

  bytes(): Soon<Uint8Array> {
    const { length } = this.#head;
    if ((length ?? 0) > wholeBytesMax) throw tooLarge();
    const first = this.read();
    // Most bodies come with their head, in one piece.
    if (first instanceof Uint8Array && first.byteLength === length) return first;
    return this.#gather(first, length);
  }

  /** All pieces from the first one on as one. */
  async #gather(first: Soon<Uint8Array | undefined>, length: number | undefined): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    let size = 0;
    for (let piece = await first; piece; piece = await this.read()) {
      size += piece.byteLength;
      if (size > wholeBytesMax) throw tooLarge();
      pieces.push(piece);
      if (size === length) break;
    }
    return pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces);
  }
}
