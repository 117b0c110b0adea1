import { expect, test } from "bun:test";
import { bucketOf, msOf, quantiles } from "../../src/metering/histogram.ts";

test("stands for every time from a millisecond to an hour within 2 %", () => {
  for (let ms = 1; ms <= 3_600_000; ms *= 1.0137) {
    expect(Math.abs(msOf(bucketOf(ms)) - ms) / ms).toBeLessThanOrEqual(0.02);
  }
  expect(bucketOf(0.2)).toBe(0);
  expect(bucketOf(1e9)).toBe(bucketOf(3_600_000));
});

test("tells the quantiles of a thousand times within 2 %", () => {
  const times = Array.from({ length: 1000 }, (_, index) => 5 + index * index * 0.01);
  const counts = new Map<number, number>();
  for (const ms of times) counts.set(bucketOf(ms), (counts.get(bucketOf(ms)) ?? 0) + 1);
  const sorted = [...counts].sort(([a], [b]) => a - b);
  const histogram = {
    buckets: sorted.map(([bucket]) => bucket),
    counts: sorted.map(([, count]) => count),
    calls: times.length,
  };
  const shares = [0, 0.001, 0.5, 0.5, 0.95, 0.99, 1];
  for (const [place, found] of quantiles(histogram, shares).entries()) {
    const exact = times[Math.max(1, Math.ceil((shares[place] ?? 0) * times.length)) - 1] ?? 0;
    expect(Math.abs((found ?? 0) - exact) / exact).toBeLessThanOrEqual(0.02);
  }
  expect(quantiles({ buckets: [], counts: [], calls: 0 }, [0.5, 0.99])).toEqual([null, null]);
});
