type Listener = (() => void) | { handleEvent(): void };

/** What calls need of an `AbortSignal`; one of those will do. */
export interface CallSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  throwIfAborted(): void;
  addEventListener(type: "abort", listener: Listener): void;
  removeEventListener(type: "abort", listener: Listener): void;
}

/**
 * A signal that aborts when it is told to, or with another that it follows. A class of our own: an `AbortController` for every
 * call, and what listens to it, took a twentieth of a call's time.
 */
export class Aborter implements CallSignal {
  aborted = false;
  reason: unknown;
  #listeners: Listener[] | undefined;
  #followed: CallSignal | undefined;

  /** Aborts with `signal`, for its reason. */
  follow(signal: CallSignal): void {
    this.#followed = signal;
    if (signal.aborted) this.handleEvent();
    else signal.addEventListener("abort", this);
  }

  /** Aborts with nobody else from now on. */
  unfollow(): void {
    this.#followed?.removeEventListener("abort", this);
  }

  /** The signal that it follows has aborted. */
  handleEvent(): void {
    this.abort(this.#followed?.reason);
  }

  /** Tells all who listen; only the first time counts. */
  abort(reason: unknown): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    const listeners = this.#listeners ?? [];
    this.#listeners = undefined;
    for (const listener of listeners) {
      if (typeof listener === "function") listener();
      else listener.handleEvent();
    }
  }

  throwIfAborted(): void {
    if (this.aborted) throw this.reason;
  }

  addEventListener(_type: "abort", listener: Listener): void {
    this.#listeners ??= [];
    this.#listeners.push(listener);
  }

  removeEventListener(_type: "abort", listener: Listener): void {
    const place = this.#listeners?.indexOf(listener) ?? -1;
    if (place !== -1) this.#listeners?.splice(place, 1);
  }
}
