import type { Price } from "../gateway/target.ts";
import type { TokenUsage } from "../providers/usage.ts";
import { remembered } from "../remembered.ts";
import { formatDecimal, formatDigits, parseDecimal, rescale, unitsAt } from "./money.ts";

/** A price's amounts as whole numbers of the same unit: ten to the power of minus `scale`, per token. */
interface Units {
  prompt: bigint;
  cached: bigint;
  cacheWrite: bigint;
  cacheWriteLong: bigint;
  completion: bigint;
  reasoning: bigint;
  scale: number;
}

/** Prices are per million tokens. */
const millionScale = 6;

const unitsOf = remembered((price: Price): Units => {
  const texts = [
    price.prompt,
    price.cached ?? price.prompt,
    price.cacheWrite ?? price.prompt,
    price.cacheWriteLong ?? price.cacheWrite ?? price.prompt,
    price.completion,
    price.reasoning ?? price.completion,
  ];
  const parsed = texts.map(parseDecimal);
  const scale = Math.max(...parsed.map((each) => each.scale));
  const [prompt = 0n, cached = 0n, cacheWrite = 0n, cacheWriteLong = 0n, completion = 0n, reasoning = 0n] =
    parsed.map((each) => rescale(each, scale).units);
  return {
    prompt,
    cached,
    cacheWrite,
    cacheWriteLong,
    completion,
    reasoning,
    scale: scale + millionScale,
  };
});

/** The same as numbers, which are rounded where they are too large: then so is what they come to. */
const numbersOf = remembered((price: Price) => {
  const { scale, ...units } = unitsOf(price);
  return {
    prompt: Number(units.prompt),
    cached: Number(units.cached),
    cacheWrite: Number(units.cacheWrite),
    cacheWriteLong: Number(units.cacheWriteLong),
    completion: Number(units.completion),
    reasoning: Number(units.reasoning),
    scale,
  };
});

/** The tokens of a usage that have a price of their own, each counted once. */
const countsOf = ({
  promptTokens,
  cachedTokens,
  cacheWriteTokens,
  cacheWriteLongTokens,
  completionTokens,
  reasoningTokens,
}: TokenUsage) => ({
  prompt: promptTokens - cachedTokens - cacheWriteTokens,
  cached: cachedTokens,
  cacheWrite: cacheWriteTokens - cacheWriteLongTokens,
  cacheWriteLong: cacheWriteLongTokens,
  completion: completionTokens - reasoningTokens,
  reasoning: reasoningTokens,
});
type Counts = ReturnType<typeof countsOf>;

/** What tokens cost, as long as that is a number that is exact; `undefined` for all others. Nearly all are. */
function shortCost(counts: Counts, price: Price): string | undefined {
  if (counts.prompt < 0 || counts.cacheWrite < 0 || counts.completion < 0) return undefined;
  const each = numbersOf(price);
  // None of the parts is below zero: where a part, or a sum, was rounded, the total is too large.
  const total =
    counts.prompt * each.prompt +
    counts.cached * each.cached +
    counts.cacheWrite * each.cacheWrite +
    counts.cacheWriteLong * each.cacheWriteLong +
    counts.completion * each.completion +
    counts.reasoning * each.reasoning;
  return Number.isSafeInteger(total) ? formatDigits(String(total), each.scale) : undefined;
}

/** What tokens cost, whatever it is. */
function anyCost(counts: Counts, price: Price): string {
  const each = unitsOf(price);
  const units =
    BigInt(counts.prompt) * each.prompt +
    BigInt(counts.cached) * each.cached +
    BigInt(counts.cacheWrite) * each.cacheWrite +
    BigInt(counts.cacheWriteLong) * each.cacheWriteLong +
    BigInt(counts.completion) * each.completion +
    BigInt(counts.reasoning) * each.reasoning;
  return formatDecimal({ units, scale: each.scale });
}

/** The price that holds at `at` for a prompt of this size: the newest version, and of that the highest tier reached. */
export function priceAt(prices: readonly Price[], at: Date, promptTokens: number): Price | undefined {
  const time = at.getTime();
  let found: Price | undefined;
  for (const price of prices) {
    if (
      price.validFrom.getTime() > time ||
      (price.abovePromptTokens > 0 && promptTokens <= price.abovePromptTokens)
    )
      continue;
    const newer = found === undefined ? 1 : price.validFrom.getTime() - found.validFrom.getTime();
    if (newer > 0 || (newer === 0 && price.abovePromptTokens > (found?.abovePromptTokens ?? 0)))
      found = price;
  }
  return found;
}

