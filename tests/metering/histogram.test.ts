import { expect, test } from "bun:test";
import { bucketOf, msOf, quantile } from "../../src/metering/histogram.ts";

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
  for (const q of [0.5, 0.95, 0.99]) {
    const exact = times[Math.ceil(q * times.length) - 1] ?? 0;
    expect(Math.abs((quantile(counts, q) ?? 0) - exact) / exact).toBeLessThanOrEqual(0.02);
  }
  expect(quantile(new Map(), 0.5)).toBeNull();
});
