import { LimitError } from "../errors/app-error.ts";
import type { TokenBound } from "../gateway/bound.ts";
import type { Target } from "../gateway/target.ts";
import { type Dearest, dearer, dearestAt } from "../metering/cost.ts";
import { amountOf } from "../metering/ledger.ts";
import { fromUnits, multiply } from "../metering/money.ts";
import type { CallRecord, Charge, Charges } from "../metering/record.ts";
import type { BudgetRow } from "../sql/budget.ts";
import type { BudgetMeter, Period } from "./budget-meter.ts";
import type { Shortage } from "./pool.ts";
import { refuseBudget, unavailable } from "./refusal.ts";
import type { Rules } from "./rules.ts";

/** A budget that one call counts towards, in the period in which it was let in. Amounts are in 10^-18 of its currency. */
export interface Account {
  readonly budget: BudgetRow;
  readonly meter: BudgetMeter;
  readonly endUser: string;
  readonly period: Period;
  /** What one unit of other currencies is worth, where that was needed. */
  rates: Record<string, string> | undefined;
  /** Kept back for attempts that may be billed. */
  reserved: bigint;
  /** Something went on of which nothing was kept back, since nobody could tell what is left. */
  unchecked: boolean;
}

/** The account of a call that begins. */
export const newAccount = ({
  budget,
  meter,
  endUser,
  period,
}: Pick<Account, "budget" | "meter" | "endUser" | "period">): Account => ({
  budget,
  meter,
  endUser,
  period,
  rates: undefined,
  reserved: 0n,
  unchecked: false,
});

/** What an attempt has kept back of a budget. */
interface Part {
  account: Account;
  prices: Dearest;
  amount: bigint;
}

/** What an attempt has kept back of all budgets, and the longest answer that they have room for, in tokens. */
export interface Reservation {
  parts: readonly Part[];
  output: number;
}

function chargeOf({ budget, endUser, period, rates, reserved, unchecked }: Account): Charge {
  const charge: Charge = {
    budget_id: budget.id,
    end_user: endUser,
    starts_at: period.startsAt,
    currency: budget.currency,
    bound: budget.hard && !unchecked ? fromUnits(reserved) : null,
  };
  return rates ? { ...charge, rates } : charge;
}

/** How the JSON of a charge begins; the same for all calls of a period. */
const heads = new WeakMap<Period, string>();

function headOf(period: Period, { budget_id, end_user, starts_at }: Charge): string {
  let head = heads.get(period);
  if (head === undefined) {
    head = JSON.stringify({ budget_id, end_user, starts_at }).slice(0, -1);
    heads.set(period, head);
  }
  return head;
}

/** The charges that the call's record carries. */
export function chargesOf(accounts: readonly Account[]): Charges {
  const list: Charge[] = [];
  let json = "";
  for (const account of accounts) {
    const charge = chargeOf(account);
    const { currency, bound, rates } = charge;
    list.push(charge);
    json += `${json === "" ? "[" : ","}${headOf(account.period, charge)},"currency":"${currency}","bound":${
      bound === null ? "null" : `"${bound}"`
    }${rates ? `,"rates":${JSON.stringify(rates)}` : ""}}`;
  }
  return { list, json: `${json}]` };
}

/** Books what a call cost, and gives back the rest of what was kept back for it. */
export function settleAccount(account: Account, record: CallRecord): void {
  const { budget, meter, rates, reserved } = account;
  meter.pool.give(reserved - amountOf({ currency: budget.currency, rates }, record));
  meter.calls--;
}

/** The same in the budget's currency; `undefined` where nobody has set what that is worth. */
function worthOf(account: Account, dearest: Dearest, { rules, at }: Terms): Dearest | undefined {
  const { budget, rates } = account;
  const { currency, prompt, completion } = dearest;
  if (currency === budget.currency) return dearest;
  const value = rates?.[currency] ?? rules.rate(currency, budget.currency, at);
  if (value === undefined) return undefined;
  account.rates = { ...rates, [currency]: value };
  return {
    prompt: multiply(fromUnits(prompt), value),
    completion: multiply(fromUnits(completion), value),
    currency: budget.currency,
  };
}

/**
 * What tokens may cost in the budget's currency; `undefined` where a soft budget cannot know.
 * @throws {LimitError} the target has no price, or one in a currency whose worth nobody has set.
 */
