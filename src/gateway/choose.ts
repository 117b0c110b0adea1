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

/** The targets in the order of asking: as they stand, or drawn by weight one after the other. */
function ordered({ routing, targets }: Route, random: () => number): readonly Target[] {
  if (routing === "ordered" || targets.length === 1) return targets.map(({ target }) => target);
  // The greatest of `random^(1/weight)` is a draw by weight; so are the next (Efraimidis and Spirakis, 2006).
  return targets
    .map(({ target, weight }) => ({ target, key: random() ** (1 / weight) }))
    .sort((a, b) => b.key - a.key)
    .map(({ target }) => target);
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
  /** Calls in flight, by provider. */
  const taken = new Map<string, number>();

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

  const admit = (target: Target, breaker: Breaker): Admitted => {
    const { name } = target.provider;
    taken.set(name, (taken.get(name) ?? 0) + 1);
    breaker.enter();
    let released = false;
    return {
      target,
      succeeded: breaker.succeeded,
      failed(error) {
        const missing = error instanceof UpstreamError && error.reason === "model_not_found";
        if (missing && breaker.waitMs() === 0) {
          log.warn("model does not exist and is passed over", { provider: name, model: target.upstreamName });
        }
        breaker.failed(error);
      },
      release() {
        if (released) return;
        released = true;
        taken.set(name, (taken.get(name) ?? 1) - 1);
      },
    };
  };

  return {
    choose(route) {
      const targets = ordered(route, random);
      let at = 0;
      let busy = false;
      let waitMs = Number.POSITIVE_INFINITY;
      let why: Breaker["why"] | undefined;
      /** Who names one model asks for that one, missing a moment ago or not. */
      const isOnlyHope = (breaker: Breaker) => targets.length === 1 && breaker.why === "model_not_found";
      return {
        next() {
          for (let target = targets[at++]; target; target = targets[at++]) {
            const { name, concurrencyMax = Number.POSITIVE_INFINITY } = target.provider;
            const breaker = breakerOf(target);
            const wait = breaker.waitMs();
            if (wait > 0 && !isOnlyHope(breaker)) {
              // What is over the soonest is what the caller shall hear.
              if (wait < waitMs) why = breaker.why;
              waitMs = Math.min(waitMs, wait);
            } else if ((taken.get(name) ?? 0) >= concurrencyMax) busy = true;
            else return admit(target, breaker);
          }
          return undefined;
        },
        refusal: () => {
          if (busy || why === undefined) return new UpstreamError("busy", { retryAfter: 1 });
          if (why === "model_not_found") return new UpstreamError(why);
          return new UpstreamError(why, { retryAfter: Math.max(1, Math.ceil(waitMs / 1000)) });
        },
      };
    },
  };
}
