import { expect, test } from "bun:test";
import { join } from "node:path";
import { costOf, dearestAt, priceAt } from "../../src/metering/cost.ts";
import { formatDecimal, parseDecimal, sum } from "../../src/metering/money.ts";
import { shippedPrices } from "../../src/metering/price-table.ts";
import { shipped } from "../../src/metering/prices.ts";
import type { TokenUsage } from "../../src/providers/usage.ts";

const at = new Date("2026-11-24T00:00:00Z");
const tokens = (usage: Partial<TokenUsage>): TokenUsage => ({
  promptTokens: 0,
  cachedTokens: 0,
  cacheWriteTokens: 0,
  cacheWriteLongTokens: 0,
  completionTokens: 0,
  reasoningTokens: 0,
  ...usage,
});
const price = {
  validFrom: new Date(0),
  abovePromptTokens: 0,
  currency: "USD",
  prompt: "0.1",
  cached: undefined,
  cacheWrite: undefined,
  cacheWriteLong: undefined,
  completion: "0.3",
  reasoning: undefined,
  source: "",
};

test("costs what the documentation's example says", async () => {
  const prices = shippedPrices({ baseUrl: "https://api.moonshot.cn/v1" }, "kimi-k2.5");
  const usage = tokens({ promptTokens: 1000, cachedTokens: 400, completionTokens: 250 });
  const { cost, currency } = costOf(usage, prices, at) ?? {};
  expect({ cost, currency }).toEqual({ cost: "0.00793", currency: "CNY" });
  const text = await Bun.file(join(import.meta.dir, "../../docs/gateway.md")).text();
  expect(text).toContain(`${cost} ${currency}`);
});

test("adds up exactly where floating point does not", () => {
  expect(sum(["0.1", "0.2"])).toBe("0.3");
  expect(sum(Array(10).fill("0.000000000000000001"))).toBe("0.00000000000000001");
  expect(sum(["99999999999999999999.999999999999999999", "0.000000000000000001"])).toBe(
    "100000000000000000000",
  );
  expect(sum([])).toBe("0");
  expect(sum(["1.5", "-1.50"])).toBe("0");
  for (const text of ["0", "1", "-1.25", "12345678901234567890.5"])
    expect(formatDecimal(parseDecimal(text))).toBe(text);
  for (const bad of ["", ".", "-", ".5", "1.", "1.2.3", "1e3", "NaN", " 1"])
    expect(() => parseDecimal(bad)).toThrow(RangeError);
});

test("bills each kind of token at its own price, and at its base's where it has none", () => {
  const usage = tokens({
    promptTokens: 100,
    cachedTokens: 10,
    cacheWriteTokens: 20,
    completionTokens: 50,
    reasoningTokens: 5,
  });
  // (70 + 10 + 20) × 0.1 + (45 + 5) × 0.3 = 25, of a million
  expect(costOf(usage, [price], at)?.cost).toBe("0.000025");
  const own = { ...price, cached: "0.01", cacheWrite: "0.2", reasoning: "0.5" };
  // 70 × 0.1 + 10 × 0.01 + 20 × 0.2 + 45 × 0.3 + 5 × 0.5 = 27.1
  expect(costOf(usage, [own], at)?.cost).toBe("0.0000271");
});

test("bills what is kept for an hour at its own price, at twice the prompt's by Anthropic's list", () => {
  const usage = tokens({ promptTokens: 100, cacheWriteTokens: 30, cacheWriteLongTokens: 20 });
  // 70 × 0.1 + 10 × 0.2 + 20 × 0.4 = 17, of a million; without a price of its own 70 × 0.1 + 30 × 0.2 = 13
  expect(costOf(usage, [{ ...price, cacheWrite: "0.2", cacheWriteLong: "0.4" }], at)?.cost).toBe("0.000017");
  expect(costOf(usage, [{ ...price, cacheWrite: "0.2" }], at)?.cost).toBe("0.000013");
  const [haiku] = shippedPrices({ baseUrl: "https://api.anthropic.com" }, "claude-haiku-4-5");
  expect(haiku).toMatchObject({ prompt: "1", cacheWrite: "1.25", cacheWriteLong: "2" });
  const [opus] = shippedPrices({ baseUrl: "https://api.anthropic.com" }, "claude-opus-5-5");
  expect(opus).toMatchObject({ prompt: "4", cacheWrite: "5", cacheWriteLong: "8" });
  const [kimi] = shippedPrices({ baseUrl: "https://api.moonshot.cn/v1" }, "kimi-k2.5");
  expect(kimi?.cacheWriteLong).toBeUndefined();
});

