import { UpstreamError, type UpstreamReason } from "../errors/app-error.ts";

/** Failures in a row that open it. */
const failuresMax = 5;
/** How long it stays open at first, and at most, in milliseconds; each failed probe doubles it. */
const openMsMin = 10_000;
const openMsMax = 60_000;
/** How long a model that does not exist is passed over, in milliseconds. */
const missingMs = 10 * 60_000;

/** What counts against a target: its own failures, never its callers'. */
const counted = new Set<UpstreamReason>([
  "unauthorized",
  "no_credit",
  "not_found",
  "failed",
  "unreachable",
  "blocked",
  "malformed",
  "cut",
  "timeout_connect",
  "timeout_first_byte",
  "timeout_idle",
  "timeout_total",
]);

/** Keeps calls away from a target that fails. */
export interface Breaker {
  /** 0 where a call may go there now, else how long it may not, in milliseconds. Once open, one call at a time may probe. */
  waitMs(): number;
  /** Why a call may not go there. */
  readonly why: "unavailable" | "rate_limited" | "model_not_found";
  /** A call goes there; tell its outcome by one of the following. Returns its number where it probes, else 0. */
  enter(): number;
  succeeded(): void;
  /**
   * `error` is what went wrong; `undefined` where the caller left, which says nothing of the target. `call` is what
   * {@link Breaker.enter} returned.
   */
  failed(error: unknown, call: number): void;
}

/**
 * Creates the breaker of one target: 5 failures in a row open it for 10 s; then one call probes, whose success closes it and
 * whose failure doubles the time, up to a minute. A target that asks to be left alone (`Retry-After`) is, for as long, at most
 * a minute; a model that does not exist is passed over for 10 minutes.
 */
export function createBreaker({ now }: { now: () => number }): Breaker {
  let failures = 0;
  let openMs = openMsMin;
  let openUntil = Number.NEGATIVE_INFINITY;
  /** The number of the call that probes; 0 where none does. */
  let probing = 0;
  let probes = 0;
  let why: Breaker["why"] = "unavailable";
  const isOpen = () => failures >= failuresMax;

  return {
    get why() {
      return why;
    },
    waitMs() {
      const left = openUntil - now();
      if (left > 0) return left;
      // Somebody is finding out already.
      return isOpen() && probing > 0 ? 1000 : 0;
    },
    enter() {
      if (!isOpen()) return 0;
      probing = ++probes;
      return probing;
    },
    succeeded() {
      failures = 0;
      openMs = openMsMin;
      probing = 0;
    },
    failed(error, call) {
      const wasProbe = call > 0 && call === probing;
      if (wasProbe) probing = 0;
      if (!(error instanceof UpstreamError)) return;
      const { reason, data } = error;
      if (reason === "model_not_found") {
        why = reason;
        openUntil = now() + missingMs;
      }
      if (reason === "rate_limited" && typeof data.retry_after === "number") {
        why = reason;
        openUntil = Math.max(openUntil, now() + Math.min(data.retry_after * 1000, openMsMax));
      }
      if (!counted.has(reason)) return;
      failures++;
      if (!isOpen()) return;
      why = "unavailable";
      // What was under way when it opened fails as well, and says nothing new.
      if (wasProbe) openMs = Math.min(openMs * 2, openMsMax);
      openUntil = now() + openMs;
    },
  };
}
