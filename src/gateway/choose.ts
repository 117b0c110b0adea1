import { UpstreamError } from "../errors/app-error.ts";
import type { Log } from "../log.ts";
import { type Breaker, createBreaker } from "./breaker.ts";
import type { Route, Target } from "./target.ts";

/** A target that may be asked now. */
export interface Admitted {
  readonly target: Target;
  /** It answered. */
  succeeded(): void;
  /** It did not; `undefined` where the caller left. May be told after each of several tries. */
  failed(error: unknown): void;
  /** The call is over there: gives its place to others. */
  release(): void;
}

/** The way through a route's targets, for one call. */
export interface Choice {
  /** The next target that may be asked; `undefined` when there is none left. */
  next(): Admitted | undefined;
  /** Why no target may be asked, where there never was one. */
  refusal(): UpstreamError;
}

/** Knows which targets are worth asking, over all calls of the process. */
export interface Chooser {
  choose(route: Route): Choice;
}

const targetOf = ({ target }: { target: Target }): Target => target;

/** The targets in the order of asking: as they stand, or drawn by weight one after the other. */
function ordered({ routing, targets }: Route, random: () => number): readonly Target[] {
  return routing === "ordered" || targets.length === 1 ? targets.map(targetOf) : drawn(targets, random);
}

function drawn(targets: Route["targets"], random: () => number): readonly Target[] {
  // The greatest of `random^(1/weight)` is a draw by weight; so are the next (Efraimidis and Spirakis, 2006).
  return targets
    .map(({ target, weight }) => ({ target, key: random() ** (1 / weight) }))
    .sort((a, b) => b.key - a.key)
    .map(targetOf);
}

/** What all choices of a process share. */
interface Shared {
  log: Log;
  breakerOf: (target: Target) => Breaker;
  /** Calls in flight, by provider. */
  taken: Map<string, number>;
}

/** A class, as {@link TargetChoice} is, since they are made for every call: their methods are made once. */
class AdmittedTarget implements Admitted {
  readonly target: Target;
  readonly #breaker: Breaker;
  readonly #shared: Shared;
  /** Its number at the breaker. */
  readonly #call: number;
  #released = false;

  constructor(target: Target, breaker: Breaker, shared: Shared) {
    this.target = target;
    this.#breaker = breaker;
    this.#shared = shared;
    const { name } = target.provider;
    shared.taken.set(name, (shared.taken.get(name) ?? 0) + 1);
    this.#call = breaker.enter();
  }

  succeeded(): void {
    this.#breaker.succeeded();
  }

  failed(error: unknown): void {
    const missing = error instanceof UpstreamError && error.reason === "model_not_found";
    if (missing && this.#breaker.waitMs() === 0) {
      const { provider, upstreamName } = this.target;
      this.#shared.log.warn("model does not exist and is passed over", {
        provider: provider.name,
        model: upstreamName,
      });
    }
    this.#breaker.failed(error, this.#call);
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    const { name } = this.target.provider;
    const { taken } = this.#shared;
    taken.set(name, (taken.get(name) ?? 1) - 1);
  }
}

class TargetChoice implements Choice {
  readonly #targets: readonly Target[];
  readonly #shared: Shared;
  #at = 0;
  #busy = false;
  #waitMs = Number.POSITIVE_INFINITY;
  #why: Breaker["why"] | undefined;

  constructor(targets: readonly Target[], shared: Shared) {
    this.#targets = targets;
    this.#shared = shared;
  }

  /** Who names one model asks for that one, missing a moment ago or not. */
  #isOnlyHope(breaker: Breaker): boolean {
    return this.#targets.length === 1 && breaker.why === "model_not_found";
  }

  next(): Admitted | undefined {
    const { breakerOf, taken } = this.#shared;
    for (let target = this.#targets[this.#at++]; target; target = this.#targets[this.#at++]) {
      const { name, concurrencyMax = Number.POSITIVE_INFINITY } = target.provider;
      const breaker = breakerOf(target);
      const wait = breaker.waitMs();
      if (wait > 0 && !this.#isOnlyHope(breaker)) {
        // What is over the soonest is what the caller shall hear.
        if (wait < this.#waitMs) this.#why = breaker.why;
        this.#waitMs = Math.min(this.#waitMs, wait);
      } else if ((taken.get(name) ?? 0) >= concurrencyMax) this.#busy = true;
      else return new AdmittedTarget(target, breaker, this.#shared);
    }
    return undefined;
  }

  refusal(): UpstreamError {
    const why = this.#why;
    if (this.#busy || why === undefined) return new UpstreamError("busy", { retryAfter: 1 });
    if (why === "model_not_found") return new UpstreamError(why);
    return new UpstreamError(why, { retryAfter: Math.max(1, Math.ceil(this.#waitMs / 1000)) });
  }
}

/** Creates the chooser of a process. */
export function createChooser({
  now,
  log,
  random = Math.random,
}: {
  log: Log;
  /** Milliseconds that only go forward. */
  now: () => number;
  random?: () => number;
}): Chooser {
  const breakers = new Map<string, Breaker>();

  const breakerOf = ({ name, provider, upstreamName }: Target): Breaker => {
    // A target that leads elsewhere than before starts anew.
    const key = `${name}\n${provider.baseUrl}\n${upstreamName}`;
    let breaker = breakers.get(key);
    if (!breaker) {
      breaker = createBreaker({ now });
      breakers.set(key, breaker);
    }
    return breaker;
  };

  const shared: Shared = { log, breakerOf, taken: new Map() };
  return { choose: (route) => new TargetChoice(ordered(route, random), shared) };
}
