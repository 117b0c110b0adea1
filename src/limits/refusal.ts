import { LimitError } from "../errors/app-error.ts";
import { fromUnits } from "../metering/money.ts";
import type { Refusal } from "../metering/record.ts";
import type { BudgetRow } from "../sql/budget.ts";
import type { Level } from "./levels.ts";
import { leftOf, type PoolState } from "./pool.ts";
import type { RateLimits } from "./rules.ts";

/** How soon a call that met a limit of calls at once may try again, in milliseconds. */
const slotsAfterMs = 1000;

/** Nobody can tell whether a call fits: the database is away. */
export const unavailable = (): LimitError => new LimitError("unavailable", { retryAfter: 1 });

/** A call that asked for more than a rate, or calls at once, have left. */
export function refuseRate(
  field: keyof RateLimits,
  { scope, subject }: Level,
  {
    state,
    asked,
    windowMs,
    databaseNow,
  }: { state: PoolState; asked: bigint; windowMs: number; databaseNow: number },
): LimitError {
  const timed = field !== "concurrency";
  // More than the whole limit will never fit.
  const never = asked > state.bound;
  const afterMs = state.waitMs ?? (timed ? windowMs : slotsAfterMs);
  const refusal: Refusal = {
    limit: field,
    scope,
    subject,
    ...(timed && { window_seconds: windowMs / 1000 }),
    bound: String(state.bound),
    used: String(state.used),
    held: String(state.held),
    asked: String(asked),
    allowed: String(leftOf(state, state.free)),
    resets_at: timed && !never ? new Date(databaseNow + afterMs).toISOString() : null,
  };
  const { bound, used, held } = refusal;
  return new LimitError(field, {
    params: { scope, seconds: windowMs / 1000, bound, used, held, asked: refusal.asked },
    data: { ...refusal },
    ...(never ? { never } : { retryAfter: Math.max(1, Math.ceil(afterMs / 1000)) }),
    refusal,
  });
}

/** A call that may cost more than a budget has left. */
export function refuseBudget(
  budget: BudgetRow,
  { state, asked, resetsAt }: { state: PoolState; asked: bigint; resetsAt: string | null },
): LimitError {
  const refusal: Refusal = {
    limit: "budget",
    scope: budget.scope,
    subject: budget.subject_id,
    budget_id: budget.id,
    budget: budget.name,
    currency: budget.currency,
    bound: fromUnits(state.bound),
    used: fromUnits(state.used),
    held: fromUnits(state.held - state.free),
    asked: fromUnits(asked),
    allowed: fromUnits(leftOf(state, state.free)),
    resets_at: resetsAt,
  };
  const { bound, used, held } = refusal;
  const params = {
    budget: budget.name,
    currency: budget.currency,
    bound,
    used,
    held,
    asked: refusal.asked,
    resets: resetsAt ?? "-",
  };
  return new LimitError("budget_exceeded", { params, data: { ...refusal }, refusal });
}
