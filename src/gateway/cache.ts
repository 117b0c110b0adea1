import { createHash } from "node:crypto";
import type { Operation } from "../providers/dialect.ts";

/** An answer as its caller got it, to be given again. */
export interface CachedAnswer {
  contentType: string;
  /** The very bytes; of a stream all of its events. */
  body: Uint8Array;
  model: string;
  provider: string;
  finishReason: string | null;
}

/** Keeps answers. What is lost, or cannot be reached, is a miss and no more. */
export interface ResponseCache extends AsyncDisposable {
  get(key: string): Promise<CachedAnswer | undefined>;
  set(key: string, answer: CachedAnswer, ttlMs: number): void;
}

/** Largest answer that is kept, in bytes. */
export const entryBytesMax = 1024 * 1024;

/** Keeps an answer that passes by, for so long, under the key of its question. */
export class Keeper {
  readonly #cache: ResponseCache;
  readonly #key: string;
  readonly #ttlMs: number;
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;

  constructor(cache: ResponseCache, key: string, ttlMs: number) {
    this.#cache = cache;
    this.#key = key;
    this.#ttlMs = ttlMs;
  }

  /** This piece of it was sent. */
  sent(piece: Uint8Array): void {
    this.#bytes += piece.byteLength;
    // A copy: what it is a view of may be large.
    if (this.#bytes <= entryBytesMax) this.#pieces.push(new Uint8Array(piece));
    else this.#pieces.length = 0;
  }

  /** All of it was sent. */
  keep(answer: Omit<CachedAnswer, "body">): void {
    if (this.#bytes === 0 || this.#bytes > entryBytesMax) return;
    this.#cache.set(this.#key, { ...answer, body: Buffer.concat(this.#pieces) }, this.#ttlMs);
  }
}

/** Most bytes of all answers that are kept in memory. */
const memoryBytesMax = 64 * 1024 * 1024;

/** A JSON value with its members in order at every level, so that two spellings of one request are one. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, each]) => [key, canonical(each)]),
  );
}

/**
 * The key of a request: its canonical JSON, with the app whose it is, the dialect, and the models that may answer. Another
 * app never meets the same key.
 */
export function canonicalKey(parts: {
  appId: string;
  operation: Operation;
  targets: readonly string[];
  request: unknown;
}): string {
  return createHash("sha256")
    .update(JSON.stringify(canonical(parts)))
    .digest("base64url");
}

/** What one entry takes beside its body, roughly, in bytes. */
const overheadBytes = 500;

/** Creates a cache in memory: bounded in bytes, the least recently used go first. */
export function createMemoryCache({
  bytesMax = memoryBytesMax,
  now = () => performance.now(),
}: {
  bytesMax?: number;
  now?: () => number;
} = {}): ResponseCache {
  const entries = new Map<string, { answer: CachedAnswer; until: number }>();
  let bytes = 0;
  const sizeOf = ({ body }: CachedAnswer) => body.byteLength + overheadBytes;
  const drop = (key: string) => {
    const entry = entries.get(key);
    if (entry) bytes -= sizeOf(entry.answer);
    entries.delete(key);
  };
  return {
    async get(key) {
      const entry = entries.get(key);
      if (!entry) return undefined;
      if (entry.until <= now()) {
        drop(key);
        return undefined;
      }
      // To the end: a Map keeps the order of insertion.
      entries.delete(key);
      entries.set(key, entry);
      return entry.answer;
    },
    set(key, answer, ttlMs) {
      if (answer.body.byteLength > entryBytesMax) return;
      drop(key);
      entries.set(key, { answer, until: now() + ttlMs });
      bytes += sizeOf(answer);
      for (const oldest of entries.keys()) {
        if (bytes <= bytesMax) break;
        drop(oldest);
      }
    },
    async [Symbol.asyncDispose]() {
      entries.clear();
    },
  };
}
