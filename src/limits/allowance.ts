import { LimitError } from "../errors/app-error.ts";
import type { Permit } from "../gateway/allowance.ts";
import type { Body } from "../gateway/body.ts";
import { type TokenBound, tokenBound, withOutputMax } from "../gateway/bound.ts";
import type { Target } from "../gateway/target.ts";
import type { Uuid } from "../id.ts";
import { fromUnits } from "../metering/money.ts";
import type { CallRecord, Charges, Refusal } from "../metering/record.ts";
import type { Soon } from "../soon.ts";
import type { BudgetRow } from "../sql/budget.ts";
import {
  type Account,
  cancelReservation,
  chargesOf,
  newAccount,
  type Reservation,
  reserve,
  reserveNow,
  settleAccount,
  type Terms,
} from "./account.ts";
import type { BudgetMeter } from "./budget-meter.ts";
import { limitHeaders } from "./headers.ts";
import type { Bounds, BoundsOf, Level, Levels } from "./levels.ts";
import type { Caller, LimitedAllowance, LimiterOptions } from "./limiter.ts";
import type { RateMeter } from "./rate-meter.ts";
import { refuseRate, unavailable } from "./refusal.ts";
import type { RateLimits, Rules } from "./rules.ts";

/** What all allowances of a process share. */
export interface Shared extends LimiterOptions {
  bounds: BoundsOf;
  /** Of each level its meter. */
  meters: (levels: readonly Level[]) => readonly RateMeter[];
  budget: (budgetId: Uuid, endUser: string) => BudgetMeter;
  /** Warnings that have been logged. */
  warned: Set<string>;
  /** What to do where a budget cannot be checked; `undefined` is to refuse. */
  unchecked: Terms["unchecked"];
}

/** The same amount, taken of some rates. */
interface Taken {
  meters: readonly RateMeter[];
  amount: number;
}

const nothing: Taken = { meters: [], amount: 0 };

const giveBack = ({ meters, amount }: Taken) => {
  for (const meter of meters) meter.pool.giveCount(amount);
};

/** What one attempt has taken, and the leave for it. A class, as its call's is. */
class Attempt implements Permit {
  readonly target: Target;
  body: Body;
  readonly bound: TokenBound;
  slots = nothing;
  requests = nothing;
  tokens = nothing;
  reservation: Reservation;
  cancelled = false;
  readonly #of: CallAllowance;

  constructor(of: CallAllowance, target: Target, body: Body) {
    this.#of = of;
    this.target = target;
    this.body = body;
    this.bound = tokenBound(body, target);
    this.reservation = { parts: [], output: this.bound.output };
  }

  /** The most tokens that it may use, with what its budgets have room for. */
  get tokensMax(): number {
    const { input, answers } = this.bound;
    return input + answers * this.reservation.output;
  }

  get worst(): Permit["worst"] {
    const { input, answers } = this.bound;
    const { parts, output } = this.reservation;
    return parts.length === 0 ? undefined : { promptTokens: input, completionTokens: answers * output };
  }

  freeSlots(): void {
    giveBack(this.slots);
    this.slots = nothing;
  }

  cancel(): void {
    if (this.cancelled) return;
    this.cancelled = true;
    this.freeSlots();
    giveBack(this.requests);
    giveBack(this.tokens);
    cancelReservation(this.reservation);
    this.#of.forgetCharges();
  }
}

const spend = ({ meters, amount }: Taken, spent: number, at: number) => {
  for (const meter of meters) meter.spend(amount, spent, at);
};

/** The allowance of one call. A class, since one is made for every call: its methods are made once. */
export class CallAllowance implements LimitedAllowance {
  readonly #caller: Caller;
  readonly #shared: Shared;
  #rules: Rules | undefined;
  #bounds: Bounds | undefined;
  /** What the model is under that was asked last. */
  #model: Levels | undefined;
  #accounts: readonly Account[] = [];
  /** What the accounts come to, until something is kept back of them, or no more. */
  #charges: Charges | undefined;
  #slots = nothing;
  #requests = nothing;
  readonly #attempts: Attempt[] = [];
  /** When the call was let in, by the database's clock. */
  #admittedAt = 0;
  #outputMax: number | undefined;
  #settled = false;

