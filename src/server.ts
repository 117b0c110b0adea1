import { httpUrl } from "./address.ts";
import type { App } from "./app.ts";
import type { Drain } from "./drain.ts";
import { StartupError } from "./errors/startup.ts";
import type { Log } from "./log.ts";

/** Seconds of silence after which a connection is closed; calls that wait for a model lift it. */
const idleTimeoutSecondsDefault = 30;
const bodyBytesMaxDefault = 32 * 1024 * 1024;
/** What a route takes is its own to say; the server itself cuts off at this much more, in bytes. */
const bodyBytesBeyond = 32 * 1024 * 1024;
/** How long calls in flight may go on once the service is told to stop, in milliseconds. */
const drainMs = 30_000;

/** A listening server. */
export interface Server {
  /** Where it listens, such as `http://127.0.0.1:5000`. */
  readonly url: string;
  /** Stops taking part: calls in flight finish, for at most 30 s; those still open then are told and ended. */
  stop(): Promise<void>;
}

/**
 * Listens on `host` and `port` (0 takes a free one).
 * @throws {StartupError} the port is in use, or the address is not this machine's.
 */
export function startServer(
  app: App,
  {
    host,
    port,
    drain,
    log,
    bodyBytesMax = bodyBytesMaxDefault,
    idleTimeoutSeconds = idleTimeoutSecondsDefault,
  }: {
    host: string;
    port: number;
    drain: Drain;
    log: Log;
    /** Largest body of any route, in bytes. */
    bodyBytesMax?: number;
    idleTimeoutSeconds?: number;
  },
): Server {
  const server = listen(app, { host, port, bodyBytesMax, idleTimeoutSeconds });
  return {
    url: httpUrl(host, server.port),
    async stop() {
      drain.begin();
      const limit = Date.now() + drainMs;
      while (server.pendingRequests > 0 && Date.now() < limit) await Bun.sleep(20);
      if (server.pendingRequests > 0) {
        log.warn("ending calls that are still in flight", { calls: server.pendingRequests });
        drain.abort();
        await Bun.sleep(100);
      }
      await server.stop(true);
    },
  };
}

/**
 * Fails early where nothing could listen later: before a database is started, and migrated, for nothing.
 * @throws {StartupError} as {@link startServer} does.
 */
export async function checkAddress({ host, port }: { host: string; port: number }): Promise<void> {
  const app = { fetch: async () => new Response(null, { status: 503 }) };
  await listen(app, { host, port, bodyBytesMax: 0, idleTimeoutSeconds: idleTimeoutSecondsDefault }).stop(
    true,
  );
}

function listen(
  app: App,
  {
    host,
    port,
    bodyBytesMax,
    idleTimeoutSeconds,
  }: { host: string; port: number; bodyBytesMax: number; idleTimeoutSeconds: number },
): Bun.Server<undefined> {
  try {
    return Bun.serve({
      hostname: host,
      port,
      reusePort: false,
      development: false,
      idleTimeout: idleTimeoutSeconds,
      maxRequestBodySize: bodyBytesMax + bodyBytesBeyond,
      fetch: (request, server) => app.fetch(request, server),
    });
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code === "EADDRINUSE") {
      throw new StartupError(
        `Port ${port} on ${host} is in use; stop what listens there, or choose another with --port`,
        { cause },
      );
    }
    throw new StartupError(
      `Cannot listen on ${host}:${port} (${code ?? String(cause)}); check HOST and PORT`,
      { cause },
    );
  }
}
