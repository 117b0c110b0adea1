import { expect, test } from "bun:test";
import {
  addPacked,
  bucketOf,
  clear,
  emptyHistogram,
  type Histogram,
  msOf,
  packHistogram,
  quantiles,
} from "../../src/metering/histogram.ts";

/** A histogram of so many calls in each bucket. */
function histogramOf(calls: Iterable<readonly [bucket: number, count: number]>): Histogram {
  const histogram = emptyHistogram();
  for (const [bucket, count] of calls) histogram.counts[bucket] = (histogram.counts[bucket] ?? 0) + count;
  histogram.low = 0;
  histogram.high = histogram.counts.length - 1;
  return histogram;
}

test("stands for every time from a millisecond to an hour within 2 %", () => {
  for (let ms = 1; ms <= 3_600_000; ms *= 1.0137) {
    expect(Math.abs(msOf(bucketOf(ms)) - ms) / ms).toBeLessThanOrEqual(0.02);
  }
  expect(bucketOf(0.2)).toBe(0);
  expect(bucketOf(1e9)).toBe(bucketOf(3_600_000));
});

test("tells the quantiles of a thousand times within 2 %", () => {
  const times = Array.from({ length: 1000 }, (_, index) => 5 + index * index * 0.01);
  const histogram = histogramOf(times.map((ms) => [bucketOf(ms), 1]));
  const shares = [0, 0.001, 0.5, 0.5, 0.95, 0.99, 1];
  for (const [place, found] of quantiles(histogram, shares).entries()) {
    const exact = times[Math.max(1, Math.ceil((shares[place] ?? 0) * times.length)) - 1] ?? 0;
    expect(Math.abs((found ?? 0) - exact) / exact).toBeLessThanOrEqual(0.02);
  }
  clear(histogram);
  expect(quantiles(histogram, [0.5, 0.99])).toEqual([null, null]);
});

test("packs whatever a histogram may hold, and adds it to another", () => {
  const all: [number, number][][] = [
    [],
    [[0, 1]],
    [[386, 63]],
    [
      [0, 64],
      [1, -1],
      [200, 8192],
      [386, -70],
    ],
    [
      [3, 4e11],
      [5, -4e11],
      [9, 1],
    ],
  ];
  const bytes = Uint8Array.from([7, ...all.flatMap((calls) => packHistogram(histogramOf(calls)))]);
  const added = emptyHistogram();
  let at = 1;
  for (const calls of all) {
    clear(added);
    at = addPacked(added, bytes, at);
    expect(added.counts).toEqual(histogramOf(calls).counts);
  }
  expect(at).toBe(bytes.length);
  clear(added);
  for (let from = 1; from < bytes.length; ) from = addPacked(added, bytes, from);
  expect(added.counts).toEqual(histogramOf(all.flat()).counts);
});
