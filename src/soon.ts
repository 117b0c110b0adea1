/**
 * A value, and a promise of it only where it has to be waited for: what every call asks for, and nearly always finds in memory,
 * costs it no promise.
 */
export type Soon<T> = T | Promise<T>;

/** What `to` makes of a value, as soon as it is here. */
export const mapSoon = <T, U>(value: Soon<T>, to: (value: T) => U): Soon<U> =>
  value instanceof Promise ? value.then(to) : to(value);
