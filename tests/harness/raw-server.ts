import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";

/** One connection as the server sees it. */
export interface RawConnection {
  socket: Socket;
  /** All that has come in, as Latin-1. */
  received: string;
  closed: Promise<void>;
}

/** A server that says exactly what it is told to. */
export interface RawServer extends AsyncDisposable {
  readonly port: number;
  readonly connections: readonly RawConnection[];
}

/**
 * Starts a server on 127.0.0.1 and a free port that knows no HTTP: `answer` is called for each request whose body has come, with
 * the number of the request on its connection, counted from 0.
 */
export async function startRawServer(
  answer: (connection: RawConnection, request: number) => unknown,
): Promise<RawServer> {
  const connections: RawConnection[] = [];
  const server = createServer({ noDelay: true }, (socket) => {
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    const connection: RawConnection = { socket, received: "", closed };
    connections.push(connection);
    let requests = 0;
    let from = 0;
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      connection.received += bytes.toString("latin1");
      const head = connection.received.indexOf("\r\n\r\n", from);
      if (head === -1) return;
      const length = Number(/content-length: (\d+)/.exec(connection.received.slice(from, head))?.[1] ?? 0);
      if (connection.received.length < head + 4 + length) return;
      from = head + 4 + length;
      void answer(connection, requests++);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    connections,
    async [Symbol.asyncDispose]() {
      for (const { socket } of connections) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** Writes each piece when the system has taken the one before, so that they arrive one by one as far as can be told. */
export async function writePieces(socket: Socket, pieces: Iterable<string | Uint8Array>): Promise<void> {
  for (const piece of pieces) {
    await new Promise<void>((resolve) => socket.write(piece, () => resolve()));
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