/**
 * What tokens cost, exactly: each kind at its own price, those without one at that of the kind they are part of. `undefined`
 * where no price holds at `at`: that is unpriced, and not free.
 */
export function costOf(
  usage: TokenUsage,
  prices: readonly Price[],
  at: Date,
): { cost: string; currency: string; price: Price } | undefined {
  const price = priceAt(prices, at, usage.promptTokens);
  if (!price) return undefined;
  const counts = countsOf(usage);
  return { cost: shortCost(counts, price) ?? anyCost(counts, price), currency: price.currency, price };
}

/** The most that a token of a question and of an answer can cost, of `promptTokens` or fewer, in 10^-18 of `currency`. */
export interface Dearest {
  prompt: bigint;
  completion: bigint;
  currency: string;
}

/** `Math.max` takes no whole numbers of this kind. */
function highest(...amounts: readonly bigint[]): bigint {
  let most = 0n;
  for (const each of amounts) if (each > most) most = each;
  return most;
}

const dearestOf = remembered((price: Price): Dearest => {
  const { prompt, cached, cacheWrite, cacheWriteLong, completion, reasoning, scale } = unitsOf(price);
  return {
    prompt: unitsAt(highest(prompt, cached, cacheWrite, cacheWriteLong), scale),
    completion: unitsAt(highest(completion, reasoning), scale),
    currency: price.currency,
  };
});

/** The kinds of a question's tokens; of those that cost the same, the first counts. */
const questionKinds = ["prompt", "cacheWriteLong", "cacheWrite", "cached"] as const;

/** Which tokens of a question cost most, and whether reasoning costs more than the rest of an answer. */
const dearestKind = remembered((price: Price) => {
  const units = unitsOf(price);
  const most = highest(...questionKinds.map((kind) => units[kind]));
  return {
    question: questionKinds.find((kind) => units[kind] === most),
    reasoning: units.reasoning > units.completion,
  };
});

/** So many tokens of a question and of its answer, all of the kinds that cost most at `at`. */
export function dearestUsage(
  { promptTokens, completionTokens }: Pick<TokenUsage, "promptTokens" | "completionTokens">,
  prices: readonly Price[],
  at: Date,
): TokenUsage {
  const price = priceAt(prices, at, promptTokens);
  const { question, reasoning } = price ? dearestKind(price) : { question: "prompt", reasoning: false };
  const isLong = question === "cacheWriteLong";
  return {
    promptTokens,
    cachedTokens: question === "cached" ? promptTokens : 0,
    cacheWriteTokens: isLong || question === "cacheWrite" ? promptTokens : 0,
    cacheWriteLongTokens: isLong ? promptTokens : 0,
    completionTokens,
    reasoningTokens: reasoning ? completionTokens : 0,
  };
}

/**
 * The dearest that tokens can be at `at`, whichever kind they turn out to be, in each currency in which they may come to be
 * priced; in none where no price holds.
 */
export function dearestAt(prices: readonly Price[], at: Date, promptTokens: number): readonly Dearest[] {
  const base = priceAt(prices, at, 0);
  if (!base) return [];
  const all = [dearestOf(base)];
  for (const { abovePromptTokens } of prices) {
    if (abovePromptTokens === 0 || abovePromptTokens >= promptTokens) continue;
    // What holds from this tier on: it may be of another version than the base.
    const tier = dearestOf(priceAt(prices, at, abovePromptTokens + 1) ?? base);
    const place = all.findIndex(({ currency }) => currency === tier.currency);
    const same = all[place];
    if (same) all[place] = dearer(same, tier);
    else all.push(tier);
  }
  return all;
}

/** The dearer of two for each token, both in the same currency. */
export const dearer = (one: Dearest, other: Dearest): Dearest =>
  one === other
    ? one
    : {
        prompt: highest(one.prompt, other.prompt),
        completion: highest(one.completion, other.completion),
        currency: one.currency,
      };
