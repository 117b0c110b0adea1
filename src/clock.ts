/** Where the time comes from; an argument wherever time matters, so that a test can set it. */
export interface Clock {
  now(): Date;
}

/** The machine's own clock. */
export const systemClock: Clock = { now: () => new Date() };
