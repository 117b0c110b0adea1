import { createConnection } from "node:net";
import { UpstreamError, type UpstreamReason } from "../errors/app-error.ts";
import { createResolver, isPublicAddress, type Resolver } from "./egress.ts";

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

/** One upstream call, which may take several attempts. Dispose it to clear its timer and end what is still open. */
export interface Call extends Disposable {
  /** Aborts with the caller's reason, or with the {@link UpstreamError} of a limit that has been met. */
  readonly signal: AbortSignal;
  /**
   * One attempt; redirects are not followed.
   * @throws {UpstreamError} `unreachable`, `blocked`, or a limit; the reason of the caller's signal where that aborted.
   */
  send(url: string, outgoing: Outgoing): Promise<UpstreamAnswer>;
}

/** Opens calls to providers. */
export interface Transport {
  /** Starts a call and its total limit; `signal` is the caller's. */
  open(signal: AbortSignal, limits: Pick<Timeouts, "totalMs">): Call;
}

export interface TransportOptions {
  connect?: Connect;
  resolver?: Resolver;
  /** Milliseconds that only go forward. */
  now?: () => number;
}

/**
 * How long an answered request vouches for its origin. Bun's `fetch` cannot limit connecting, so a handshake is
 * tried beforehand where nothing vouches; longer trusts a host that may be gone, shorter costs a round trip more.
 */
const vouchedMs = 30_000;

/** Longest body that is read as a whole, in bytes: an answer is text, and one without an end must not fill the memory. */
const wholeBytesMax = 64 * 1024 * 1024;

/** Up to this length a body is read without looking at its pieces, in bytes. */
const quickBytesMax = 1024 * 1024;

/** `node:net` and not `Bun.connect`, whose handshake cannot be given up: it stays half open until the kernel tires. */
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

const bracketless = (hostname: string) => hostname.replace(/^\[(.*)\]$/, "$1");

/** How `fetch` is told to connect to one address and to speak to the host it stands for. */
const dialled = (url: URL, address: string) => ({
  url: Object.assign(new URL(url), { hostname: address.includes(":") ? `[${address}]` : address }),
  host: url.host,
  tls: url.protocol === "https:" ? { serverName: url.hostname } : undefined,
});

