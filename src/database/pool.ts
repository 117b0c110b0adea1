import postgres from "postgres";
import type { Log } from "../log.ts";
import { echoing } from "./echo.ts";

/** The pool: runs statements, and opens transactions. */
export type Sql = postgres.Sql;

export interface PoolOptions {
  /** Most connections. */
  size: number;
  /** Longest life of a connection, in milliseconds. */
  recycleMs?: number;
  /** Logs every statement with its time. */
  echo?: Log | undefined;
  /**
   * Whether columns and values may be arrays (`true` without it). The driver then reads the array types on each new
   * connection, by a statement of its own whose failure reaches nobody: not for a connection that may be cut at any time.
   */
  arrays?: boolean;
}

/**
 * libpq's way to name a unix socket in a URL (`?host=/folder`) as an option, because postgres.js takes the host
 * from the URL's authority only.
 */
function splitSocket(url: string): { url: string; host?: string } {
  const parsed = new URL(url);
  const host = parsed.searchParams.get("host");
  if (!host?.startsWith("/")) return { url };
  parsed.searchParams.delete("host");
  return { url: parsed.href, host };
}

/**
 * Opens a pool on a `postgres://` URL; connects at the first statement. A connection that is lost comes back by
 * itself: the pause between attempts stays at a quarter of a second (the driver's own grows to 20 s), so that
 * an outage ends when the database is back and not long after.
 */
export function createPool(url: string, { size, recycleMs, echo, arrays = true }: PoolOptions): Sql {
  const { url: target, host } = splitSocket(url);
  const sql = postgres(target, {
    ...(host && { host }),
    max: size,
    ...(recycleMs && { max_lifetime: recycleMs / 1000 }),
    connect_timeout: 2,
    fetch_types: arrays,
    backoff: () => 0.25,
    onnotice: () => {},
    connection: { application_name: "llmops", TimeZone: "UTC" },
  });
  return echo ? echoing(sql, echo) : sql;
}

/** A pool whose connections can be given up all at once. */
export interface RenewablePool {
  /** Runs statements on whatever the current connections are. */
  readonly sql: Sql;
  /**
   * Drops every connection, and with it what still runs there, and goes on with new ones. A machine that vanished
   * never closes its connections: without this, statements would wait on them for ever.
   */
  renew(): void;
  /** Closes the pool; what runs may take `timeoutMs` to finish. */
  end(timeoutMs: number): Promise<void>;
}

/** A renewable pool over what `open` opens. */
export function createRenewablePool(open: () => Sql): RenewablePool {
  let current = open();
  // Plain functions and no proxy, which would cost each statement a tenth of a microsecond per use.
  const statement = (...args: Parameters<Sql>) => current(...args);
  const methods = Object.entries(current).map(([name, value]) => [
    name,
    typeof value === "function"
      ? (...args: unknown[]) => Reflect.apply(Reflect.get(current, name), current, args)
      : value,
  ]);
  const sql = Object.assign(statement, Object.fromEntries(methods)) as Sql;
  return {
    sql,
    renew() {
      const old = current;
      current = open();
      void old.end({ timeout: 0 }).catch(() => {});
    },
    end: (timeoutMs) => current.end({ timeout: timeoutMs / 1000 }),
  };
}

/** A URL that may be shown: without its password. */
export function withoutPassword(url: string): string {
  const parsed = URL.parse(url);
  if (!parsed) return "(not a URL)";
  if (parsed.password) parsed.password = "***";
  return parsed.href;
}
