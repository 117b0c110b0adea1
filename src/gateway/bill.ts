import { costOf, dearestUsage } from "../metering/cost.ts";
import { estimateTokensOfBytes } from "../metering/estimate.ts";
import type { AttemptBill, Metered } from "../metering/record.ts";
import type { AnswerState, TokenUsage } from "../providers/usage.ts";
import type { WorstCase } from "./allowance.ts";
import type { Price, Target } from "./target.ts";

/** How far an attempt came, as far as its bill is concerned. */
export interface Ending {
  /** The provider may have read the question: it was sent, and not refused. */
  began: boolean;
  /** The answer came to its proper end. */
  complete: boolean;
  /** What is known of the answer; `undefined` where nothing came. */
  state: AnswerState | undefined;
  /** What counts where nothing is known of the answer, rather than an estimate. */
  worst?: WorstCase | undefined;
}

const uncachedUsage = (promptTokens: number, completionTokens: number): TokenUsage => ({
  promptTokens,
  cachedTokens: 0,
  cacheWriteTokens: 0,
  cacheWriteLongTokens: 0,
  completionTokens,
  reasoningTokens: 0,
});

/**
 * What an attempt consumed. The provider's count holds where its answer came to an end; a count of nothing at all for an
 * answer that says something is no count. Where the answer broke off, what was reported until then holds for the
 * question, and at least what has come is counted for the answer.
 */
function consumptionOf(
  { began, complete, state, worst }: Ending,
  questionBytes: number,
  prices: readonly Price[],
  at: Date,
): {
  usage: TokenUsage;
  source: Metered["usage_source"];
} {
  if (!began) return { usage: uncachedUsage(0, 0), source: "none" };
  if (worst) return { usage: dearestUsage(worst, prices, at), source: "estimate" };
  const written = estimateTokensOfBytes(state?.outputBytes ?? 0);
  const reported = state?.usage;
  if (!reported || (reported.promptTokens === 0 && reported.completionTokens === 0)) {
    const promptTokens = estimateTokensOfBytes(questionBytes);
    return { usage: uncachedUsage(promptTokens, written), source: "estimate" };
  }
  if (complete || reported.completionTokens >= written) return { usage: reported, source: "provider" };
  return { usage: { ...reported, completionTokens: written }, source: "estimate" };
}

/**
 * The bill of one attempt at `target` that began at `at`: tokens by kind, who counted them, and what they cost. `questionBytes` is
 * the size of the question, for an estimate.
 */
export function billOf(target: Target, ending: Ending, questionBytes: number, at: Date): AttemptBill {
  const { usage, source } = consumptionOf(ending, questionBytes, target.prices, at);
  const priced = costOf(usage, target.prices, at);
  const bill: AttemptBill = {
    prompt_tokens: usage.promptTokens,
    cached_tokens: usage.cachedTokens,
    cache_write_tokens: usage.cacheWriteTokens,
    completion_tokens: usage.completionTokens,
    reasoning_tokens: usage.reasoningTokens,
    usage_source: source,
    cost: priced?.cost ?? null,
    currency: priced?.currency ?? null,
  };
  if (usage.cacheWriteLongTokens > 0) bill.cache_write_long_tokens = usage.cacheWriteLongTokens;
  return bill;
}