/** The limits and the guard of all calls to providers. */
export const createTransport = ({
  connect = handshake,
  resolver = createResolver(),
  now = () => performance.now(),
}: TransportOptions = {}): Transport => {
  const answeredAt = new Map<string, number>();

  const open = (callerSignal: AbortSignal, { totalMs }: Pick<Timeouts, "totalMs">): Call => {
    const own = new AbortController();
    const { signal } = own;
    const leave = () => own.abort(callerSignal.reason);
    if (callerSignal.aborted) leave();
    else callerSignal.addEventListener("abort", leave, { once: true });
    const total = setTimeout(() => own.abort(new UpstreamError("timeout_total")), totalMs);

    /** Runs `work` under a limit that ends this attempt and no more. The timer never outlives it. */
    const limited = async <T>(
      { ms, reason, attempt }: { ms: number; reason: UpstreamReason; attempt: AbortController },
      work: () => Promise<T>,
    ): Promise<T> => {
      const timer = setTimeout(() => attempt.abort(new UpstreamError(reason)), ms);
      try {
        return await work();
      } finally {
        clearTimeout(timer);
      }
    };

    /** The address to dial; `undefined` where the name does. @throws {UpstreamError} `blocked` */
    const guard = async ({ hostname }: URL): Promise<string> => {
      const addresses = await resolver.resolve(bracketless(hostname));
      if (addresses.length === 0 || !addresses.every(isPublicAddress)) throw new UpstreamError("blocked");
      return addresses[0] as string;
    };

    const send = async (text: string, outgoing: Outgoing): Promise<UpstreamAnswer> => {
      const { method = "POST", headers, body, streamed, timeouts, local, proxied } = outgoing;
      const attempt = new AbortController();
      const end = () => attempt.abort(signal.reason);
      if (signal.aborted) end();
      else signal.addEventListener("abort", end, { once: true });
      const startedAt = now();
      const url = new URL(text);
      /** What went wrong, in this house's words. */
      const translate = (cause: unknown, otherwise: UpstreamReason): unknown => {
        if (attempt.signal.aborted) return attempt.signal.reason;
        return cause instanceof UpstreamError ? cause : new UpstreamError(otherwise, { cause });
      };

      /** Looks up, checks and connects, as far as nothing vouches for the host. */
      const reach = async (): Promise<string | undefined> => {
        if (proxied) return undefined;
        const address = local ? undefined : await guard(url);
        if (now() - (answeredAt.get(url.origin) ?? Number.NEGATIVE_INFINITY) < vouchedMs) return address;
        const port = Number(url.port) || (url.protocol === "https:" ? 443 : 80);
        await connect({ hostname: address ?? bracketless(url.hostname), port }, attempt.signal);
        return address;
      };

      let response: Response;
      try {
        const vouched = local && now() - (answeredAt.get(url.origin) ?? Number.NEGATIVE_INFINITY) < vouchedMs;
        const connecting = { ms: timeouts.connectMs, reason: "timeout_connect" as const, attempt };
        const address = vouched || proxied ? undefined : await limited(connecting, reach);
        attempt.signal.throwIfAborted();
        const dial = address === undefined ? undefined : dialled(url, address);
        // A redirect is not followed: it would send the conversation to an address that nobody configured.
        // `timeout: false` switches off Bun's own limit (360 s, measured), which would overrule a longer one set here.
        const request = {
          method,
          headers: dial ? { ...headers, host: dial.host } : headers,
          ...(body !== undefined && { body }),
          ...(dial?.tls && { tls: dial.tls }),
          signal: attempt.signal,
          redirect: "manual" as const,
          timeout: false,
        };
        const ask = () => fetch(dial?.url ?? url, request);
        response = streamed
          ? await limited({ ms: timeouts.firstByteMs, reason: "timeout_first_byte", attempt }, ask)
          : await ask();
      } catch (error) {
        answeredAt.delete(url.origin);
        signal.removeEventListener("abort", end);
        throw translate(error, "unreachable");
      }
      answeredAt.set(url.origin, now());

      let reader: { read(): Promise<{ done: boolean; value?: Uint8Array | undefined }> } | undefined;
      let first = streamed;
      let done = response.body === null;
      const over = () => {
        done = true;
        signal.removeEventListener("abort", end);
      };
      const read = async (): Promise<Uint8Array | undefined> => {
        if (done) return undefined;
        reader ??= (response.body as ReadableStream<Uint8Array>).getReader();
        const from = reader as NonNullable<typeof reader>;
        const limit = first
          ? {
              ms: Math.max(1, timeouts.firstByteMs - (now() - startedAt)),
              reason: "timeout_first_byte" as const,
            }
          : { ms: timeouts.idleMs, reason: "timeout_idle" as const };
        try {
          const { done: ended, value } = await limited({ ...limit, attempt }, () => from.read());
          first = false;
          if (ended) over();
          return ended ? undefined : value;
        } catch (error) {
          over();
          throw translate(error, "cut");
        }
      };
      const bytes = async (): Promise<Uint8Array> => {
        const tooLarge = () => new UpstreamError("malformed", { cause: new Error("body too large") });
        const length = Number(response.headers.get("content-length") ?? Number.NaN);
        if (length > wholeBytesMax) throw tooLarge();
        if (length <= quickBytesMax) {
          // A small body of known length comes in one go, and costs a third.
          try {
            return await limited({ ms: timeouts.idleMs, reason: "timeout_idle", attempt }, () =>
              response.bytes(),
            );
          } catch (error) {
            throw translate(error, "cut");
          } finally {
            over();
          }
        }
        const pieces: Uint8Array[] = [];
        let size = 0;
        for (let piece = await read(); piece; piece = await read()) {
          size += piece.byteLength;
          if (size > wholeBytesMax) throw tooLarge();
          pieces.push(piece);
        }
        return pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces);
      };
      return { status: response.status, headers: response.headers, bytes, read };
    };

    return {
      signal,
      send,
      [Symbol.dispose]: () => {
        clearTimeout(total);
        callerSignal.removeEventListener("abort", leave);
        own.abort(over);
      },
    };
  };

  return { open };
};

/** The reason of calls that have ended; shared, since making an error costs more than the rest of the ending. */
const over = new DOMException("The call is over", "AbortError");
