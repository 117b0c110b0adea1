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

/** More than there are buckets. */
const bucketCount = 512;
/** What the next bucket counts for in the digits of one. */
const next = 10 ** digits;

/** Histograms added up. An answer may have thousands of them: it is made once, and emptied by {@link clear}. */
export interface Histogram {
  /** How many calls are in each bucket. */
  readonly counts: Float64Array;
  /** The first bucket that may not be empty, and the last. */
  low: number;
  high: number;
}

export const emptyHistogram = (): Histogram => ({
  counts: new Float64Array(bucketCount),
  low: bucketCount,
  high: -1,
});

/** Empties a histogram. */
export function clear(all: Histogram): void {
  all.counts.fill(0, all.low, all.high + 1);
  all.low = bucketCount;
  all.high = -1;
}

function widen(all: Histogram, low: number, high: number): void {
  if (low < all.low) all.low = low;
  if (high > all.high) all.high = Math.min(high, bucketCount - 1);
}

/** A number of two bytes, the higher first. */
const int16 = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);

/**
 * Adds a histogram as PostgreSQL's `numeric_send` writes its number: how many digits, the power of the first, sign and scale, two
 * bytes each, then the digits to the base of ten thousand. What was taken out of a histogram that is kept elsewhere is less than
 * nothing: a bucket of more than half of what its digits hold is one of these, which has borrowed from the next. Returns the place
 * after it.
 */
export function addSent(all: Histogram, bytes: Uint8Array, at: number): number {
  const length = int16(bytes, at);
  const end = at + 8 + 2 * length;
  if (length === 0) return end;
  // The power may be negative: sixteen bits with a sign.
  const first = (int16(bytes, at + 2) << 16) >> 16;
  const sign = int16(bytes, at + 4) === 0 ? 1 : -1;
  const { counts } = all;
  let power = first - length + 1;
  let bucket = Math.floor(power / perBucket);
  let borrowed = 0;
  widen(all, bucket, Math.floor(first / perBucket) + 1);
  for (let place = end; power <= first; bucket++) {
    let count = borrowed;
    for (let digit = power - perBucket * bucket; digit < perBucket && power <= first; digit++, power++) {
      place -= 2;
      count += int16(bytes, place) * 10_000 ** digit;
    }
    borrowed = count > next / 2 ? 1 : 0;
    counts[bucket] = (counts[bucket] ?? 0) + sign * (count - borrowed * next);
  }
  if (borrowed > 0) counts[bucket] = (counts[bucket] ?? 0) + sign;
  return end;
}

/**
 * A histogram in a fifth of the bytes, which nothing can be added to: its first bucket and how many there are, two bytes each, and how
 * many calls are in each, in groups of seven bits, the lowest first, of which all but the last have the highest bit set. Counts are
 * doubled, and odd where they are less than nothing.
 */
export function packHistogram({ counts, low, high }: Histogram): number[] {
  while (high >= low && counts[high] === 0) high--;
  while (low < high && counts[low] === 0) low++;
  const length = Math.max(0, high - low + 1);
  const bytes = [low >> 8, low & 255, length >> 8, length & 255];
  for (let bucket = low; bucket <= high; bucket++) {
    const count = counts[bucket] ?? 0;
    let value = count < 0 ? -2 * count - 1 : 2 * count;
    for (; value > 127; value = Math.floor(value / 128)) bytes.push(128 | (value % 128));
    bytes.push(value);
  }
  return bytes;
}

/** Adds a histogram as the above makes it. Returns the place after it. */
export function addPacked(all: Histogram, bytes: Uint8Array, at: number): number {
  const low = int16(bytes, at);
  const end = low + int16(bytes, at + 2);
  if (end > low) widen(all, low, end - 1);
  const { counts } = all;
  let place = at + 4;
  for (let bucket = low; bucket < end; bucket++) {
    let byte = bytes[place++] ?? 0;
    let count = byte & 127;
    for (let unit = 128; byte > 127; unit *= 128) {
      byte = bytes[place++] ?? 0;
      count += (byte & 127) * unit;
    }
    counts[bucket] = (counts[bucket] ?? 0) + (count % 2 === 0 ? count / 2 : -(count + 1) / 2);
  }
  return place;
}

/** Histograms of the times to the first piece, and of whole calls. */
export type Times = readonly [ttft: Histogram, duration: Histogram];

export const emptyTimes = (): Times => [emptyHistogram(), emptyHistogram()];

/** Reads both from what the database has: first the pair of numbers, then pairs of packed ones; what was in them before is gone. */
export function readTimes([ttft, duration]: Times, bytes: Uint8Array): void {
  clear(ttft);
  clear(duration);
  let at = addSent(duration, bytes, addSent(ttft, bytes, 0));
  while (at < bytes.length) at = addPacked(duration, bytes, addPacked(ttft, bytes, at));
}

/**
 * The times that shares of the calls took at most, in milliseconds; `null` of none. The shares go from the least to the greatest, so
 * that they are found in one walk.
 */
export function quantiles({ counts, low, high }: Histogram, shares: readonly number[]): (number | null)[] {
  let calls = 0;
  for (let bucket = low; bucket <= high; bucket++) calls += counts[bucket] ?? 0;
  const times: (number | null)[] = [];
  let bucket = low;
  let seen = counts[low] ?? 0;
  for (const share of shares) {
    const rank = Math.max(1, Math.ceil(share * calls));
    while (seen < rank && bucket < high) seen += counts[++bucket] ?? 0;
    times.push(calls > 0 ? msOf(bucket) : null);
  }
  return times;
}