  constructor(caller: Caller, shared: Shared) {
    this.#caller = caller;
    this.#shared = shared;
  }

  get charges(): Charges | undefined {
    if (this.#accounts.length === 0) return undefined;
    this.#charges ??= chargesOf(this.#accounts);
    return this.#charges;
  }

  /** What is kept back has changed. */
  forgetCharges(): void {
    this.#charges = undefined;
  }

  /** What of the rules concerns the caller. */
  #find(rules: Rules): Bounds {
    this.#rules = rules;
    this.#bounds = this.#shared.bounds.caller(rules, this.#caller);
    return this.#bounds;
  }

  /** Whether to go on where nobody can tell. */
  #goesOn(set: boolean): boolean {
    return !set || this.#shared.withoutDatabase === "allow";
  }

  /** Takes of all levels what is here; `undefined`, and nothing taken, where one of them has too little. */
  #takeNow(field: keyof RateLimits, levels: readonly Level[], amount: number): Taken | undefined {
    if (levels.length === 0) return nothing;
    const { leases } = this.#shared;
    if (!(field === "concurrency" ? leases.slotsValid() : leases.valid())) return undefined;
    const meters = this.#shared.meters(levels);
    let taken = 0;
    for (const { pool } of meters) {
      if (!pool.tryTakeCount(amount)) {
        giveBack({ meters: meters.slice(0, taken), amount });
        return undefined;
      }
      taken++;
    }
    return { meters, amount };
  }

  /** Takes of all levels, or of none. @throws {LimitError} */
  async #take(field: keyof RateLimits, levels: readonly Level[], amount: number): Promise<Taken> {
    const { leases, windowMs } = this.#shared;
    const all = this.#shared.meters(levels);
    const meters: RateMeter[] = [];
    for (const [place, level] of levels.entries()) {
      const meter = all[place] as RateMeter;
      const result = await meter.pool.take(BigInt(amount));
      if (typeof result !== "bigint") {
        if ("away" in result && this.#goesOn(level.set)) continue;
        giveBack({ meters, amount });
        if ("away" in result) throw unavailable();
        const databaseNow = leases.databaseNow();
        throw refuseRate(field, level, { state: result.short, asked: BigInt(amount), windowMs, databaseNow });
      }
      meters.push(meter);
    }
    return { meters, amount };
  }

  /** Whose period of the budget counts: where each user has it, each has their own. */
  #userOf({ scope, end_user }: BudgetRow): string {
    return scope === "user" && end_user === null ? (this.#caller.endUser ?? "") : "";
  }

  /** The budgets that count, each in its current period; `false`, and none of them, where a period is not known here. */
  #openAccountsNow(budgets: Bounds["budgets"]): boolean {
    const accounts: Account[] = [];
    for (const budget of budgets) {
      const endUser = this.#userOf(budget);
      const meter = this.#shared.budget(budget.id, endUser);
      const period = meter.period();
      if (!period) return false;
      if (!meter.gone) accounts.push(newAccount({ budget, meter, endUser, period }));
    }
    for (const { meter } of accounts) meter.calls++;
    this.#accounts = accounts;
    return true;
  }

  /** The same, asking for periods that are not known. @throws {LimitError} */
  async #openAccounts(budgets: Bounds["budgets"]): Promise<void> {
    const accounts: Account[] = [];
    this.#accounts = accounts;
    for (const budget of budgets) {
      const endUser = this.#userOf(budget);
      const meter = this.#shared.budget(budget.id, endUser);
      if (!meter.period()) {
        try {
          await meter.pool.known();
        } catch {
          if (this.#goesOn(budget.hard)) continue;
          throw unavailable();
        }
      }
      const period = meter.period();
      if (!period || meter.gone) continue;
      meter.calls++;
      accounts.push(newAccount({ budget, meter, endUser, period }));
    }
  }

  /** What counts now: the limits of the caller, and those of the model that was asked last. */
  #levels({ levels }: Bounds): readonly Levels[] {
    return this.#model ? [levels, this.#model] : [levels];
  }

  async #look(): Promise<void> {
    const all = this.#levels(this.#find(await this.#shared.rules())).flatMap(({ requests, tokens }) => [
      ...requests,
      ...tokens,
    ]);
    await Promise.allSettled(this.#shared.meters(all).map(({ pool }) => pool.known()));
  }

  admit(): Soon<void> {
    const rules = this.#shared.rules();
    return !(rules instanceof Promise) && this.#admitNow(this.#find(rules)) ? undefined : this.#admit(rules);
  }

  /** Lets the call in where all that it needs is here; otherwise nothing is taken. */
  #admitNow({ levels, budgets }: Bounds): boolean {
    const slots = this.#takeNow("concurrency", levels.concurrency, 1);
    const requests = slots && this.#takeNow("requests", levels.requests, 1);
    if (slots && requests && (budgets.length === 0 || this.#openAccountsNow(budgets))) {
      this.#enter(slots, requests);
      return true;
    }
    giveBack(slots ?? nothing);
    giveBack(requests ?? nothing);
    return false;
  }

  /** The same, asking for what is not here. @throws {LimitError} */
  async #admit(rules: Soon<Rules>): Promise<void> {
    const { levels, budgets } = this.#find(await rules);
    const slots = await this.#take("concurrency", levels.concurrency, 1);
    let requests = nothing;
    try {
      requests = await this.#take("requests", levels.requests, 1);
      await this.#openAccounts(budgets);
    } catch (error) {
      giveBack(slots);
      giveBack(requests);
      throw error;
    }
    this.#enter(slots, requests);
  }

  /** The call is in. */
  #enter(slots: Taken, requests: Taken): void {
    this.#slots = slots;
    this.#requests = requests;
    this.#admittedAt = this.#shared.leases.databaseNow();
  }

  attempt(target: Target, body: Body): Soon<Permit> {
    this.#model = this.#shared.bounds.model(this.#rules as Rules, target.name);
    this.forgetCharges();
    // One attempt comes after the other: those before are no calls at once any more.
    for (const earlier of this.#attempts) earlier.freeSlots();
    return this.#startNow(target, body) ?? this.#start(target, body);
  }

  /** What an attempt's budgets are; counting tokens costs nothing: it needs no price and no room. */
  #chargedFor({ operation }: Body): readonly Account[] {
    return operation === "count_tokens" ? [] : this.#accounts;
  }

  get #terms(): Terms {
    const { unchecked } = this.#shared;
    const at = new Date(this.#admittedAt);
    return { rules: this.#rules as Rules, at, fit: this.#caller.fit, unchecked };
  }

  /** The limits of tokens that an attempt at the model is under. */
  get #tokenLevels(): readonly Level[] {
    const { tokens } = (this.#bounds as Bounds).levels;
    const ofModel = (this.#model as Levels).tokens;
    return ofModel.length > 0 ? [...tokens, ...ofModel] : tokens;
  }

  /** Starts an attempt where all that it needs is here; otherwise nothing is taken. @throws {LimitError} a budget cannot tell. */
  #startNow(target: Target, body: Body): Permit | undefined {
    const own = new Attempt(this, target, body);
    let enough = false;
    try {
      enough = this.#takeAllNow(own);
    } finally {
      if (!enough) own.cancel();
    }
    return enough ? this.#started(own) : undefined;
  }

  #takeAllNow(own: Attempt): boolean {
    const { target, body, bound } = own;
    const { concurrency, requests } = this.#model as Levels;
    const slots = this.#takeNow("concurrency", concurrency, 1);
    if (!slots) return false;
    own.slots = slots;
    const calls = this.#takeNow("requests", requests, 1);
    if (!calls) return false;
    own.requests = calls;
    const accounts = this.#chargedFor(body);
    if (accounts.length > 0) {
      const reservation = this.#shared.leases.valid() && reserveNow(accounts, target, bound, this.#terms);
      if (!reservation) return false;
      own.reservation = reservation;
    }
    const { tokensMax } = own;
    const tokens = tokensMax > 0 ? this.#takeNow("tokens", this.#tokenLevels, tokensMax) : nothing;
    if (!tokens) return false;
    own.tokens = tokens;
    return true;
  }

  /** The same, asking for what is not here. @throws {LimitError} */
  async #start(target: Target, body: Body): Promise<Permit> {
    const own = new Attempt(this, target, body);
    const { concurrency, requests } = this.#model as Levels;
    try {
      own.slots = await this.#take("concurrency", concurrency, 1);
      own.requests = await this.#take("requests", requests, 1);
      const accounts = this.#chargedFor(body);
      if (accounts.length > 0) own.reservation = await reserve(accounts, target, own.bound, this.#terms);
      const { tokensMax } = own;
      if (tokensMax > 0) own.tokens = await this.#take("tokens", this.#tokenLevels, tokensMax);
    } catch (error) {
      own.cancel();
      throw error;
    }
    return this.#started(own);
  }

  /** An attempt has all that it needs; its body may still want a limit on the answer's length. */
  #started(own: Attempt): Permit {
    this.#attempts.push(own);
    const { target, body, bound } = own;
    const { output, parts } = own.reservation;
    const shorter = output < bound.output;
    if (shorter) this.#outputMax = output;
    if (shorter || (parts.length > 0 && !bound.said)) own.body = withOutputMax(body, output, target);
    return own;
  }

  isTargets(error: unknown): boolean {
    if (!(error instanceof LimitError)) return false;
    const scope = (error.refusal as Refusal | undefined)?.scope;
    return error.reason === "model_unpriced" || error.reason === "currency_mismatch" || scope === "model";
  }

  settle(record: CallRecord): void {
    if (this.#settled) return;
    this.#settled = true;
    const { leases, windowMs } = this.#shared;
    const at = this.#admittedAt;
    // What was let in longer ago than a window counts no more.
    const counts = at > 0 && leases.databaseNow() - at < windowMs;
    giveBack(this.#slots);
    // Whatever ended it before anybody was asked: it was no call.
    const began = record.attempts.length > 0 || record.status === "ok";
    spend(this.#requests, counts && began ? this.#requests.amount : 0, at);
    for (const [place, attempt] of this.#attempts.entries()) {
      if (attempt.cancelled) continue;
      const { prompt_tokens = 0, completion_tokens = 0 } = record.attempts[place] ?? {};
      attempt.freeSlots();
      spend(attempt.requests, counts ? attempt.requests.amount : 0, at);
      spend(attempt.tokens, counts ? prompt_tokens + completion_tokens : 0, at);
    }
    for (const account of this.#accounts) settleAccount(account, record);
  }

  /** The share of a budget that is gone, where it is worth a word. */
  #warning({ budget, meter, period }: Account): string | undefined {
    const share = meter.pool.spentShare();
    if (share === undefined) return undefined;
    let passed: number | undefined;
    for (const at of budget.warn_at) if (at <= share) passed = at;
    if (passed === undefined) return undefined;
    const { warned, log } = this.#shared;
    const key = `${budget.id} ${period.startsAt} ${passed}`;
    if (!warned.has(key)) {
      warned.add(key);
      const { used, bound } = meter.pool.state();
      log.warn("a budget has reached a share of its amount", {
        budget: budget.id,
        name: budget.name,
        share: passed,
        used: fromUnits(used),
        amount: fromUnits(bound),
      });
    }
    return `${encodeURIComponent(budget.name)}=${share}`;
  }

  async left(): Promise<Record<string, string>> {
    try {
      await this.#look();
    } catch (error) {
      if (!(error instanceof LimitError)) throw error;
    }
    return this.headers();
  }

  headers(): Record<string, string> {
    if (!this.#bounds) return {};
    const { meters, leases, windowMs } = this.#shared;
    const levels = this.#levels(this.#bounds);
    const sinceMs = this.#admittedAt === 0 ? 0 : leases.databaseNow() - this.#admittedAt;
    const headers = limitHeaders(levels, meters, { windowMs, sinceMs });
    if (this.#outputMax !== undefined) headers["x-llmops-max-tokens"] = String(this.#outputMax);
    for (const account of this.#accounts) {
      const said = this.#warning(account);
      const before = headers["x-llmops-budget-warning"];
      if (said) headers["x-llmops-budget-warning"] = before === undefined ? said : `${before}, ${said}`;
    }
    return headers;
  }
}
