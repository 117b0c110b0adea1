import { createConnection } from "node:net";
import { UpstreamError, type UpstreamReason } from "../errors/app-error.ts";

/** Limits of one upstream call, in milliseconds. */
export interface Timeouts {
  /** TCP handshake with the provider, name look-up included; per attempt. */
  connectMs: number;
  /** From the request to the response's headers, and for a streamed answer to its first byte; per attempt. */
  firstByteMs: number;
  /** Between two pieces of a body. Any byte is a sign of life, a `: keep-alive` comment included. */
  idleMs: number;
  /** The whole call: every attempt, the pauses between them, and the reading of the answer. */
  totalMs: number;
}

/** The limits where nothing else is configured. */
export const defaultTimeouts: Timeouts = {
  connectMs: 5_000,
  firstByteMs: 60_000,
  idleMs: 120_000,
  totalMs: 600_000,
};

/** Makes a TCP handshake with `target` and undoes it. Rejects where it fails, and with `signal`'s reason. */
export type Connect = (target: { hostname: string; port: number }, signal: AbortSignal) => Promise<void>;

/** The part of `fetch` that the SDK uses. */
export type Fetch = (url: string | URL | Request, init?: RequestInit) => Promise<Response>;

/** One upstream call, which may take several attempts. Dispose it to clear its timer and end what is still open. */
export interface Call extends Disposable {
  /**
   * Aborts with the caller's reason, or with the {@link UpstreamError} of a limit that no further attempt could
   * mend. Whoever gives this signal to the SDK stops it from retrying then.
   */
  readonly signal: AbortSignal;
  /** One attempt; `url` is not redirected. @throws {UpstreamError} `timeout_connect`; otherwise what `fetch` throws. */
  readonly fetch: Fetch;
}

/** Opens calls to a provider. */
export interface Transport {
  /** Starts a call and its total limit; `signal` is the caller's. */
  open(signal: AbortSignal): Call;
}

export interface TransportOptions {
  timeouts: Timeouts;
  /** Whether an HTTP proxy applies, which then does the connecting: no handshake is tried. */
  proxied?: boolean;
  connect?: Connect;
  /** Milliseconds that only go forward. */
  now?: () => number;
}

/**
 * How long an answered request vouches for its origin. Bun's `fetch` cannot limit connecting, so a handshake is
 * tried beforehand where nothing vouches; longer trusts a host that may be gone, shorter costs a round trip more.
 */
const vouchedMs = 30_000;

/** Longest body that is read, in bytes: an answer is text, and one without an end must not fill the memory. */
const maxBodyBytes = 64 * 1024 * 1024;

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

/** Runs `work` under a limit; `expire` is called when it is over. The timer never outlives `work`. */
const within = async <T>(ms: number, expire: () => void, work: () => Promise<T>): Promise<T> => {
  const timer = setTimeout(expire, ms);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
  }
};

const targetOf = (url: URL) => ({
  hostname: url.hostname.replace(/^\[(.*)\]$/, "$1"),
  port: Number(url.port) || (url.protocol === "https:" ? 443 : 80),
});

/**
 * Creates the `fetch` that the OpenAI SDK is given, with the limits that it lacks. A connection that fails or takes
 * too long may be tried again by the SDK; any other limit ends the call through its signal. Bodies are passed on
 * piece by piece as they are asked for: the time a slow reader takes counts only towards the total.
 */
export const createTransport = ({
  timeouts,
  proxied = false,
  connect = handshake,
  now = () => performance.now(),
}: TransportOptions): Transport => {
  const answeredAt = new Map<string, number>();

  const reach = async (url: URL, signal: AbortSignal) => {
    if (proxied || now() - (answeredAt.get(url.origin) ?? Number.NEGATIVE_INFINITY) < vouchedMs) return;
    const limit = new AbortController();
    await within(
      timeouts.connectMs,
      () => limit.abort(new UpstreamError("timeout_connect")),
      () => connect(targetOf(url), AbortSignal.any([signal, limit.signal])),
    );
  };

  const open = (callerSignal: AbortSignal): Call => {
    const own = new AbortController();
    const signal = AbortSignal.any([callerSignal, own.signal]);
    const fail = (error: UpstreamError) => own.abort(error);
    const limited = <T>(ms: number, reason: UpstreamReason, work: () => Promise<T>) =>
      within(ms, () => fail(new UpstreamError(reason)), work);
    const total = setTimeout(() => fail(new UpstreamError("timeout_total")), timeouts.totalMs);

    const passOn = (body: ReadableStream<Uint8Array>, firstPieceMs: number) => {
      const reader = body.getReader();
      let bytes = 0;
      const next = () =>
        bytes === 0 && firstPieceMs > 0
          ? limited(firstPieceMs, "timeout_first_byte", () => reader.read())
          : limited(timeouts.idleMs, "timeout_idle", () => reader.read());
      return new ReadableStream<Uint8Array>(
        {
          pull: async (controller) => {
            try {
              const { done, value } = await next();
              if (done) return controller.close();
              bytes += value.byteLength;
              if (bytes > maxBodyBytes)
                fail(new UpstreamError("malformed", { cause: new Error("body too large") }));
              signal.throwIfAborted();
              controller.enqueue(value);
            } catch (cause) {
              controller.error(signal.aborted ? signal.reason : new UpstreamError("cut", { cause }));
            }
          },
          cancel: (reason) => reader.cancel(reason),
        },
        { highWaterMark: 0 },
      );
    };

    const attempt: Fetch = async (input, init = {}) => {
      const url = new URL(input instanceof Request ? input.url : input);
      await reach(url, init.signal ?? signal);
      const startedAt = now();
      // A redirect is not followed: it would send the conversation to an address that nobody configured.
      // `timeout: false` switches off Bun's own limit (360 s, measured), which would overrule a longer one set here.
      const request = { signal, ...init, redirect: "manual" as const, timeout: false };
      const response = await limited(timeouts.firstByteMs, "timeout_first_byte", () =>
        fetch(url, request),
      ).catch((error: unknown) => {
        answeredAt.delete(url.origin);
        throw error;
      });
      answeredAt.set(url.origin, now());
      if (!response.body) return response;
      const streamed = response.headers.get("content-type")?.startsWith("text/event-stream") ?? false;
      const firstPieceMs = streamed ? Math.max(1, timeouts.firstByteMs - (now() - startedAt)) : 0;
      const { status, statusText, headers } = response;
      return new Response(passOn(response.body, firstPieceMs), { status, statusText, headers });
    };

    return {
      signal,
      fetch: attempt,
      [Symbol.dispose]: () => {
        clearTimeout(total);
        own.abort(new DOMException("The call is over", "AbortError"));
      },
    };
  };

  return { open };
};
