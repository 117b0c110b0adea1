import { UpstreamError } from "./errors/app-error.ts";

type Listener = (() => void) | { handleEvent(): void };

/** What calls need of an `AbortSignal`; one of those will do. */
export interface CallSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  throwIfAborted(): void;
  addEventListener(type: "abort", listener: Listener): void;
  removeEventListener(type: "abort", listener: Listener): void;
}

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

/** A class of our own: an `AbortController` for every call, and what listens to it, took a twentieth of a call's time. */
class Tracked implements TrackedCall {
  aborted = false;
  reason: unknown;
  readonly #calls: Set<Tracked>;
  readonly #caller: AbortSignal;
  #listeners: Listener[] = [];

  constructor(calls: Set<Tracked>, caller: AbortSignal) {
    this.#calls = calls;
    this.#caller = caller;
    calls.add(this);
    // It stays there: whoever aborts later has no call any more.
    if (caller.aborted) this.handleEvent();
    else caller.addEventListener("abort", this);
  }

  /** The caller has left. */
  handleEvent(): void {
    this.abort(this.#caller.reason);
  }

  abort(reason: unknown): void {
    if (this.aborted || !this.#calls.has(this)) return;
    this.aborted = true;
    this.reason = reason;
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) {
      if (typeof listener === "function") listener();
      else listener.handleEvent();
    }
  }

  throwIfAborted(): void {
    if (this.aborted) throw this.reason;
  }

  addEventListener(_type: "abort", listener: Listener): void {
    this.#listeners.push(listener);
  }

  removeEventListener(_type: "abort", listener: Listener): void {
    const place = this.#listeners.indexOf(listener);
    if (place !== -1) this.#listeners.splice(place, 1);
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
