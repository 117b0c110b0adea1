import type { Socket, SocketHandler } from "bun";
import { UpstreamError } from "../errors/app-error.ts";
import type { AnswerHead, Exchange } from "./exchange.ts";
import { type BodyScanner, createBodyScanner } from "./http-body.ts";
import { type Head, headBytesMax, malformed, parseHead } from "./http-head.ts";

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

/** Bytes that may lie unread before the other side is held back. Bun reads up to 512 KiB at a time. */
const unreadBytesMax = 64 * 1024;

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

const cut = (cause: unknown) => new UpstreamError("cut", { cause });

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
      const { connection, events } = overSocket(opened, released);
      opened.data = events;
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

/** The exchange that a connection is busy with, as the socket sees it. */
interface Serving {
  data(bytes: Uint8Array): void;
  closed(error: Error | undefined): void;
}

function overSocket(socket: Socket<Events>, released: (connection: Connection) => void) {
  let open = true;
  let serving: Serving | undefined;
  /** What of the request the system has not taken yet. */
  let unsent: Uint8Array | undefined;
  let idleMs: number | undefined;

  const close = () => {
    open = false;
    socket.terminate();
  };

  /** The answer is complete, with nothing after it. */
  const release = ({ reusable, idleMs: kept }: Head) => {
    serving = undefined;
    idleMs = kept;
    // An answer that came before its question was sent leaves the other side in the middle of something.
    if (!open || !reusable || unsent) return close();
    released(connection);
  };

  const flush = () => {
    if (!unsent) return;
    const written = socket.write(unsent);
    if (written > 0) unsent = written < unsent.length ? unsent.subarray(written) : undefined;
  };

  const send = (head: string, body: string) => {
    const text = head + body;
    const written = socket.write(text);
    if (written < 0 || !open) throw new StaleConnection();
    // Both counts are the same for ASCII alone; a text that was taken whole has no fewer bytes than characters.
    const whole = written >= text.length ? Buffer.byteLength(text) : Number.POSITIVE_INFINITY;
    if (written < whole) unsent = Buffer.from(text).subarray(written);
  };

  const connection: Connection = {
    get usable() {
      return open && !serving;
    },
    get idleMs() {
      return idleMs;
    },
    ask(head, body) {
      const { exchange, side } = createExchange({ socket, release, close });
      serving = side;
      try {
        send(head, body);
      } catch (error) {
        serving = undefined;
        close();
        throw error;
      }
      return exchange;
    },
    close,
  };
  const events: Events = {
    opened: () => {},
    secured: () => {},
    // Nobody has asked for this: whatever it is, it is not the answer to the next request.
    data: (bytes) => (serving ? serving.data(bytes) : close()),
    drained: flush,
    closed(error) {
      open = false;
      const broken = serving;
      serving = undefined;
      broken?.closed(error);
    },
  };
  return { connection, events };
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

function createExchange({ socket, release, close }: ExchangeNeeds): { exchange: Exchange; side: Serving } {
  const { promise, resolve: resolveHead, reject: rejectHead } = Promise.withResolvers<AnswerHead>();
  let head: Head | undefined;
  let body: BodyScanner | undefined;
  /** Bytes of a head that is not complete. */
  let held: Uint8Array | undefined;
  /** What has come and was not read, the first of it at `readAt`. */
  const pieces: Uint8Array[] = [];
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

  const read = (bytes: Uint8Array): void => {
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
    if (rest > 0) close();
    else release(head as Head);
  };

  const side: Serving = {
    data(bytes) {
      if (outcome) return close();
      try {
        read(bytes);
      } catch (error) {
        return fail(error);
      }
      if (!outcome && !paused && (unread >= unreadBytesMax || bytes.byteLength >= unreadBytesMax)) {
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
        readAt++;
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
