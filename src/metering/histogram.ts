/**
 * Ratio of a bucket's bounds. A bucket stands for the geometric mean of its bounds, which is off by the root of the ratio at
 * most: 1.98 %.
 */
const ratio = 1.04;
const logRatio = Math.log(ratio);

/** Longest time that is told apart, in milliseconds: an hour. */
const msMax = 3_600_000;

/** Decimal digits that the count of a bucket has for itself; the migration of the table says it once more. */
const digits = 12;
/** The same in PostgreSQL's own digits, of which each holds four of them. */
const perBucket = digits / 4;
const nothing = "0".repeat(digits);

/** The bucket of a time in milliseconds; 0 for what is below one. */
export const bucketOf = (ms: number): number =>
  ms < 1 ? 0 : 1 + Math.floor(Math.log(Math.min(ms, msMax)) / logRatio + 1e-9);

/** The time that a bucket stands for, in milliseconds. */
export const msOf = (bucket: number): number => (bucket === 0 ? 0 : ratio ** (bucket - 0.5));

/**
 * A histogram as one number, the sum of ten to the power of 12 times its bucket for each call, so that PostgreSQL adds
 * histograms up as the numbers that they are, in one step and not by the bucket. `buckets` names each call's; with `sign` -1
 * it is what takes them out again. Written as `numeric` reads it, without the zeros at the end: `2000000000001e24`.
 */
export function histogramOf(buckets: readonly number[], sign: 1 | -1): string {
  const [only] = buckets;
  if (only === undefined) return "0";
  const minus = sign < 0 ? "-" : "";
  if (buckets.length === 1) return `${minus}1e${digits * only}`;
  const sorted = Uint16Array.from(buckets).sort();
  let text = "";
  let bucket = sorted.at(-1) ?? 0;
  let calls = 0;
  for (let place = sorted.length - 1; place >= 0; place--) {
    const next = sorted[place] ?? 0;
    if (next !== bucket) {
      text += String(calls).padStart(digits, "0") + nothing.repeat(bucket - next - 1);
      bucket = next;
      calls = 0;
    }
    calls++;
  }
  return `${minus}${text}${String(calls).padStart(digits, "0")}e${digits * bucket}`;
}

/** A histogram taken apart: its buckets that are not empty, lowest first, and how many calls are in each. */
export interface Histogram {
  buckets: readonly number[];
  counts: readonly number[];
  /** In all of them. */
  calls: number;
}

/**
 * The histogram in the sum of such numbers as PostgreSQL's `numeric_send` writes it: how many digits, the power of the first, sign
 * and scale, two bytes each, then the digits to the base of ten thousand. An answer may have thousands of them: no more than two
 * lists are made of each.
 */
export function readHistogram(sent: Uint8Array): Histogram {
  const int16 = (at: number) => ((sent[at] ?? 0) << 8) | (sent[at + 1] ?? 0);
  // The power may be negative: sixteen bits with a sign.
  const first = (int16(2) << 16) >> 16;
  const buckets: number[] = [];
  const counts: number[] = [];
  let calls = 0;
  let last = -1;
  for (let place = int16(0) - 1; place >= 0; place--) {
    const digit = int16(8 + 2 * place);
    if (digit === 0) continue;
    const power = first - place;
    const bucket = Math.floor(power / perBucket);
    const count = power % perBucket === 0 ? digit : digit * 10_000 ** (power % perBucket);
    calls += count;
    if (last === bucket) counts[counts.length - 1] = (counts.at(-1) ?? 0) + count;
    else {
      buckets.push(bucket);
      counts.push(count);
      last = bucket;
    }
  }
  return { buckets, counts, calls };
}

/**
 * The times that shares of the calls took at most, in milliseconds; `null` of none. The shares go from the least to the greatest, so
 * that they are found in one walk.
 */
export function quantiles<T extends readonly number[]>(
  { buckets, counts, calls }: Histogram,
  shares: T,
): { [place in keyof T]: number | null } {
  let place = 0;
  let seen = counts[0] ?? 0;
  const times = shares.map((share) => {
    const rank = Math.max(1, Math.ceil(share * calls));
    while (seen < rank && place < counts.length) seen += counts[++place] ?? 0;
    const bucket = buckets[place];
    return bucket === undefined ? null : msOf(bucket);
  });
  return times as { [place in keyof T]: number | null };
}
