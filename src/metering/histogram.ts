/**
 * Ratio of a bucket's bounds. A bucket stands for the geometric mean of its bounds, which is off by the root of the ratio at
 * most: 1.98 %.
 */
const ratio = 1.04;
const logRatio = Math.log(ratio);

/** Longest time that is told apart, in milliseconds: an hour. */
const msMax = 3_600_000;

/** The bucket of a time in milliseconds; 0 for what is below one. */
export const bucketOf = (ms: number): number =>
  ms < 1 ? 0 : 1 + Math.floor(Math.log(Math.min(ms, msMax)) / logRatio + 1e-9);

/** The time that a bucket stands for, in milliseconds. */
export const msOf = (bucket: number): number => (bucket === 0 ? 0 : ratio ** (bucket - 0.5));

/** The time that a share `q` of the calls took at most, in milliseconds; `null` of none. `counts` goes by bucket. */
export function quantile(counts: ReadonlyMap<number, number>, q: number): number | null {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  const rank = Math.max(1, Math.ceil(q * total));
  let seen = 0;
  for (const bucket of [...counts.keys()].sort((a, b) => a - b)) {
    seen += counts.get(bucket) ?? 0;
    if (seen >= rank) return msOf(bucket);
  }
  return null;
}
