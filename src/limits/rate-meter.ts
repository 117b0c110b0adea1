import type { RateDealing, RateTold } from "../sql/lease.ts";
import type { Leases, RateParty } from "./leases.ts";
import { createPool, type Pool, type Told } from "./pool.ts";
import { createSpending } from "./spending.ts";

/** One rate of one subject, or its calls at once: this process's part of it. */
export interface RateMeter {
  readonly pool: Pool;
  /** The limit; a change counts from the next dealing on. */
  bound: number;
  /**
   * What was taken has been spent: `amount` of it at `at`, by the database's clock in milliseconds; the rest goes back.
   */
  spend(taken: number, amount: number, at: number): void;
}

/** How long a refusal holds, in shares of a window, and where there is none, in milliseconds. */
const holdOffShare = 512;
const holdOffSlotsMs = 20;
/** How long a meter that nobody uses takes part in the dealings, in milliseconds. */
const keepMs = 6 * 60_000;

/** Creates the meter of the counter `name`. `windowMs` is 0 for calls at once, of which nothing is spent. */
export function createRateMeter({
  name,
  bound,
  windowMs,
  leases,
  now,
  idle,
}: {
  name: string;
  bound: number;
  windowMs: number;
  leases: Leases;
  now: () => number;
  /** Nobody has used it for long, and it holds nothing. */
  idle: () => void;
}): RateMeter {
  const slots = windowMs === 0;
  const spending = createSpending(windowMs);
  /** On lease, taken or not, but for what was told to be spent. */
  let leased = 0n;
  let drained: ReturnType<typeof spending.drain> | undefined;
  let dealing: RateDealing | undefined;
  let inDoubt = false;

  const pool = createPool({
    now,
    valid: slots ? leases.slotsValid : leases.valid,
    talk: () => leases.talk(party),
    newOp: leases.newOp,
    holdOffMs: slots ? holdOffSlotsMs : windowMs / holdOffShare,
  });
  /** No more than the database can count with: what is beyond the limit is not granted anyway. */
  const counted = (amount: bigint) => String(amount > meter.bound ? meter.bound + 1 : amount);
  /** Taken, and neither given back nor told. */
  const out = () => leased - pool.state().free;

  const party: RateParty = {
    slots,
    compose() {
      if (inDoubt && dealing) return dealing;
      const { op, need, want, ahead, back } = pool.compose();
      leased -= back;
      drained = spending.drain();
      dealing = {
        name,
        bound: String(meter.bound),
        window_ms: windowMs,
        op,
        need: counted(need),
        want: counted(want),
        ahead: counted(ahead),
        back: String(back),
        spent_cells: drained.cells,
        spent_amounts: drained.amounts,
      };
      return dealing;
    },
    answered({ granted, used, held, wait_ms }: RateTold) {
      inDoubt = false;
      leased += BigInt(granted) - BigInt(drained?.total ?? 0);
      const told: Told = {
        granted: BigInt(granted),
        used: BigInt(used),
        held: BigInt(held),
        bound: BigInt(meter.bound),
        waitMs: wait_ms === null ? undefined : Number(wait_ms),
      };
      pool.answered(told);
    },
    doubted() {
      inDoubt = true;
      pool.doubted();
    },
    refused() {
      if (!inDoubt && drained && dealing) {
        spending.again(drained.cells, drained.amounts);
        leased += BigInt(dealing.back);
      }
      pool.refused();
    },
    lapse() {
      // What was told in doubt is told again: better twice than never.
      if (inDoubt && drained) spending.again(drained.cells, drained.amounts);
      inDoubt = false;
      pool.forfeit(out());
      leased = 0n;
    },
    keep() {
      if (inDoubt || pool.unusedMs() < keepMs || leased !== 0n || pool.state().free !== 0n) return true;
      idle();
      return false;
    },
  };

  const meter: RateMeter = {
    bound,
    pool,
    spend(taken, amount, at) {
      if (taken !== amount) pool.giveCount(taken - amount);
      if (amount > 0) spending.spend(amount, at);
    },
  };
  return meter;
}
