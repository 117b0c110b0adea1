import { UpstreamError, type UpstreamReason } from "../errors/app-error.ts";
import type { CallSignal } from "../signal.ts";

/** How often the same target is asked again. */
const retriesMax = 2;
/** Longest pause before the first retry, and before any, in milliseconds. */
const baseMs = 250;
const capMs = 4000;
/** Longest `Retry-After` that is worth waiting for with a caller on the line, in seconds. */
const retryAfterMax = 5;

/** What may be mended by asking the same target again; what took long already is better asked elsewhere. */
const worthwhile = new Set<UpstreamReason>([
  "failed",
  "unreachable",
  "cut",
  "rate_limited",
  "timeout_connect",
]);

/**
 * How long to wait before asking the same target again, in milliseconds, after so many retries; `undefined` where that is not
 * worth it. Without the provider's word a random part of a time that doubles ("full jitter", Brooker, "Exponential Backoff
 * And Jitter", AWS 2015), so that callers who failed together do not come back together.
 */
export function retryDelayMs(
  error: unknown,
  retries: number,
  random: () => number = Math.random,
): number | undefined {
  if (!(error instanceof UpstreamError) || !worthwhile.has(error.reason) || retries >= retriesMax)
    return undefined;
  const after = error.data.retry_after;
  if (typeof after === "number") return after <= retryAfterMax ? after * 1000 : undefined;
  return random() * Math.min(capMs, baseMs * 2 ** retries);
}

/** Waits. @throws `signal`'s reason where it aborts. */
export const sleep = (ms: number, signal: CallSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop);
  });
