import { UpstreamError } from "./errors/app-error.ts";
import { Aborter, type CallSignal } from "./signal.ts";

/** A call that the service knows of: its own signal, which aborts with its caller's, or at {@link Drain.abort}. */
export interface TrackedCall extends CallSignal {
  /** The call is over: it aborts no more. */
  release(): void;
  /** The same, for those who take nothing else. */
  toAbortSignal(): AbortSignal;
}

/** The service's last moments: no longer ready, until the calls in flight have ended or are ended. */
export interface Drain {
  readonly draining: boolean;
  /** From now on `/readyz` says 503. */
  begin(): void;
  /** Ends every tracked call; each caller is told why. */
  abort(): void;
  /** Tracks the call of whoever aborts `signal`. */
  track(signal: AbortSignal): TrackedCall;
}

class Tracked extends Aborter implements TrackedCall {
  readonly #calls: Set<Tracked>;

  constructor(calls: Set<Tracked>, caller: AbortSignal) {
    super();
    this.#calls = calls;
    calls.add(this);
    // For good: whoever aborts later has no call any more.
    this.follow(caller);
  }

  override abort(reason: unknown): void {
    if (this.#calls.has(this)) super.abort(reason);
  }

  release(): void {
    this.#calls.delete(this);
  }

  toAbortSignal(): AbortSignal {
    const controller = new AbortController();
    if (this.aborted) controller.abort(this.reason);
    else this.addEventListener("abort", () => controller.abort(this.reason));
    return controller.signal;
  }
}

/** Creates the one drain of a process. */
export function createDrain(): Drain {
  let draining = false;
  const calls = new Set<Tracked>();
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
    track: (signal) => new Tracked(calls, signal),
  };
}
