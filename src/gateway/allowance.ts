import type { CallRecord, Charges } from "../metering/record.ts";
import type { Soon } from "../soon.ts";
import type { Body } from "./body.ts";
import type { Target } from "./target.ts";

/** The most that an attempt can use, in tokens. */
export interface WorstCase {
  promptTokens: number;
  completionTokens: number;
}

/** Leave to ask a target once. */
export interface Permit {
  /** The body as it may go out: with a limit on the answer's length where a budget needs one. */
  body: Body;
  /** What was kept back of hard budgets, in tokens: what counts where nobody will ever know better. */
  worst: WorstCase | undefined;
  /** The target was not asked, or does not bill for what it did: what was kept back for it is free again. */
  cancel(): void;
}

/** What one call may use of the limits that it is under; made by whoever knows them. */
export interface Allowance {
  /** The budgets that the call counts towards, if any; complete for an attempt once it has its permit. The same until they change. */
  readonly charges: Charges | undefined;
  /** Lets the call in. @throws {LimitError} a limit of its caller's does not. */
  admit(): Soon<void>;
  /**
   * Lets `target` be asked once, and keeps back what that may use and cost at the most.
   * @throws {LimitError} that is more than there is. `of` the target, where another may still do.
   */
  attempt(target: Target, body: Body): Soon<Permit>;
  /** Whether an error of `attempt` is about its target and says nothing of others. */
  isTargets(error: unknown): boolean;
  /** The call is over, and this is what it used. */
  settle(record: CallRecord): void;
}
