import type { Uuid } from "../id.ts";
import { fromUnits, toUnits } from "../metering/money.ts";
import type { BudgetDealing, BudgetTold } from "../sql/lease.ts";
import type { BudgetParty, Leases } from "./leases.ts";
import { createPool, type Pool } from "./pool.ts";

/** From when to when a budget's amount holds. */
export interface Period {
  /** ISO 8601. */
  startsAt: string;
  /** Milliseconds since 1970; infinite where it never ends. */
  endsAtMs: number;
}

/** A period of a budget: this process's part of it. Amounts are in {@link toUnits}. */
export interface BudgetMeter {
  readonly pool: Pool;
  /** When it began and ends, as the database told; `undefined` before it did, and for a budget that is no more. */
  period(): Period | undefined;
  /** Whether there is no such budget. */
  readonly gone: boolean;
  /** Calls that count towards it and are not over. */
  calls: number;
  /** Nobody will take anything more: what is left goes back once the last call is over. */
  retire(): void;
}

/** How long a refusal holds, in milliseconds. */
const holdOffMs = 25;
/** How long a meter that nobody uses takes part in the dealings, in milliseconds. */
const keepMs = 6 * 60_000;

/** Creates the meter of the current period of a budget; each of an app's users may have one. */
export function createBudgetMeter({
  budgetId,
  endUser,
  leases,
  now,
  idle,
}: {
  budgetId: Uuid;
  /** Empty where the budget is one and the same for all. */
  endUser: string;
  leases: Leases;
  now: () => number;
  idle: () => void;
}): BudgetMeter {
  let period: Period | undefined;
  let gone = false;
  let retired = false;

  const pool = createPool({
    now,
    valid: leases.valid,
    talk: () => leases.talk(party),
    newOp: leases.newOp,
    holdOffMs,
  });

  const party: BudgetParty = {
    compose(): BudgetDealing {
      const { op, need, want, ahead, back } = pool.compose();
      return {
        budget_id: budgetId,
        end_user: endUser,
        starts_at: period?.startsAt ?? null,
        op,
        need: fromUnits(need),
        want: fromUnits(want),
        ahead: fromUnits(ahead),
        back: fromUnits(back),
      };
    },
    answered({ granted, spent, held, bound, period_start, period_end, written_off }: BudgetTold) {
      gone = period_start === null;
      if (period_start !== null) {
        period ??= {
          startsAt: period_start.toISOString(),
          endsAtMs: period_end?.getTime() ?? Number.POSITIVE_INFINITY,
        };
      }
      const lost = toUnits(written_off ?? "0");
      if (lost !== 0n) pool.withdraw(lost);
      pool.answered({
        granted: toUnits(granted ?? "0"),
        used: toUnits(spent ?? "0"),
        held: toUnits(held ?? "0"),
        bound: toUnits(bound ?? "0"),
        waitMs: undefined,
      });
    },
    doubted: pool.doubted,
    refused: pool.refused,
    keep() {
      const { free } = pool.state();
      if (free !== 0n || meter.calls > 0 || (!retired && pool.unusedMs() < keepMs)) return true;
      idle();
      return false;
    },
  };

  const meter: BudgetMeter = {
    pool,
    period: () => period,
    get gone() {
      return gone;
    },
    calls: 0,
    retire() {
      retired = true;
      pool.drop();
    },
  };
  return meter;
}
