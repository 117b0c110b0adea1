import type { Socket } from "bun";

/** What a load did: answers per second, and how long each took, in milliseconds. */
export interface LoadResult {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** Answers whose first line was not HTTP 200. */
  errors: number;
}

const headEnd = Buffer.from("\r\n\r\n");

/** Sends one request after the other on each connection, for a time; as little work per call as can be. */
export async function load(
  url: string,
  { connections, seconds }: { connections: number; seconds: number },
): Promise<LoadResult> {
  const { hostname, port, pathname } = new URL(url);
  const request = `GET ${pathname} HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`;
  const latencies: number[] = [];
  let errors = 0;
  const started = performance.now();
  const end = started + seconds * 1000;

  const one = () =>
    new Promise<void>((resolve, reject) => {
      let sent = 0;
      let pending: Buffer = Buffer.alloc(0);
      const send = (socket: Socket) => {
        sent = performance.now();
        socket.write(request);
      };
      Bun.connect({
        hostname,
        port: Number(port),
        socket: {
          open: send,
          data(socket, chunk) {
            pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
            const head = pending.indexOf(headEnd);
            if (head === -1) return;
            const text = pending.toString("latin1", 0, head);
            const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
            if (pending.length < head + 4 + length) return;
            pending = Buffer.alloc(0);
            const now = performance.now();
            latencies.push(now - sent);
            if (!text.startsWith("HTTP/1.1 200")) errors++;
            if (now < end) send(socket);
            else socket.end();
          },
          close: () => resolve(),
          error: (_socket, error) => reject(error),
          connectError: (_socket, error) => reject(error),
        },
      }).catch(reject);
    });
  await Promise.all(Array.from({ length: connections }, one));

  const elapsed = (performance.now() - started) / 1000;
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor(latencies.length * share)] ?? Number.NaN;
  return { perSecond: latencies.length / elapsed, p50Ms: at(0.5), p99Ms: at(0.99), errors };
}

/** The middle value. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
