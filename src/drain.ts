import { UpstreamError } from "./errors/app-error.ts";

/** The service's last moments: no longer ready, until the calls in flight have ended or are ended. */
export interface Drain {
  readonly draining: boolean;
  /** From now on `/readyz` says 503. */
  begin(): void;
  /** Ends every tracked call; each caller is told why. */
  abort(): void;
  /** A signal that aborts with `signal`, or at {@link Drain.abort}; call `release` when the call is over. */
  track(signal: AbortSignal): { signal: AbortSignal; release: () => void };
}

/** Creates the one drain of a process. */
export function createDrain(): Drain {
  let draining = false;
  const calls = new Set<AbortController>();
  return {
    get draining() {
      return draining;
    },
    begin() {
      draining = true;
    },
    abort() {
      for (const call of calls) call.abort(new UpstreamError("draining"));
    },
    track(signal) {
      const call = new AbortController();
      const leave = () => call.abort(signal.reason);
      if (signal.aborted) leave();
      else signal.addEventListener("abort", leave, { once: true });
      calls.add(call);
      return {
        signal: call.signal,
        release() {
          calls.delete(call);
          signal.removeEventListener("abort", leave);
        },
      };
    },
  };
}