test("costs the same to the last digit, whether the amounts are small enough for numbers or not", () => {
  /** In 10^-24. */
  const exact = (text: string): bigint => {
    const [whole = "", fraction = ""] = text.split(".");
    return BigInt(whole + fraction.padEnd(24, "0"));
  };
  let seed = 1;
  const random = (below: number) => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  const amount = () => `${random(10 ** (1 + random(9)))}.${String(random(1e9)).slice(0, 1 + random(9))}`;
  for (let round = 0; round < 5000; round++) {
    const many = 10 ** (1 + random(9));
    const [fresh, cached, write, long, plain, reasoning] = Array.from(
      { length: 6 },
      () => random(many) * (random(4) === 0 ? 1_000_003 : 1),
    ) as [number, number, number, number, number, number];
    const prices = {
      ...price,
      prompt: amount(),
      cached: amount(),
      cacheWrite: amount(),
      cacheWriteLong: amount(),
      completion: amount(),
      reasoning: amount(),
    };
    const usage = {
      promptTokens: fresh + cached + write + long,
      cachedTokens: cached,
      cacheWriteTokens: write + long,
      cacheWriteLongTokens: long,
      completionTokens: plain + reasoning,
      reasoningTokens: reasoning,
    };
    const { cost = "" } = costOf(usage, [prices], at) ?? {};
    const expected =
      BigInt(fresh) * exact(prices.prompt) +
      BigInt(cached) * exact(prices.cached) +
      BigInt(write) * exact(prices.cacheWrite) +
      BigInt(long) * exact(prices.cacheWriteLong) +
      BigInt(plain) * exact(prices.completion) +
      BigInt(reasoning) * exact(prices.reasoning);
    expect(exact(cost) * 1_000_000n).toBe(expected);
  }
});

test("goes by the version that was valid then, and by the highest tier reached", () => {
  const later = { ...price, validFrom: new Date("2026-06-01T00:00:00Z"), prompt: "0.2" };
  const tier = { ...later, abovePromptTokens: 100, prompt: "0.4" };
  const prices = [tier, price, later];
  expect(priceAt(prices, new Date("2026-05-31T23:59:59Z"), 1000)).toBe(price);
  expect(priceAt(prices, new Date("2026-06-01T00:00:00Z"), 100)).toBe(later);
  expect(priceAt(prices, at, 101)).toBe(tier);
});

test("is unpriced, and not free, where no price holds", () => {
  expect(costOf(tokens({ promptTokens: 1 }), [], at)).toBeUndefined();
  const future = { ...price, validFrom: new Date("2027-01-01T00:00:00Z") };
  expect(costOf(tokens({ promptTokens: 1 }), [future], at)).toBeUndefined();
});

test("finds the shipped price of a dated name, and none at another host", () => {
  const openai = { baseUrl: "https://api.openai.com/v1" };
  expect(shippedPrices(openai, "gpt-4.1-2025-04-14")).toEqual(shippedPrices(openai, "gpt-4.1"));
  expect(shippedPrices(openai, "gpt-4.1")).toHaveLength(1);
  expect(shippedPrices({ baseUrl: "https://api.openai.com.evil.example/v1" }, "gpt-4.1")).toEqual([]);
  expect(shippedPrices({ baseUrl: "" }, "gpt-4.1")).toEqual([]);
});

test("ships prices that each say where they stand, once for each version and tier", () => {
  const keys = shipped.map(({ hosts, model, price: { validFrom, abovePromptTokens } }) =>
    [hosts, model, validFrom.toISOString(), abovePromptTokens].join(" "),
  );
  expect(new Set(keys).size).toBe(keys.length);
  for (const { price: each } of shipped) {
    expect(each.source).toMatch(/^https:\/\/\S+, \d{4}-\d{2}-\d{2}$/);
    expect(costOf(tokens({ promptTokens: each.abovePromptTokens + 1 }), [each], at)?.currency).toMatch(
      /^(CNY|USD)$/,
    );
  }
});

test("the dearest that tokens can be is that of every tier in reach, also of one that was set later than the base", () => {
  const later = new Date(1);
  const tier = { ...price, abovePromptTokens: 1000, validFrom: later, prompt: "5", completion: "7" };
  const over = { ...price, abovePromptTokens: 2000, prompt: "100", completion: "100" };
  const prices = [price, tier, over];
  expect(dearestAt(prices, at, 1000)).toMatchObject([
    { prompt: 100_000_000_000n, completion: 300_000_000_000n },
  ]);
  // The older tier above holds for nobody any more: the newer one begins below it.
  for (const promptTokens of [1001, 3000]) {
    expect(priceAt(prices, at, promptTokens)).toBe(tier);
    expect(dearestAt(prices, at, promptTokens)).toMatchObject([
      { prompt: 5_000_000_000_000n, completion: 7_000_000_000_000n },
    ]);
  }
  // A tier of another currency is dearer or not: that is for whoever knows what they are worth.
  const foreign = { ...tier, currency: "CNY" };
  expect(dearestAt([price, foreign], at, 1001).map(({ currency }) => currency)).toEqual([
    price.currency,
    "CNY",
  ]);
});
