import type { Allowance } from "../gateway/allowance.ts";
import type { Uuid } from "../id.ts";
import type { Log } from "../log.ts";
import type { Soon } from "../soon.ts";
import { CallAllowance, type Shared } from "./allowance.ts";
import { type BudgetMeter, createBudgetMeter } from "./budget-meter.ts";
import type { Leases } from "./leases.ts";
import { createBoundsOf, type Level } from "./levels.ts";
import { createRateMeter, type RateMeter } from "./rate-meter.ts";
import type { Rules } from "./rules.ts";

/** Whose call it is. */
export interface Caller {
  keyId: Uuid | null;
  appId: Uuid | null;
  accountId: Uuid | null;
  endUser: string | null;
  /** Lower the answer's length to what a budget has left, rather than refuse. */
  fit: boolean;
}

/** An allowance whose caller wants to know how much is left. */
export interface LimitedAllowance extends Allowance {
  /** `x-ratelimit-*` and what else the caller should know, as things stand. */
  headers(): Record<string, string>;
  /** The same, after finding out how things stand; what nobody can tell is left out. */
  left(): Promise<Record<string, string>>;
}

/** Keeps calls within limits. */
export interface Limiter {
  /** Opens the allowance of a call; nothing is taken yet. */
  open(caller: Caller): LimitedAllowance;
}

/** What happens to calls when the database is away and what is on lease is spent: a limit that somebody has set refuses. */
export type WithoutDatabase = "refuse" | "allow";

export interface LimiterOptions {
  rules: () => Soon<Rules>;
  leases: Leases;
  /** Length of the window of requests and tokens, in milliseconds. */
  windowMs: number;
  withoutDatabase: WithoutDatabase;
  log: Log;
  /** Milliseconds that only go forward. */
  now: () => number;
}

/** Creates the limiter of a process. */
export function createLimiter(options: LimiterOptions): Limiter {
  const { leases, windowMs, now } = options;
  const rates = new Map<string, RateMeter>();
  /** Meters of levels, as long as none of all has been given up. */
  const metered = new WeakMap<readonly Level[], { generation: number; meters: readonly RateMeter[] }>();
  let generation = 0;
  const budgets = new Map<string, BudgetMeter>();

  const rate = ({ name, bound }: Level): RateMeter => {
    let meter = rates.get(name);
    if (!meter) {
      const window = name.startsWith("concurrency ") ? 0 : windowMs;
      const idle = () => {
        rates.delete(name);
        generation++;
      };
      meter = createRateMeter({ name, bound, windowMs: window, leases, now, idle });
      rates.set(name, meter);
    } else if (meter.bound !== bound) {
      if (bound < meter.bound) meter.pool.recall();
      meter.bound = bound;
    }
    return meter;
  };

  const meters = (levels: readonly Level[]): readonly RateMeter[] => {
    const known = metered.get(levels);
    if (known?.generation === generation) return known.meters;
    const found = levels.map(rate);
    metered.set(levels, { generation, meters: found });
    return found;
  };

  const budget = (budgetId: Uuid, endUser: string): BudgetMeter => {
    const key = endUser === "" ? budgetId : `${budgetId}\n${endUser}`;
    const known = budgets.get(key);
    const endsAtMs = known?.period()?.endsAtMs ?? Number.POSITIVE_INFINITY;
    if (known && (endsAtMs === Number.POSITIVE_INFINITY || endsAtMs > leases.databaseNow())) return known;
    known?.retire();
    const meter: BudgetMeter = createBudgetMeter({
      budgetId,
      endUser,
      leases,
      now,
      idle: () => {
        if (budgets.get(key) === meter) budgets.delete(key);
      },
    });
    budgets.set(key, meter);
    return meter;
  };

  const unchecked: Shared["unchecked"] =
    options.withoutDatabase === "allow"
      ? ({ id }) => options.log.warn("a budget was not checked: the database is away", { budget: id })
      : undefined;
  const shared: Shared = {
    ...options,
    bounds: createBoundsOf(),
    meters,
    budget,
    warned: new Set(),
    unchecked,
  };
  return {
    open: (caller) => new CallAllowance(caller, shared),
  };
}
