import type { Uuid } from "../id.ts";
import type { BudgetRow } from "../sql/budget.ts";
import type { RateRow } from "../sql/rate.ts";
import type { RateLimitRow, RateLimitScope } from "../sql/rate-limit.ts";

/** What may be asked of the models: in a minute, and at once. */
export interface RateLimits {
  /** Calls in any 60 seconds. */
  requests: number;
  /** Tokens of prompts and answers in any 60 seconds. */
  tokens: number;
  /** Calls at the same time. */
  concurrency: number;
}

/** What holds for each key, app, account, user and model of which nobody has said anything: far above what one of them needs. */
export const defaultRateLimit: Readonly<RateLimits> = {
  requests: 600_000,
  tokens: 600_000_000,
  concurrency: 10_000,
};

/** What has been set: limits, budgets and rates, as they stand. */
export interface Rules {
  /** Of somebody, field by field; what nobody has set is the default. `set` says whether somebody has. */
  rateLimit(
    field: keyof RateLimits,
    at: { scope: RateLimitScope; subject: string; endUser?: string },
  ): { bound: number; set: boolean };
  /** Whether any limit or budget is a user's of this app. */
  hasUsers(appId: Uuid): boolean;
  /** Those of a key, an app, an account, or an app's user. */
  budgets(scope: BudgetRow["scope"], subjectId: Uuid, endUser?: string): readonly BudgetRow[];
  /** What one unit of `base` is worth in `quote` at a time; `undefined` where nobody has said. */
  rate(base: string, quote: string, at: Date): string | undefined;
}

const keyOf = (...parts: readonly string[]) => parts.join("\n");

/** Makes rows ready to be asked. */
export function createRules(rows: {
  limits: readonly RateLimitRow[];
  budgets: readonly BudgetRow[];
  /** The oldest first. */
  rates: readonly RateRow[];
}): Rules {
  const limits = new Map(rows.limits.map((row) => [keyOf(row.scope, row.subject, row.end_user), row]));
  const budgets = Map.groupBy(rows.budgets, ({ scope, subject_id }) => keyOf(scope, subject_id));
  const rates = Map.groupBy(rows.rates, ({ base, quote }) => keyOf(base, quote));
  const users = new Set([
    ...rows.limits.filter(({ scope }) => scope === "user").map(({ subject }) => subject),
    ...rows.budgets.filter(({ scope }) => scope === "user").map(({ subject_id }) => subject_id),
  ]);
  return {
    rateLimit(field, { scope, subject, endUser = "" }) {
      for (const key of [keyOf(scope, subject, endUser), keyOf(scope, subject, ""), keyOf(scope, "", "")]) {
        const bound = limits.get(key)?.[field];
        if (bound !== undefined && bound !== null) return { bound, set: true };
      }
      return { bound: defaultRateLimit[field], set: false };
    },
    hasUsers: (appId) => users.has(appId) || users.has(""),
    budgets: (scope, subjectId, endUser) =>
      (budgets.get(keyOf(scope, subjectId)) ?? []).filter(
        ({ end_user }) => end_user === null || end_user === endUser,
      ),
    rate: (base, quote, at) =>
      rates.get(keyOf(base, quote))?.findLast(({ valid_from }) => valid_from <= at)?.value,
  };
}
