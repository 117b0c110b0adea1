import { sum } from "../metering/money.ts";
import type { AttemptRecord, Metered } from "../metering/record.ts";

const unconsumed: Metered = {
  prompt_tokens: 0,
  cached_tokens: 0,
  cache_write_tokens: 0,
  completion_tokens: 0,
  reasoning_tokens: 0,
  usage_source: "none",
  cost: "0",
  currency: null,
};

/** The bill of one attempt, without what else it says. */
const billOnly = (only: Metered): Metered => ({
  prompt_tokens: only.prompt_tokens,
  cached_tokens: only.cached_tokens,
  cache_write_tokens: only.cache_write_tokens,
  completion_tokens: only.completion_tokens,
  reasoning_tokens: only.reasoning_tokens,
  usage_source: only.usage_source,
  cost: only.currency && (only.cost ?? "0"),
  currency: only.currency,
});

/**
 * The bill of a call: all of its attempts together, in the currency of the last that cost anything. Where that one has no
 * price, neither has the call.
 */
export function totalOf(attempts: readonly AttemptRecord[]): Metered {
  const [only] = attempts;
  // The common case; what it was billed is what the call was.
  if (only && attempts.length === 1 && only.usage_source !== "none") return billOnly(only);
  return totalOfMany(attempts);
}

function totalOfMany(attempts: readonly AttemptRecord[]): Metered {
  const billed = attempts.filter(({ usage_source }) => usage_source !== "none");
  const last = billed.at(-1);
  if (!last) return { ...unconsumed, currency: attempts.at(-1)?.currency ?? null };
  const count = (
    kind: "prompt_tokens" | "cached_tokens" | "cache_write_tokens" | "completion_tokens" | "reasoning_tokens",
  ) => billed.reduce((total, each) => total + each[kind], 0);
  const { currency } = last;
  return {
    prompt_tokens: count("prompt_tokens"),
    cached_tokens: count("cached_tokens"),
    cache_write_tokens: count("cache_write_tokens"),
    completion_tokens: count("completion_tokens"),
    reasoning_tokens: count("reasoning_tokens"),
    usage_source: billed.some((each) => each.usage_source === "estimate") ? "estimate" : "provider",
    cost: currency && sum(billed.filter((each) => each.currency === currency).map(({ cost }) => cost ?? "0")),
    currency,
  };
}
