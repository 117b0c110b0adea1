import type { Guard } from "../database/health.ts";
import type { Sql } from "../database/pool.ts";
import { createRisingIds, type Uuid } from "../id.ts";
import { errorChain, type Log } from "../log.ts";
import {
  type BudgetDealing,
  type BudgetTold,
  deleteLeaseHolder,
  type RateDealing,
  type RateTold,
  updateBudgetLeaseMany,
  updateLeaseHolder,
  updateRateLeaseMany,
} from "../sql/lease.ts";

/** How often a process says that it lives, in milliseconds. */
const beatMs = 2000;
/** How long what it holds is its own without a further word, in milliseconds: of rates and budgets, and of calls at once. */
const leaseMs = 60_000;
const slotsMs = 8000;
/** How long before that it stops spending, in milliseconds. */
const marginMs = 1000;
/** How much the distance to the database's clock may grow from one look to the next, in milliseconds: clocks drift. */
const driftMs = 0.05;

/** Somebody who deals with the database for a part of a limit. */
interface Party<D, T> {
  compose(): D;
  answered(told: T): void;
  doubted(): void;
  refused(): void;
  /** Deals with the next beat too; what does not is forgotten. */
  keep(): boolean;
}

export type RateParty = Party<RateDealing, RateTold> & {
  /** What the process held is forfeit. `slots` where it is calls at once. */
  readonly slots: boolean;
  lapse(): void;
};
export type BudgetParty = Party<BudgetDealing, BudgetTold>;

/** The leases of this process: one conversation with the database, in which all have their say at once. */
export interface Leases extends AsyncDisposable {
  /** Deals for a party. Resolves when it has been answered. @throws where the database is away. */
  talk(party: RateParty | BudgetParty): Promise<void>;
  /** A name for a dealing, above all before: the database takes a lower one for one that has come late. */
  newOp(): Uuid;
  /** Whether rates and budgets that are held may be spent; and calls at once. */
  valid(): boolean;
  slotsValid(): boolean;
  /** The database's clock, in milliseconds since 1970; not behind it, and ahead by a round trip at most. */
  databaseNow(): number;
}

export interface LeasesOptions {
  sql: Sql;
  /** Makes functions end while the database is away, rather than wait for it. */
  guard: Guard;
  /** The journal's id: what it holds is booked to this process until the journal has been brought in. */
  holderId: Uuid;
  /** For people: which machine and process. */
  name: string;
  /** Whether everything that was spent is written down, so that what is left may go to others. */
  settled: () => boolean;
  /** What is held could not be given up: the journal has to stay, so that it is by whoever brings it in. */
  unreleased: () => void;
  log: Log;
  /** Milliseconds that only go forward. */
  now: () => number;
}

const isRate = (party: RateParty | BudgetParty): party is RateParty => "lapse" in party;

/** Whether the database answered that it did not do what it was asked, and is there: nothing of the statement has effect. */
const wasRolledBack = (error: unknown): boolean =>
  error instanceof Error && "severity" in error && error.severity === "ERROR";

