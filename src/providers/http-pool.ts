import { type Connection, type Endpoint, openConnection } from "./http-connection.ts";

/** Connections that are open and idle, to be used again. */
export interface ConnectionPool extends Disposable {
  /** An idle connection that leads there, the one that was used last; `undefined` without one. */
  take(to: Endpoint): Connection | undefined;
  /** A new one, which comes here when it is free. @throws see {@link openConnection}. */
  open(to: Endpoint, signal: AbortSignal): Promise<Connection>;
}

/** Most idle connections to one place. */
const idleMax = 256;
/**
 * How long a connection is kept idle, in milliseconds, and how much sooner than the other side says that it will close it: a
 * request that meets its close is lost.
 */
const keptMs = 30_000;
const marginMs = 1000;
/** How often those that are idle for too long are closed, in milliseconds. */
const sweepMs = 5000;

interface Idle {
  connection: Connection;
  until: number;
}

const keyOf = ({ hostname, port, serverName }: Endpoint) => `${hostname} ${port} ${serverName ?? ""}`;

/** Creates the pool of a process. `now` is in milliseconds that only go forward. */
export function createConnectionPool({ now }: { now: () => number }): ConnectionPool {
  const idle = new Map<string, Idle[]>();
  let sweeper: Timer | undefined;
  let disposed = false;

  const sweep = () => {
    const at = now();
    for (const [key, connections] of idle) {
      const kept = connections.filter(({ connection, until }) => {
        if (connection.usable && until > at) return true;
        connection.close();
        return false;
      });
      if (kept.length === 0) idle.delete(key);
      else idle.set(key, kept);
    }
    if (idle.size > 0) return;
    clearInterval(sweeper);
    sweeper = undefined;
  };

  const keep = (key: string, connection: Connection) => {
    let connections = idle.get(key);
    if (!connections) {
      connections = [];
      idle.set(key, connections);
    }
    if (disposed || connections.length >= idleMax) return connection.close();
    const forMs = Math.min(keptMs, (connection.idleMs ?? Number.POSITIVE_INFINITY) - marginMs);
    connections.push({ connection, until: now() + forMs });
    if (sweeper) return;
    sweeper = setInterval(sweep, sweepMs);
    sweeper.unref();
  };

  return {
    take(to) {
      const connections = idle.get(keyOf(to));
      for (let last = connections?.pop(); last; last = connections?.pop()) {
        if (last.connection.usable && last.until > now()) return last.connection;
        last.connection.close();
      }
      return undefined;
    },
    open(to, signal) {
      const key = keyOf(to);
      return openConnection(to, signal, (connection) => keep(key, connection));
    },
    [Symbol.dispose]() {
      disposed = true;
      clearInterval(sweeper);
      for (const connections of idle.values()) for (const { connection } of connections) connection.close();
      idle.clear();
    },
  };
}