function pricesOf(account: Account, target: Target, input: number, terms: Terms): Dearest | undefined {
  const { budget } = account;
  let most: Dearest | undefined;
  for (const dearest of dearestAt(target.prices, terms.at, input)) {
    const worth = worthOf(account, dearest, terms);
    if (worth) {
      most = most ? dearer(most, worth) : worth;
      continue;
    }
    if (!budget.hard) return undefined;
    const params = {
      model: target.name,
      from: dearest.currency,
      to: budget.currency,
      budget: budget.name,
    };
    throw new LimitError("currency_mismatch", { params });
  }
  if (!most && budget.hard)
    throw new LimitError("model_unpriced", { params: { model: target.name, budget: budget.name } });
  return most;
}

/** Gives back what an attempt had kept back. */
export function cancelReservation({ parts }: Reservation): void {
  for (const { account, amount } of parts) {
    account.meter.pool.give(amount);
    account.reserved -= amount;
  }
}

const isShort = (result: bigint | Shortage): result is Shortage => typeof result !== "bigint";

/** On which terms an attempt keeps something back. */
export interface Terms {
  rules: Rules;
  /** When the call was let in. */
  at: Date;
  /** Take what there is of a shorter answer. */
  fit: boolean;
  /** What to do where the database is away; without it, refuse. */
  unchecked: ((budget: BudgetRow) => void) | undefined;
}

/** What an attempt costs at the most whose answers have `output` tokens each. */
const worstOf = ({ prompt, completion }: Dearest, { input, answers }: TokenBound, output: number): bigint =>
  prompt * BigInt(input) + completion * BigInt(answers) * BigInt(output);

/** Keeps a part back that has been taken. */
function keepBack(parts: Part[], part: Part): void {
  parts.push(part);
  part.account.reserved += part.amount;
}

/**
 * Keeps back the worst that an attempt may cost, of every hard budget, where this process has enough of each on lease
 * (whoever calls has seen that it holds); `undefined`, and nothing kept back, where it has not.
 * @throws {LimitError} a budget cannot tell.
 */
export function reserveNow(
  accounts: readonly Account[],
  target: Target,
  bound: TokenBound,
  terms: Terms,
): Reservation | undefined {
  const { output } = bound;
  const parts: Part[] = [];
  let enough = false;
  try {
    for (const account of accounts) {
      const prices = pricesOf(account, target, bound.input, terms);
      if (!account.budget.hard || !prices) continue;
      const amount = worstOf(prices, bound, output);
      if (!account.meter.pool.tryTake(amount)) return undefined;
      keepBack(parts, { account, prices, amount });
    }
    enough = true;
    return { parts, output };
  } finally {
    if (!enough) cancelReservation({ parts, output });
  }
}

/**
 * The same, asking the database for what is not here; with `fit`, what there is of a shorter answer.
 * @throws {LimitError} a budget has too little left, or cannot tell.
 */
export async function reserve(
  accounts: readonly Account[],
  target: Target,
  bound: TokenBound,
  terms: Terms,
): Promise<Reservation> {
  const parts: Part[] = [];
  let { output } = bound;
  try {
    for (const account of accounts) {
      const { budget, meter, period } = account;
      const prices = pricesOf(account, target, bound.input, terms);
      if (!budget.hard || !prices) continue;
      const amount = worstOf(prices, bound, output);
      const least = terms.fit && output > bound.outputMin ? worstOf(prices, bound, bound.outputMin) : amount;
      const result = await meter.pool.take(amount, least);
      if (isShort(result)) {
        if ("short" in result) {
          const resetsAt = Number.isFinite(period.endsAtMs) ? new Date(period.endsAtMs).toISOString() : null;
          throw refuseBudget(budget, { state: result.short, asked: least, resetsAt });
        }
        if (!terms.unchecked) throw unavailable();
        terms.unchecked(budget);
        account.unchecked = true;
        continue;
      }
      keepBack(parts, { account, prices, amount: result });
      if (result < amount) {
        const left = result - prices.prompt * BigInt(bound.input);
        output = Math.min(output, Number(left / (prices.completion * BigInt(bound.answers))));
      }
    }
  } catch (error) {
    cancelReservation({ parts, output });
    throw error;
  }
  if (output < bound.output) shorten(parts, (prices) => worstOf(prices, bound, output));
  return { parts, output };
}

/** The shortest answer counts: gives back what others have kept back beyond it. */
function shorten(parts: readonly Part[], enoughFor: (prices: Dearest) => bigint): void {
  for (const part of parts) {
    const enough = enoughFor(part.prices);
    if (enough >= part.amount) continue;
    part.account.meter.pool.give(part.amount - enough);
    part.account.reserved -= part.amount - enough;
    part.amount = enough;
  }
}
