import { createConnection } from "node:net";
import { UpstreamError, type UpstreamReason } from "../errors/app-error.ts";
import { createDeadlines } from "./deadlines.ts";
import { createResolver, isPublicAddress, type Resolver } from "./egress.ts";
import type { AnswerHead, Exchange } from "./exchange.ts";
import { fetchExchange } from "./fetch-exchange.ts";
import { type Endpoint, StaleConnection } from "./http-connection.ts";
import { isField } from "./http-head.ts";
import { createConnectionPool } from "./http-pool.ts";

/** Limits of one upstream call, in milliseconds. */
export interface Timeouts {
  /** Name look-up and TCP handshake; per attempt. */
  connectMs: number;
  /** From a streamed call's request to the first piece of its answer; per attempt. */
  firstByteMs: number;
  /** Between two pieces of a body. Any byte is a sign of life, a `: keep-alive` comment included. */
  idleMs: number;
  /**
   * The whole call: every attempt, the pauses between them, and the reading of the answer. A call that is not streamed
   * has no other limit on the wait for its answer: providers send nothing until it is finished.
   */
  totalMs: number;
}

/** Makes a TCP handshake with `target` and undoes it. Rejects where it fails, and with `signal`'s reason. */
export type Connect = (target: { hostname: string; port: number }, signal: AbortSignal) => Promise<void>;

/** An upstream's answer, of which nothing is read before it is asked for. */
export interface UpstreamAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The whole body. @throws {UpstreamError} `cut`, `malformed` where it is larger than 64 MiB; see also {@link Call}. */
  bytes(): Promise<Uint8Array>;
  /** The next piece; `undefined` at the end, and from then on. @throws alike. */
  read(): Promise<Uint8Array | undefined>;
}

/** What is sent, and on which terms. */
export interface Outgoing {
  method?: "GET" | "POST";
  headers: Readonly<Record<string, string>>;
  body?: string;
  /** The answer comes in pieces. */
  streamed: boolean;
  timeouts: Timeouts;
  /** Any address will do; otherwise only a public one. */
  local: boolean;
  /** An HTTP proxy of the environment does the connecting, and the look-up. */
  proxied: boolean;
}

/**
 * One upstream call, which may take several attempts, one after the other. Dispose it to clear its limit and end what is still
 * open.
 */
export interface Call extends Disposable {
  /**
   * Aborts with the caller's reason, or with the {@link UpstreamError} of a limit that has been met. Made when it is first asked
   * for: most calls end before.
   */
  readonly signal: AbortSignal;
  /** @throws the reason for which {@link signal} has aborted, or would have. */
  throwIfEnded(): void;
  /**
   * One attempt; redirects are not followed.
   * @throws {UpstreamError} `unreachable`, `blocked`, or a limit; the reason of the caller's signal where that aborted.
   */
  send(url: string, outgoing: Outgoing): Promise<UpstreamAnswer>;
}

/** Opens calls to providers. Disposing of it closes the connections that are kept for the next ones. */
export interface Transport extends Disposable {
  /** Starts a call and its total limit; `signal` is the caller's. */
  open(signal: AbortSignal, limits: Pick<Timeouts, "totalMs">): Call;
}

export interface TransportOptions {
  /** Tries the way to a host that nothing vouches for. */
  connect?: Connect;
  resolver?: Resolver;
  /** Whether an address may be dialled for a provider that is not local. */
  isAllowed?: (ip: string) => boolean;
  /** Milliseconds that only go forward. */
  now?: () => number;
}

/**
 * How long an answered request vouches for its origin. A handshake of `Bun.connect` cannot be given up: it stays half open until
 * the kernel tires. So where nothing vouches, one that can be is tried beforehand; longer trusts a host that may be gone,
 * shorter costs a round trip more.
 */
const vouchedMs = 30_000;

/** Longest body that is read as a whole, in bytes: an answer is text, and one without an end must not fill the memory. */
const wholeBytesMax = 64 * 1024 * 1024;

/** Most origins of which something is remembered. */
const originsMax = 1000;

const handshake: Connect = ({ hostname, port }, signal) =>
  new Promise((resolve, reject) => {
    const socket = createConnection({ host: hostname, port });
    const abandon = () => socket.destroy();
    signal.addEventListener("abort", abandon, { once: true });
    socket.once("connect", () => {
      resolve();
      socket.destroy();
    });
    socket.on("error", reject);
    socket.once("close", () => {
      signal.removeEventListener("abort", abandon);
      reject(signal.reason);
    });
    if (signal.aborted) abandon();
  });

