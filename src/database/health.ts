import { FailError } from "../errors/app-error.ts";
import type { Log } from "../log.ts";
import type { RenewablePool } from "./pool.ts";

/** Pause between two looks at the database. */
const intervalMs = 400;
/** A look that takes longer means that the database is away; with the pause it stays below 2 s. */
const limitMs = 1000;

/** Knows at any moment whether the database answers, and ends what waits for one that does not. */
export interface DatabaseHealth extends AsyncDisposable {
  readonly up: boolean;
  /**
   * The same service of async methods, each ending with {@link FailError} as soon as the database is found to be
   * away, instead of waiting for it. What was already sent to the database may still take effect there.
   */
  guard: Guard;
}

/** Makes the methods of a service end with {@link FailError} while the database is away. */
export type Guard = <S extends object>(service: S) => S;

type Method = (...args: unknown[]) => Promise<unknown>;

/** Errors of the driver that mean "no connection", whatever the statement was. */
const connectionErrors = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_DESTROYED",
  "CONNECTION_ENDED",
  "CONNECT_TIMEOUT",
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOENT",
  "ENOTFOUND",
  "EPIPE",
  "57P01", // admin_shutdown
  "57P02", // crash_shutdown
  "57P03", // cannot_connect_now
  "53300", // too_many_connections
]);

/** Whether `error` says that the database cannot be reached, rather than that it refused a statement. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof Error && "code" in error && connectionErrors.has(String(error.code));
}

const unreachable = (cause: unknown) => new FailError("database.unreachable", { cause });

/**
 * Watches the database over a connection of its own (`probe`, a pool of one, which it closes with itself), and renews
 * `pool` when the database is lost: its connections may never be heard of again. Call it once the database has answered.
 */
export function watchDatabase({
  probe,
  pool,
  log,
}: {
  probe: RenewablePool;
  pool: RenewablePool;
  log: Log;
}): DatabaseHealth {
  let up = true;
  let closing = false;
  let timer: Timer | undefined;
  const waiting = new Set<(error: FailError) => void>();

  const set = (state: boolean, cause?: unknown) => {
    if (!state) {
      const error = unreachable(cause);
      for (const reject of waiting) reject(error);
      waiting.clear();
    }
    if (state === up) return;
    up = state;
    if (up) return log.info("database is back");
    pool.renew();
    log.error("database cannot be reached", {}, cause);
  };

  const look = async () => {
    let limit: Timer | undefined;
    const late = new Promise<never>((_, reject) => {
      // An answer that has already arrived, but waits behind this timer for the event loop, still counts.
      limit = setTimeout(() => setImmediate(reject, new Error(`no answer within ${limitMs} ms`)), limitMs);
    });
    try {
      await Promise.race([probe.sql`select 1`, late]);
      set(true);
    } catch (cause) {
      if (closing) return;
      probe.renew();
      set(false, cause);
    } finally {
      clearTimeout(limit);
      if (!closing) timer = setTimeout(look, intervalMs);
    }
  };
  timer = setTimeout(look, intervalMs);

  const guarded = (call: () => Promise<unknown>): Promise<unknown> => {
    if (!up) return Promise.reject(unreachable(undefined));
    return new Promise((resolve, reject) => {
      waiting.add(reject);
      call().then(
        (value) => {
          waiting.delete(reject);
          resolve(value);
        },
        (error: unknown) => {
          waiting.delete(reject);
          reject(isUnreachable(error) ? unreachable(error) : error);
        },
      );
    });
  };

  return {
    get up() {
      return up;
    },
    guard: (service) =>
      Object.fromEntries(
        Object.entries(service).map(([name, method]) => [
          name,
          (...args: unknown[]) => guarded(() => (method as Method)(...args)),
        ]),
      ) as typeof service,
    async [Symbol.asyncDispose]() {
      closing = true;
      clearTimeout(timer);
      await probe.end(0);
    },
  };
}
