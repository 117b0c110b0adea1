import type { Socket } from "bun";

/** What a load did: answers per second, and how long each took, in milliseconds. */
export interface LoadResult {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  calls: number;
  /** Answers whose first line was not HTTP 200. */
  errors: number;
}

/** What ends the head of an answer. */
export const headEnd = Buffer.from("\r\n\r\n");

const lastChunk = Buffer.from("\r\n0\r\n\r\n");

/** What is posted; without it, a load gets. */
export interface Post {
  headers: Readonly<Record<string, string>>;
  /** JSON. */
  body: string;
}

/** A request as it goes over the wire. */
export const requestOf = ({ host, pathname }: URL, post: Post | undefined): string => {
  if (!post) return `GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  const headers = Object.entries({
    ...post.headers,
    "content-type": "application/json",
    "content-length": Buffer.byteLength(post.body),
  });
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return `POST ${pathname} HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n${post.body}`;
};

/** Whether an answer is there as a whole: by its length, or by its last chunk. */
export const isWhole = (answer: Buffer, head: number, text: string): boolean => {
  const length = /content-length: (\d+)/i.exec(text)?.[1];
  if (length !== undefined) return answer.length >= head + 4 + Number(length);
  return answer.subarray(-lastChunk.length).equals(lastChunk);
};

/** Sends one request after the other on each connection, for a time; as little work per call as can be. */
export async function load(
  url: string,
  { connections, seconds, post }: { connections: number; seconds: number; post?: Post },
): Promise<LoadResult> {
  const { hostname, port } = new URL(url);
  const request = requestOf(new URL(url), post);
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
            if (!isWhole(pending, head, text)) return;
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
  const calls = latencies.length;
  return { perSecond: calls / elapsed, p50Ms: at(0.5), p99Ms: at(0.99), calls, errors };
}

/** The middle value. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
