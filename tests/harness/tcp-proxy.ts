import { once } from "node:events";
import { type AddressInfo, createConnection, createServer, type Socket } from "node:net";

/** A way to a database that a test can break. */
export interface TcpProxy extends AsyncDisposable {
  /** The database's URL by way of the proxy. */
  readonly url: string;
  /** Ends all connections, and each new one as it comes. */
  cut(): void;
  /** Takes connections and bytes, and passes none on. */
  stall(): void;
  /**
   * Passes on again, and what was held back first. With `forget`, the connections from before stay silent for ever,
   * as after a machine that vanished without a word.
   */
  restore(options?: { forget?: boolean }): void;
}

/** One client's connection and its way on. */
interface Line {
  /** Passes bytes on, in both directions. */
  join: () => void;
  /** Leaves bytes where they are. */
  halt: () => void;
  end: () => void;
}

/** Where a `postgres://` URL leads: a unix socket or a TCP port. */
function targetOf({ searchParams, hostname: host, port }: URL) {
  const folder = searchParams.get("host");
  return folder ? { path: `${folder}/.s.PGSQL.${port || 5432}` } : { host, port: Number(port || 5432) };
}

function openLine(client: Socket, target: ReturnType<typeof targetOf>): Line {
  let onward: Socket | undefined;
  const end = () => {
    client.destroy();
    onward?.destroy();
  };
  client.on("error", end).on("close", end);
  client.pause();
  return {
    join() {
      onward ??= createConnection(target).on("error", end).on("close", end);
      client.pipe(onward);
      onward.pipe(client);
    },
    halt() {
      client.unpipe().pause();
      onward?.unpipe().pause();
    },
    end,
  };
}

/** Starts a proxy on 127.0.0.1 in front of the database at `databaseUrl`. */
export async function startTcpProxy(databaseUrl: string): Promise<TcpProxy> {
  const url = new URL(databaseUrl);
  const target = targetOf(url);
  const lines = new Set<Line>();
  let mode: "open" | "stalled" | "cut" = "open";

  const server = createServer((client) => {
    const line = openLine(client, target);
    lines.add(line);
    client.once("close", () => lines.delete(line));
    if (mode === "open") line.join();
    if (mode === "cut") line.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url.searchParams.delete("host");
  url.hostname = "127.0.0.1";
  url.port = String((server.address() as AddressInfo).port);

  return {
    url: url.href,
    cut() {
      mode = "cut";
      for (const line of lines) line.end();
    },
    stall() {
      mode = "stalled";
      for (const line of lines) line.halt();
    },
    restore({ forget = false } = {}) {
      mode = "open";
      if (!forget) for (const line of lines) line.join();
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      for (const line of lines) line.end();
      await closed;
    },
  };
}
