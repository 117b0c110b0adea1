import { remembered } from "../remembered.ts";
import { type Connection, type Endpoint, openConnection } from "./http-connection.ts";

/** Connections that are open and idle, to be used again. */
export interface ConnectionPool extends Disposable {
  /** An idle connection that leads there, where one was used a moment ago. */
  takeFresh(to: Endpoint): Connection | undefined;
  /**
   * An idle connection that leads there, the one that was used last; `undefined` without one. One that has rested is given
   * out only after its close, if it has come, was heard of.
   */
  take(to: Endpoint): Promise<Connection | undefined>;
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

/** How long after its last use nobody closes a connection for being idle, in milliseconds. */
const freshMs = 100;

interface Idle {
  connection: Connection;
  since: number;
  until: number;
}

const immediate = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Until what had come in by now has been told: the first may run before the sockets are looked at, the second does not. */
const turn = () => immediate().then(immediate);

/** The name of a place. */
const keyOf = remembered(
  ({ hostname, port, serverName }: Endpoint) => `${hostname} ${port} ${serverName ?? ""}`,
);

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
    const since = now();
    connections.push({ connection, since, until: since + forMs });
    if (sweeper) return;
    sweeper = setInterval(sweep, sweepMs);
    sweeper.unref();
  };

  return {
    takeFresh(to) {
      const connections = idle.get(keyOf(to));
      const last = connections?.at(-1);
      const at = now();
      if (!last?.connection.usable || at - last.since > freshMs || at >= last.until) return undefined;
      connections?.pop();
      return last.connection;
    },
    async take(to) {
      const key = keyOf(to);
      for (let last = idle.get(key)?.pop(); last; last = idle.get(key)?.pop()) {
        const { connection, since, until } = last;
        const at = now();
        if (at - since > freshMs && connection.usable && until > at) await turn();
        if (connection.usable && until > at) return connection;
        connection.close();
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
