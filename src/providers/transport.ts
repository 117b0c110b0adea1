import { createConnection } from "node:net";
import { UpstreamError } from "../errors/app-error.ts";
import type { CallSignal } from "../signal.ts";
import { mapSoon, type Soon } from "../soon.ts";
import { createDeadlines } from "./deadlines.ts";
import { createResolver, isPublicAddress, type Resolver } from "./egress.ts";
import type { Endpoint } from "./http-connection.ts";
import { createConnectionPool } from "./http-pool.ts";
import { createFieldLines, createPlaces } from "./place.ts";
import { TransportCall } from "./transport-call.ts";

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
  /** What its body is, as it says itself; empty where it says nothing. */
  readonly contentType: string;
  readonly headers: Headers;
  /**
   * The whole body; a promise only where it has to be waited for.
   * @throws {UpstreamError} `cut`, `malformed` where it is larger than 64 MiB; see also {@link Call}.
   */
  bytes(): Soon<Uint8Array>;
  /** The next piece; `undefined` at the end, and from then on. A promise as above. @throws alike. */
  read(): Soon<Uint8Array | undefined>;
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
 * One upstream call, which may take several attempts, one after the other. As a signal it aborts with the caller's reason, or with
 * the {@link UpstreamError} of a limit that has been met. Dispose it to clear its limit and end what is still open.
 */
export interface Call extends CallSignal, Disposable {
  /**
   * One attempt; redirects are not followed.
   * @throws {UpstreamError} `unreachable`, `blocked`, or a limit; the reason of the caller's signal where that aborted.
   */
  send(url: string, outgoing: Outgoing): Promise<UpstreamAnswer>;
}

/** Opens calls to providers. Disposing of it closes the connections that are kept for the next ones. */
export interface Transport extends Disposable {
  /** Starts a call and its total limit; `signal` is the caller's. */
  open(signal: CallSignal, limits: Pick<Timeouts, "totalMs">): Call;
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

/** The limits and the guard of all calls to providers. */
export const createTransport = ({
  connect = handshake,
  resolver = createResolver(),
  isAllowed = isPublicAddress,
  now = () => performance.now(),
}: TransportOptions = {}): Transport => {
  const pool = createConnectionPool({ now });

  /** @throws {UpstreamError} `blocked` */
  const guarded = (addresses: readonly string[], { port, serverName }: Endpoint): Endpoint => {
    if (addresses.length === 0 || !addresses.every(isAllowed)) throw new UpstreamError("blocked");
    return { hostname: addresses[0] as string, port, serverName };
  };

  const shared = {
    pool,
    connect,
    now,
    deadlines: createDeadlines({ now }),
    placeOf: createPlaces(),
    linesOf: createFieldLines(),
    addressOf(endpoint: Endpoint) {
      return mapSoon(resolver.resolve(endpoint.hostname), guarded, endpoint);
    },
  };

  return {
    open: (signal, { totalMs }) => new TransportCall(shared, signal, totalMs),
    [Symbol.dispose]: () => pool[Symbol.dispose](),
  };
};
