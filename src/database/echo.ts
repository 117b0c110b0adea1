import type postgres from "postgres";
import type { Log } from "../log.ts";

/** What a pending query of the driver has beside a promise: it runs when `handle` is first called. */
interface Pending extends Promise<unknown> {
  handle: () => unknown;
  readonly strings?: readonly string[];
}

const isPending = (value: unknown): value is Pending =>
  value instanceof Promise && typeof (value as Partial<Pending>).handle === "function";

/** Logs a query once it has run, with its time. A fragment inside another statement never runs by itself. */
function timed(query: Pending, log: Log): Pending {
  const { handle } = query;
  query.handle = () => {
    query.handle = handle;
    const started = performance.now();
    const report = () =>
      log.info("sql", {
        statement: (query.strings ?? []).join("?").replace(/\s+/g, " ").trim(),
        ms: Math.round((performance.now() - started) * 1000) / 1000,
      });
    const running = handle.call(query);
    Promise.prototype.then.call(query, report, report);
    return running;
  };
  return query;
}

/** The same pool, but every statement is logged with its time, with `?` in the place of each value. */
export function echoing<S extends postgres.Sql | postgres.TransactionSql>(sql: S, log: Log): S {
  return new Proxy(sql, {
    apply: (target, self, args) => {
      const result: unknown = Reflect.apply(target as unknown as (...args: unknown[]) => unknown, self, args);
      return isPending(result) ? timed(result, log) : result;
    },
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      if ((name === "begin" || name === "savepoint") && typeof value === "function") {
        return (...args: unknown[]) => {
          const body = args.pop() as (tx: postgres.TransactionSql) => unknown;
          return value(...args, (tx: postgres.TransactionSql) => body(echoing(tx, log)));
        };
      }
      return value;
    },
  });
}
