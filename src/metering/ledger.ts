import { newId } from "../id.ts";
import { type BookedSum, type LedgerAccount, type LedgerRow, LedgerRows } from "../sql/ledger.ts";
import { fromUnits, multiply, toUnits } from "./money.ts";
import type { CallRecord, Charge } from "./record.ts";
import { costsOf } from "./rollup.ts";

/** In which currency a charge is, and what others are worth in it. */
interface Worth {
  currency: string;
  rates?: Charge["rates"] | undefined;
}

/** What a call cost one of its budgets in one currency, at a rate; `amount` is in the budget's own. Exact decimals. */
type Part = Pick<LedgerAccount, "currency" | "rate"> & Pick<LedgerRow, "cost" | "amount">;

const partOf = ({ currency: own, rates }: Worth, currency: string, cost: string): Part => {
  // Without a rate it is told what it cost, and booked as nothing: only a soft budget comes to that.
  const rate = currency === own ? "1" : (rates?.[currency] ?? "0");
  return { currency, cost, rate, amount: rate === "1" ? cost : fromUnits(multiply(cost, rate)) };
};

/** What a call costs one of its budgets: a part for each currency in which it cost something. */
function partsOf(charge: Worth, record: Pick<CallRecord, "cost" | "currency" | "attempts">): Part[] {
  const { cost, currency, attempts } = record;
  // Nearly all calls.
  if (attempts.length <= 1)
    return cost === null || cost === "0" ? [] : [partOf(charge, currency ?? "", cost)];
  const parts: Part[] = [];
  for (const [each, costs] of costsOf(record)) {
    for (const one of costs) if (one !== "0") parts.push(partOf(charge, each, one));
  }
  return parts;
}

/** Parts together, in units of the budget's currency. */
function totalOf(parts: readonly Part[]): bigint {
  let total = 0n;
  for (const { amount } of parts) total += toUnits(amount);
  return total;
}

/** What a call costs one of its budgets in all, in units of the budget's currency. */
export const amountOf = (
  charge: Worth,
  record: Pick<CallRecord, "cost" | "currency" | "attempts">,
): bigint =>
  // Nearly all calls.
  record.attempts.length <= 1 && record.currency === charge.currency
    ? toUnits(record.cost ?? "0")
    : totalOf(partsOf(charge, record));

/** Far more than a number that stands for a decimal may be off by, as a share of it. */
const slack = 1e-9;

/** Whether parts are more than a bound. Nearly all are far less, which need not be worked out exactly. */
function isBeyond(parts: readonly Part[], bound: string): boolean {
  let about = 0;
  for (const { amount } of parts) about += Number(amount);
  return about > Number(bound) * (1 - slack) && totalOf(parts) > toUnits(bound);
}

/** Calls as rows of the ledger: one for each of their budgets and currencies. */
export class Bookings {
  readonly rows = new LedgerRows();
  readonly #kind: LedgerAccount["kind"];
  /** When they are booked, ISO 8601; where nobody has said, as each of their accounts comes. */
  readonly #at: string | undefined;
  /** By budget and user; each may have several periods, currencies and rates. */
  readonly #accounts = new Map<string, LedgerAccount[]>();

  constructor(kind: LedgerAccount["kind"], at?: string) {
    this.#kind = kind;
    this.#at = at;
  }

  add(record: CallRecord, charges: readonly Charge[]): void {
    for (const charge of charges) {
      const parts = partsOf(charge, record);
      const bound_exceeded = this.#kind === "call" && charge.bound !== null && isBeyond(parts, charge.bound);
      for (const part of parts) {
        const { cost, amount } = part;
        const account = this.#account(charge, part);
        this.rows.add({ account, id: newId(), request_id: record.id, cost, amount, bound_exceeded });
      }
    }
  }

  #account({ budget_id, end_user, starts_at }: Charge, { currency, rate }: Part): LedgerAccount {
    const key = end_user === "" ? budget_id : `${budget_id} ${end_user}`;
    let known = this.#accounts.get(key);
    if (!known) {
      known = [];
      this.#accounts.set(key, known);
    }
    for (const account of known) {
      if (account.starts_at === starts_at && account.currency === currency && account.rate === rate)
        return account;
    }
    const account = {
      budget_id,
      end_user,
      starts_at,
      kind: this.#kind,
      holder_id: null,
      currency,
      rate,
      created_at: this.#at ?? new Date().toISOString(),
    };
    known.push(account);
    return account;
  }

  /** Forgets them. */
  clear(): void {
    this.rows.clear();
    this.#accounts.clear();
  }
}

/** A call as it stands in its table. */
export interface ChargedRecord extends CallRecord {
  charges: readonly Charge[];
}

/**
 * The rows that turn what calls were `booked` at into what they cost now. `rate` tells what a currency is worth in a budget's at
 * the time of a call.
 */
export function correctionOf(
  booked: readonly BookedSum[],
  records: readonly ChargedRecord[],
  rate: (base: string, quote: string, at: Date) => string | undefined,
  at: string,
): LedgerRows {
  const all = new Bookings("reprice", at);
  for (const { request_id, cost, amount, ...account } of booked) {
    all.rows.add({
      account: { ...account, kind: "reprice", holder_id: null, created_at: at },
      id: newId(),
      request_id,
      cost: negated(cost),
      amount: negated(amount),
      bound_exceeded: false,
    });
  }
  for (const record of records) {
    const time = new Date(record.created_at);
    const charges = record.charges.map((charge) => {
      const rates: Record<string, string> = { ...charge.rates };
      for (const currency of costsOf(record).keys()) {
        const value = rates[currency] ?? rate(currency, charge.currency, time);
        if (value !== undefined) rates[currency] = value;
      }
      return { ...charge, rates };
    });
    all.add(record, charges);
  }
  return all.rows;
}

const negated = (amount: string): string => fromUnits(-toUnits(amount));
