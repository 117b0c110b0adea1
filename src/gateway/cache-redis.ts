import { RedisClient } from "bun";
import { errorChain, type Log } from "../log.ts";
import { type CachedAnswer, entryBytesMax, type ResponseCache } from "./cache.ts";

/** Longest wait for Redis, in milliseconds: a cache that is slower than this helps nobody. */
const patienceMs = 200;
/** How often a failing Redis is logged at most, in milliseconds. */
const quietMs = 60_000;
const prefix = "llmops:cache:";

/**
 * Creates a cache in Redis, for several processes. The answers stand there as they are. Redis being away is a miss: the
 * client neither queues nor waits for long.
 */
export function createRedisCache({
  url,
  log,
  now = () => performance.now(),
}: {
  url: string;
  log: Log;
  now?: () => number;
}): ResponseCache {
  const client = new RedisClient(url, {
    enableOfflineQueue: false,
    connectionTimeout: 2000,
    autoReconnect: true,
    maxRetries: 2 ** 32 - 1,
  });
  void client.connect().catch(() => {});
  let quietUntil = Number.NEGATIVE_INFINITY;

  const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    let timer: Timer | undefined;
    try {
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error("Redis takes too long")), patienceMs);
      });
      return await Promise.race([work(), late]);
    } catch (error) {
      if (now() >= quietUntil) {
        quietUntil = now() + quietMs;
        log.warn("the response cache in Redis cannot be used", { cause: errorChain(error) });
      }
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  };

  return {
    async get(key) {
      return attempt(async () => {
        const text = await client.get(prefix + key);
        if (!text) return undefined;
        const { body, ...rest } = JSON.parse(text) as Omit<CachedAnswer, "body"> & { body: string };
        return { ...rest, body: Buffer.from(body, "base64") };
      });
    },
    set(key, answer, ttlMs) {
      if (answer.body.byteLength > entryBytesMax) return;
      const text = JSON.stringify({ ...answer, body: Buffer.from(answer.body).toString("base64") });
      void attempt(() => client.send("SET", [prefix + key, text, "PX", String(Math.round(ttlMs))]));
    },
    async [Symbol.asyncDispose]() {
      client.close();
    },
  };
}