/** Opens the leases of this process. @throws where the database is away. */
export async function openLeases(options: LeasesOptions): Promise<Leases> {
  const { sql, guard, holderId, name, settled, unreleased, log, now } = options;
  const database = guard({
    beat: () => updateLeaseHolder(sql, { id: holderId, name, leaseMs, slotsMs }),
    rates: (dealings: readonly RateDealing[]) => updateRateLeaseMany(sql, holderId, dealings),
    budgets: (dealings: readonly BudgetDealing[]) => updateBudgetLeaseMany(sql, holderId, dealings),
    release: () => deleteLeaseHolder(sql, holderId),
  });
  const parties = new Set<RateParty | BudgetParty>();
  let waiting = new Set<RateParty | BudgetParty>();
  let beatAt = Number.NEGATIVE_INFINITY;
  let validUntil = Number.NEGATIVE_INFINITY;
  let slotsValidUntil = Number.NEGATIVE_INFINITY;
  let aheadMs = Number.POSITIVE_INFINITY;
  /** The round that is under way, or was the last. */
  let running = Promise.resolve();
  let gathering: Promise<void> | undefined;
  let ended = false;
  let away = false;

  /**
   * The database's clock read `nowMs` after `sentAt`, here: it cannot be further ahead of ours than that. Where it is ahead by
   * more than was known, though that was before now, ours stood still: the machine has slept.
   */
  const look = (nowMs: string, sentAt: number) => {
    const most = Number(nowMs) + 1 - sentAt;
    const hasSlept = Number(nowMs) - now() > aheadMs;
    aheadMs = hasSlept ? most : Math.min(aheadMs + driftMs, most);
  };

  const beat = async (present: Set<RateParty | BudgetParty>) => {
    const sentAt = now();
    const { lapsed, slots_lapsed, now_ms } = await database.beat();
    look(now_ms, sentAt);
    for (const party of parties) {
      if (isRate(party) && (party.slots ? slots_lapsed : lapsed)) party.lapse();
    }
    beatAt = sentAt;
    validUntil = sentAt + leaseMs - marginMs;
    slotsValidUntil = sentAt + slotsMs - marginMs;
    for (const party of parties) {
      if (party.keep()) present.add(party);
      else if (!present.has(party)) parties.delete(party);
    }
  };

  const deal = async <D, T>(
    some: readonly Party<D, T>[],
    ask: (dealings: readonly D[]) => Promise<readonly T[]>,
  ): Promise<readonly T[]> => {
    if (some.length === 0) return [];
    try {
      const told = await ask(some.map((party) => party.compose()));
      for (const [place, party] of some.entries()) party.answered(told[place] as T);
      return told;
    } catch (error) {
      const nothingDone = wasRolledBack(error);
      for (const party of some) {
        if (nothingDone) party.refused();
        else party.doubted();
      }
      throw error;
    }
  };

  const talkOnce = async () => {
    const present = waiting;
    waiting = new Set();
    if (now() - beatAt >= beatMs) await beat(present);
    const all = [...present];
    const sentAt = now();
    // Both to their end: the next round must not begin while a part of this one is under way.
    const [rates, budgets] = await Promise.allSettled([
      deal(all.filter(isRate), database.rates),
      deal(
        all.filter((party): party is BudgetParty => !isRate(party)),
        database.budgets,
      ),
    ]);
    if (rates.status === "rejected") throw rates.reason;
    for (const { now_ms } of rates.value) look(now_ms, sentAt);
    if (budgets.status === "rejected") throw budgets.reason;
    if (away) log.info("limits are shared with other processes again");
    away = false;
  };

  const fail = (error: unknown) => {
    if (!away) log.warn("limits cannot be shared: the database is away", { cause: errorChain(error) });
    away = true;
  };

  /** Everybody who comes before the next round begins takes part in it. */
  const talk = (party?: RateParty | BudgetParty): Promise<void> => {
    if (party) {
      parties.add(party);
      waiting.add(party);
    }
    gathering ??= running.then(() => {
      gathering = undefined;
      const round = talkOnce();
      running = round.catch(() => {});
      return round;
    });
    return gathering;
  };

  await talk();
  let timer: Timer | undefined;
  const schedule = () => {
    timer = setTimeout(() => {
      void talk()
        .catch(fail)
        .finally(() => ended || schedule());
    }, beatMs);
    timer.unref();
  };
  schedule();

  return {
    talk: async (party) => {
      try {
        await talk(party);
      } catch (error) {
        fail(error);
        throw error;
      }
    },
    newOp: createRisingIds(),
    valid: () => now() < validUntil,
    slotsValid: () => now() < slotsValidUntil,
    databaseNow: () => now() + aheadMs,
    async [Symbol.asyncDispose]() {
      ended = true;
      clearTimeout(timer);
      await running;
      validUntil = Number.NEGATIVE_INFINITY;
      slotsValidUntil = Number.NEGATIVE_INFINITY;
      if (!settled()) return unreleased();
      await database.release().catch((error) => {
        unreleased();
        log.warn("what was held of limits could not be given up; it is when the journal is brought in", {
          cause: errorChain(error),
        });
      });
    },
  };
}
