/**
 * A value, and a promise of it only where it has to be waited for: what every call asks for, and nearly always finds in memory,
 * costs it no promise.
 */
export type Soon<T> = T | Promise<T>;

/**
 * What `to` makes of a value, as soon as it is here. What else `to` needs is `given` to it: a function made on the way to hold it
 * would be made for every call.
 */
export const mapSoon = <T, U, A>(value: Soon<T>, to: (value: T, given: A) => U, given: A): Soon<U> =>
  value instanceof Promise ? mapLater(value, to, given) : to(value, given);

/** Of its own, since whoever holds a function that sees its variables pays for it at each call. */
const mapLater = <T, U, A>(value: Promise<T>, to: (value: T, given: A) => U, given: A): Promise<U> =>
  value.then((here) => to(here, given));
