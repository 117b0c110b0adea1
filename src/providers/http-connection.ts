import type { Socket, SocketHandler } from "bun";
import type { Exchange } from "./exchange.ts";
import { type Carrier, HttpExchange } from "./http-exchange.ts";
import type { Head } from "./http-head.ts";

/** Where a connection leads. */
export interface Endpoint {
  /** A name or an address. */
  hostname: string;
  port: number;
  /** The name that the certificate must be for; `undefined` without TLS. */
  serverName: string | undefined;
}

/** A connection that serves one request after the other. */
export interface Connection {
  /** Open, and free for a request. */
  readonly usable: boolean;
  /** How long the other side keeps it while it is idle, in milliseconds, as far as is known. */
  readonly idleMs: number | undefined;
  /** Sends a request: `head` as Latin-1, its empty line included, and `body`. */
  ask(head: string, body: string): Exchange;
  /** Closes it; what is under way breaks off. */
  close(): void;
}

/** Thrown by {@link Connection.ask} where nothing of the request can have arrived: another connection may be asked. */
export class StaleConnection extends Error {}

/** What a socket tells its connection. */
interface Events {
  opened(socket: Socket<Events>): void;
  secured(socket: Socket<Events>, error: Error | null): void;
  data(bytes: Uint8Array): void;
  drained(): void;
  closed(error: Error | undefined): void;
}

/**
 * One for all sockets: each has its connection as `data`. Pieces come as plain `Uint8Array`, of which `slice` is a copy, as of
 * those of `fetch`.
 */
const handler = {
  binaryType: "uint8array",
  open: (socket) => socket.data.opened(socket),
  handshake: (socket, _, error) => socket.data.secured(socket, error),
  data: (socket, bytes) => socket.data.data(bytes),
  drain: (socket) => socket.data.drained(),
  close: (socket, error) => socket.data.closed(error),
  error: (socket, error) => socket.data.closed(error),
  // The promise of `Bun.connect` tells.
  connectError() {},
} satisfies SocketHandler<Events, "uint8array">;

/**
 * Connects, and shakes hands where there is TLS: the certificate must be good for `serverName`. `released` is told each time
 * that the connection is free again.
 * @throws what the system or the certificate says; `signal`'s reason where that aborts. Bun cannot give up a handshake of TCP:
 * it is closed as soon as it succeeds.
 */
export function openConnection(
  { hostname, port, serverName }: Endpoint,
  signal: AbortSignal,
  released: (connection: Connection) => void,
): Promise<Connection> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    let socket: Socket<Events> | undefined;
    const abandon = () => {
      reject(signal.reason);
      socket?.terminate();
    };
    const established = (opened: Socket<Events>) => {
      signal.removeEventListener("abort", abandon);
      const connection = new HttpConnection(opened, released);
      opened.data = connection;
      resolve(connection);
    };
    const failed = (error: unknown) => {
      signal.removeEventListener("abort", abandon);
      reject(error);
    };
    const connecting: Events = {
      opened(opened) {
        socket = opened;
        if (signal.aborted) opened.terminate();
        else if (serverName === undefined) established(opened);
      },
      secured(opened, error) {
        if (signal.aborted) return;
        if (!error && opened.authorized) return established(opened);
        failed(error ?? new Error("the certificate was not accepted"));
        opened.terminate();
      },
      data: () => {},
      drained: () => {},
      closed: (error) => failed(error ?? new Error("the connection was closed before it was established")),
    };
    signal.addEventListener("abort", abandon, { once: true });
    Bun.connect({
      hostname,
      port,
      data: connecting,
      // The types know of buffers only.
      socket: handler as unknown as SocketHandler<Events>,
      ...(serverName !== undefined && {
        tls: { serverName, rejectUnauthorized: true, ALPNProtocols: "http/1.1" },
      }),
    }).catch(failed);
  });
}

class HttpConnection implements Connection, Carrier, Events {
  readonly #socket: Socket<Events>;
  readonly #released: (connection: Connection) => void;
  #open = true;
  #serving: HttpExchange | undefined;
  /** What of the request the system has not taken yet. */
  #unsent: Uint8Array | undefined;
  #idleMs: number | undefined;

  constructor(socket: Socket<Events>, released: (connection: Connection) => void) {
    this.#socket = socket;
    this.#released = released;
  }

  get usable() {
    return this.#open && !this.#serving;
  }

  get idleMs() {
    return this.#idleMs;
  }

  ask(head: string, body: string): Exchange {
    const exchange = new HttpExchange(this);
    this.#serving = exchange;
    try {
      this.#send(head + body);
    } catch (error) {
      this.#serving = undefined;
      this.close();
      throw error;
    }
    return exchange;
  }

  #send(text: string): void {
    const written = this.#socket.write(text);
    if (written < 0 || !this.#open) throw new StaleConnection();
    // Both counts are the same for ASCII alone; a text that was taken whole has no fewer bytes than characters.
    const whole = written >= text.length ? Buffer.byteLength(text) : Number.POSITIVE_INFINITY;
    if (written < whole) this.#unsent = Buffer.from(text).subarray(written);
  }

  pause() {
    this.#socket.pause();
  }

  resume() {
    this.#socket.resume();
  }

  release({ reusable, idleMs }: Head) {
    this.#serving = undefined;
    this.#idleMs = idleMs;
    // An answer that came before its question was sent leaves the other side in the middle of something.
    if (!this.#open || !reusable || this.#unsent) return this.close();
    this.#released(this);
  }

  close() {
    this.#open = false;
    this.#socket.terminate();
  }

  opened() {}

  secured() {}

  data(bytes: Uint8Array) {
    if (this.#serving) this.#serving.data(bytes);
    // Nobody has asked for this: whatever it is, it is not the answer to the next request.
    else this.close();
  }

  drained() {
    if (!this.#unsent) return;
    const written = this.#socket.write(this.#unsent);
    if (written > 0)
      this.#unsent = written < this.#unsent.length ? this.#unsent.subarray(written) : undefined;
  }

  closed(error: Error | undefined) {
    this.#open = false;
    const broken = this.#serving;
    this.#serving = undefined;
    broken?.closed(error);
  }
}
