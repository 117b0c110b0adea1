/**
 * What `make` makes of a thing, made once: remembered as long as the thing lives. For what every call asks of the same few things;
 * `make` must give the same each time, and not `undefined`.
 */
export function remembered<K extends object, V extends {}>(make: (from: K) => V): (from: K) => V {
  const known = new WeakMap<K, V>();
  return (from) => {
    let made = known.get(from);
    if (made === undefined) {
      made = make(from);
      known.set(from, made);
    }
    return made;
  };
}