/** A URL, taken apart once. */
interface Place {
  origin: string;
  endpoint: Endpoint;
  /** As `Host` names it. */
  host: string;
  path: string;
  /** When it was last answered; minus infinity where nothing vouches for it. Shared by all places of one origin. */
  vouched: { at: number };
}

/** The lines of headers as they are sent, each checked. @throws {TypeError} one that cannot be sent. */
function fieldLines(headers: Readonly<Record<string, string>>): string {
  let lines = "";
  for (const [name, text] of Object.entries(headers)) {
    const value = text.trim();
    if (!isField(name, value)) throw new TypeError(`the header ${name} cannot be sent`);
    lines += `${name}: ${value}\r\n`;
  }
  return lines;
}

/** The reason of calls that have ended; shared, since making an error costs more than the rest of the ending. */
const over = new DOMException("The call is over", "AbortError");

const tooLarge = () => new UpstreamError("malformed", { cause: new Error("body too large") });

/** The limits and the guard of all calls to providers. */
export const createTransport = ({
  connect = handshake,
  resolver = createResolver(),
  isAllowed = isPublicAddress,
  now = () => performance.now(),
}: TransportOptions = {}): Transport => {
  const pool = createConnectionPool({ now });
  const deadlines = createDeadlines({ now });
  const places = new Map<string, Place>();
  const answered = new Map<string, { at: number }>();
  const lines = new WeakMap<Readonly<Record<string, string>>, string>();

  const placeOf = (text: string): Place => {
    const known = places.get(text);
    if (known) return known;
    const url = new URL(text);
    const secure = url.protocol === "https:";
    const hostname = url.hostname.replace(/^\[(.*)\]$/, "$1");
    let vouched = answered.get(url.origin);
    if (!vouched) {
      vouched = { at: Number.NEGATIVE_INFINITY };
      if (answered.size >= originsMax) answered.delete(answered.keys().next().value ?? "");
      answered.set(url.origin, vouched);
    }
    const port = Number(url.port) || (secure ? 443 : 80);
    const place = {
      origin: url.origin,
      endpoint: { hostname, port, serverName: secure ? hostname : undefined },
      host: url.host,
      path: url.pathname + url.search,
      vouched,
    };
    if (places.size >= originsMax) places.delete(places.keys().next().value ?? "");
    places.set(text, place);
    return place;
  };

  const linesOf = (headers: Readonly<Record<string, string>>): string => {
    let known = lines.get(headers);
    if (known === undefined) {
      known = fieldLines(headers);
      lines.set(headers, known);
    }
    return known;
  };

  /** The address to dial. @throws {UpstreamError} `blocked` */
  const guard = async (hostname: string): Promise<string> => {
    const addresses = await resolver.resolve(hostname);
    if (addresses.length === 0 || !addresses.every(isAllowed)) throw new UpstreamError("blocked");
    return addresses[0] as string;
  };

  const open = (callerSignal: AbortSignal, { totalMs }: Pick<Timeouts, "totalMs">): Call => {
    let own: AbortController | undefined;
    /** Why the call has ended before its time. */
    let ended: { reason: unknown } | undefined;
    /** Ends the attempt that is under way. */
    let endAttempt: ((reason: unknown) => void) | undefined;
    const end = (reason: unknown) => {
      if (ended) return;
      ended = { reason };
      own?.abort(reason);
      endAttempt?.(reason);
    };
    const throwIfEnded = () => {
      if (ended) throw ended.reason;
    };
    const leave = () => end(callerSignal.reason);
    if (callerSignal.aborted) leave();
    else callerSignal.addEventListener("abort", leave, { once: true });
    const total = deadlines.start(totalMs, () => end(new UpstreamError("timeout_total")));

    /** Runs `work` under a limit of this attempt. */
    const limited = async <T>(
      ms: number,
      reason: UpstreamReason,
      abort: (reason: unknown) => void,
      work: Promise<T>,
    ): Promise<T> => {
      const limit = deadlines.start(ms, () => abort(new UpstreamError(reason)));
      try {
        return await work;
      } finally {
        limit.clear();
      }
    };

    /** Sends over a connection of the pool, or over a new one. */
    const exchangeAt = async (
      place: Place,
      request: { head: string; body: string },
      { local, timeouts }: Outgoing,
    ): Promise<Exchange> => {
      const { endpoint } = place;
      const ask = async (to: Endpoint): Promise<Exchange | undefined> => {
        for (let known = await pool.take(to); known; known = await pool.take(to)) {
          if (ended) known.close();
          throwIfEnded();
          try {
            return known.ask(request.head, request.body);
          } catch (error) {
            if (!(error instanceof StaleConnection)) throw error;
          }
        }
        return undefined;
      };
      const idle = local ? await ask(endpoint) : undefined;
      if (idle) return idle;
      throwIfEnded();
      const attempt = new AbortController();
      const abort = (reason: unknown) => attempt.abort(reason);
      endAttempt = abort;
      const reach = async (): Promise<Exchange> => {
        const to = local ? endpoint : { ...endpoint, hostname: await guard(endpoint.hostname) };
        attempt.signal.throwIfAborted();
        const idle = local ? undefined : await ask(to);
        if (idle) return idle;
        if (now() - place.vouched.at >= vouchedMs) await connect(to, attempt.signal);
        attempt.signal.throwIfAborted();
        const connection = await pool.open(to, attempt.signal);
        return connection.ask(request.head, request.body);
      };
      // Looking a name up cannot be given up.
      const aborted = new Promise<never>((_, reject) => {
        attempt.signal.addEventListener("abort", () => reject(attempt.signal.reason), { once: true });
      });
      try {
        return await limited(timeouts.connectMs, "timeout_connect", abort, Promise.race([reach(), aborted]));
      } catch (error) {
        throw attempt.signal.aborted ? attempt.signal.reason : error;
      }
    };

    const send = async (url: string, outgoing: Outgoing): Promise<UpstreamAnswer> => {
      const { method = "POST", headers, body = "", streamed, timeouts, proxied } = outgoing;
      endAttempt?.(over);
      throwIfEnded();
      const startedAt = now();
      const place = placeOf(url);
      let exchange: Exchange;
      let head: AnswerHead;
      try {
        if (proxied) exchange = fetchExchange(url, { method, headers, body });
        else {
          // What is compressed would have to be unpacked, and would come late.
          const fixed = `${method} ${place.path} HTTP/1.1\r\nhost: ${place.host}\r\naccept-encoding: identity\r\n`;
          const length = method === "GET" ? "" : `content-length: ${Buffer.byteLength(body)}\r\n`;
          const request = { head: `${fixed}${linesOf(headers)}${length}\r\n`, body };
          exchange = await exchangeAt(place, request, outgoing);
        }
        const { abort } = exchange;
        endAttempt = abort;
        if (ended) abort(ended.reason);
        head = await (streamed
          ? limited(timeouts.firstByteMs, "timeout_first_byte", abort, exchange.head)
          : exchange.head);
      } catch (cause) {
        place.vouched.at = Number.NEGATIVE_INFINITY;
        throwIfEnded();
        throw cause instanceof UpstreamError ? cause : new UpstreamError("unreachable", { cause });
      }
      place.vouched.at = now();

      const { abort } = exchange;
      let first = streamed;
      const read = (): Promise<Uint8Array | undefined> => {
        if (exchange.ready) {
          first = false;
          return exchange.read();
        }
        const firstMs = Math.max(1, Math.ceil(timeouts.firstByteMs - (now() - startedAt)));
        const [ms, reason] = first
          ? ([firstMs, "timeout_first_byte"] as const)
          : ([timeouts.idleMs, "timeout_idle"] as const);
        first = false;
        return limited(ms, reason, abort, exchange.read());
      };
      const bytes = async (): Promise<Uint8Array> => {
        if ((head.length ?? 0) > wholeBytesMax) throw tooLarge();
        const pieces: Uint8Array[] = [];
        let size = 0;
        for (let piece = await read(); piece; piece = await read()) {
          size += piece.byteLength;
          if (size > wholeBytesMax) throw tooLarge();
          pieces.push(piece);
          if (size === head.length) break;
        }
        return pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces);
      };
      return {
        status: head.status,
        get headers() {
          return head.headers;
        },
        bytes,
        read,
      };
    };

    return {
      get signal() {
        if (!own) {
          own = new AbortController();
          if (ended) own.abort(ended.reason);
        }
        return own.signal;
      },
      throwIfEnded,
      send,
      [Symbol.dispose]: () => {
        total.clear();
        callerSignal.removeEventListener("abort", leave);
        endAttempt?.(over);
      },
    };
  };

  return { open, [Symbol.dispose]: () => pool[Symbol.dispose]() };
};
