import type { Level, Levels } from "./levels.ts";
import type { RateMeter } from "./rate-meter.ts";

/** A time as OpenAI writes it in these headers: `6m0s`, `1.5s`, `17ms`. */
export function durationText(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.ceil(ms))}ms`;
  const tenths = Math.ceil(ms / 100);
  const minutes = Math.floor(tenths / 600);
  const rest = `${(tenths % 600) / 10}s`;
  return minutes === 0 ? rest : `${minutes}m${rest}`;
}

/** Names that are made for each answer would have to be looked up among all there are. */
const names = {
  requests: {
    limit: "x-ratelimit-limit-requests",
    remaining: "x-ratelimit-remaining-requests",
    reset: "x-ratelimit-reset-requests",
  },
  tokens: {
    limit: "x-ratelimit-limit-tokens",
    remaining: "x-ratelimit-remaining-tokens",
    reset: "x-ratelimit-reset-tokens",
  },
} as const;

/**
 * OpenAI's `x-ratelimit-*`, each of the level that has the least left. What is left is what this process could let in now; the
 * reset is when nothing of what counts now will count any more, a window after the last call, which was `sinceMs` ago.
 */
export function limitHeaders(
  all: readonly Levels[],
  metersOf: (levels: readonly Level[]) => readonly RateMeter[],
  { windowMs, sinceMs }: { windowMs: number; sinceMs: number },
): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const kind of ["requests", "tokens"] as const) {
    let tightest: RateMeter | undefined;
    let least = 0;
    for (const levels of all) {
      for (const meter of metersOf(levels[kind])) {
        const left = meter.pool.left();
        if (tightest && left >= least) continue;
        tightest = meter;
        least = left;
      }
    }
    if (!tightest) continue;
    const { limit, remaining, reset: resetName } = names[kind];
    headers[limit] = String(tightest.bound);
    headers[remaining] = String(least);
    const reset = least === tightest.bound ? 0 : Math.max(0, windowMs - sinceMs);
    headers[resetName] = durationText(reset);
  }
  return headers;
}
