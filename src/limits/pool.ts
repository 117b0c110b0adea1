import type { Uuid } from "../id.ts";

/** What a pool wants of the database, as its kind puts it into words. */
export interface Asking {
  op: Uuid;
  need: bigint;
  want: bigint;
  ahead: bigint;
  back: bigint;
}

/** What the database says of a limit. */
export interface Told {
  granted: bigint;
  /** Spent, as far as it is known there. */
  used: bigint;
  /** On lease, by all processes together. */
  held: bigint;
  bound: bigint;
  /** Until there is room for what was asked, in milliseconds; `undefined` where nobody can tell. */
  waitMs: number | undefined;
}

/** A limit's state at a moment, as this process knows it. */
export interface PoolState extends Told {
  /** Of `held`, what this process could still spend. */
  free: bigint;
}

const room = ({ bound, used, held }: Told): bigint => bound - used - held;

const positive = (amount: bigint): bigint => (amount > 0n ? amount : 0n);

/** What of a limit this process could take now, with `free` of what is held; never below 0. */
export const leftOf = (told: Told, free: bigint): bigint => positive(room(told) + free);

/** Why nothing was taken: there is no room; or nobody can tell, since the database is away. */
export type Shortage = { short: PoolState } | { away: true };

/** A part of a limit that this process has on lease, to spend without asking. */
export interface Pool {
  /** Takes `amount` at once, if it is here; whoever calls has seen that the lease holds. */
  tryTake(amount: bigint): boolean;
  /** The same of what is counted by numbers, which takes a third of the time. */
  tryTakeCount(count: number): boolean;
  /**
   * Takes `amount`, asking for more where it is not here; with `least` also what there is, from that much on. Returns what was
   * taken.
   */
  take(amount: bigint, least?: bigint): Promise<bigint | Shortage>;
  /** Gives back what was taken and is not needed; less than nothing where more was spent than was taken. */
  give(amount: bigint): void;
  giveCount(count: number): void;
  /** The limit is lower now: what is here goes back before anything is taken. */
  recall(): void;
  /** What is known. */
  state(): PoolState;
  /** What of the limit could be taken now; never below 0. */
  left(): number;
  /** What of the limit is spent, as far as it is known: a share of 1, in ten thousandths; `undefined` of a limit of nothing. */
  spentShare(): number | undefined;
  /** Sees to it that something is known. @throws where the database is away. */
  known(): Promise<PoolState>;
}

/** The side of a pool that deals with the database; one dealing at a time. */
export interface PoolDealer {
  /** What to ask for now; the same again where the outcome of the last is not known. */
  compose(): Asking;
  answered(told: Told): void;
  /** The database did not answer: whether it did what it was asked is in doubt. */
  doubted(): void;
  /** The database has refused to do it: nothing of it was done. */
  refused(): void;
  /** Everything on lease is forfeit, though `out` of it is still in use here. */
  forfeit(out: bigint): void;
  /** `amount` of the lease has been taken away. */
  withdraw(amount: bigint): void;
  /** Milliseconds since it was last used. */
  unusedMs(): number;
  /** Nothing will be taken any more: what is left goes back. */
  drop(): void;
}

export interface PoolOptions {
  /** Milliseconds that only go forward. */
  now: () => number;
  /** Whether the lease may still be spent. */
  valid: () => boolean;
  /** Deals with the database, which calls {@link PoolDealer}; resolves when it has. @throws where it is away. */
  talk: () => Promise<void>;
  /** Names a dealing; above all names before. */
  newOp: () => Uuid;
  /** How long to take a refusal for the answer, in milliseconds. */
  holdOffMs: number;
}

/** Most that is loose: up to there numbers are exact. */
const looseMax = BigInt(Number.MAX_SAFE_INTEGER);

/** A use after which more is asked for ahead of need, and how many times that. */
const aheadFactor = 16n;
/** Between two askings, in milliseconds: sooner, twice as much is asked for; later, half as much. */
const growMs = 30_000;
const shrinkMs = 120_000;
/** How long something unused is kept where there is room, and where there is little, in milliseconds. */
const keepMs = 5 * 60_000;
const keepShortMs = 1000;

/** A caller that waits: for how much, what it would take at the least, and what it was given. */
interface Waiter {
  amount: bigint;
  least: bigint;
  got?: bigint;
  /** It waits no more: what it is granted is nobody's. */
  left?: true;
}

/** The least that any of them would take. */
function leastOf(waiters: readonly Waiter[]): bigint {
  let least = waiters[0]?.least ?? 0n;
  for (const waiter of waiters) if (waiter.least < least) least = waiter.least;
  return least;
}

const nothing: Told = { granted: 0n, used: 0n, held: 0n, bound: 0n, waitMs: undefined };

/** Creates a pool that has nothing yet. */
export function createPool({ now, valid, talk, newOp, holdOffMs }: PoolOptions): Pool & PoolDealer {
  /** On lease and not taken; below zero after a bill beyond what was taken for it. */
  let free = 0n;
  /** The part of it that is kept as a number. */
  let loose = 0;
  /** Not taken either, and waits to be given back. */
  let recalled = 0n;
  let told: Told | undefined;
  let spentShare: number | undefined;
  /** What of the limit nobody has, as it was told. */
  let unheld = 0n;
  /** That, and what is free here, but for what is loose: kept, since each answer says what is left of each limit. */
  let rest: number | undefined;
  /** Asked for ahead: grows with use. */
  let target = 0n;
  let refillBelow = 0n;
  let askedAt = Number.NEGATIVE_INFINITY;
  let usedAt = now();
  let used = true;
  let deniedUntil = Number.NEGATIVE_INFINITY;
  let denied = 0n;
  let asked: Asking | undefined;
  let doubt: Asking | undefined;
  let refilling = false;
  let dropped = false;
  /** Who waits to be asked for, and for whom it is being asked. */
  let waiting: Waiter[] = [];
  let served: readonly Waiter[] = [];

  /** Puts what is free together; before whatever looks at it or changes it. */
  const gather = () => {
    if (loose !== 0) free += BigInt(loose);
    loose = 0;
    rest = undefined;
  };
  const isShort = () => told !== undefined && unheld < told.bound / 8n;
  const state = (): PoolState => {
    gather();
    return { ...(told ?? nothing), free: free + recalled };
  };
  const grow = (amount: bigint) => {
    const least = amount * aheadFactor;
    const sinceMs = now() - askedAt;
    // Before anything is known there is nothing that would bound it.
    if (told && sinceMs < growMs) target *= 2n;
    else if (sinceMs > shrinkMs) target /= 2n;
    // More than this is never granted.
    if (told && target > told.bound / 8n) target = told.bound / 8n;
    if (target < least) target = least;
    refillBelow = target / 2n;
    askedAt = now();
  };

  /** Asks ahead of need, so that nobody waits; not where so little is left that all must share it. */
  const refill = (amount: bigint) => {
    if (refilling || waiting.length > 0) return;
    if (!told || unheld / 8n < amount * aheadFactor) return;
    refilling = true;
    grow(amount);
    void talk()
      .catch(() => {})
      .finally(() => {
        refilling = false;
      });
  };

  const tryTake = (amount: bigint): boolean => {
    gather();
    if (free < amount) return false;
    free -= amount;
    used = true;
    if (free < refillBelow) refill(amount);
    return true;
  };
  /** Makes at least `count` loose: all that can be taken without asking for more, or just that. */
  const loosen = (count: number): boolean => {
    gather();
    const amount = BigInt(count);
    if (free < amount) return false;
    const spare = free - refillBelow;
    const moved = spare > amount && spare <= looseMax ? spare : amount;
    free -= moved;
    loose = Number(moved);
    if (free < refillBelow) refill(amount);
    return true;
  };
  const leave = (own: Waiter) => {
    own.left = true;
    waiting = waiting.filter((each) => each !== own);
  };
  /** When it was last used; looked at now and then, so that taking need not look at the clock. */
  const lastUse = (): number => {
    if (used) usedAt = now();
    used = false;
    return usedAt;
  };

  return {
    tryTake,
    state,
    tryTakeCount(count) {
      if (loose < count && !loosen(count)) return false;
      loose -= count;
      used = true;
      return true;
    },
    left() {
      rest ??= Number(unheld + free + recalled);
      return Math.max(0, rest + loose);
    },
    spentShare: () => spentShare,
    async take(amount, least = amount) {
      if (valid() && tryTake(amount)) return amount;
      used = true;
      // Once for all who ask together: how many they are says nothing of how soon a lease is used up.
      if (waiting.length === 0) grow(amount);
      while (least < denied || now() >= deniedUntil || !valid()) {
        const own: Waiter = { amount, least };
        waiting.push(own);
        try {
          await talk();
        } catch {
          if (own.got === undefined) leave(own);
          // It may have been granted though something else in the same round was not.
          return own.got ?? { away: true };
        }
        if (own.got !== undefined) return own.got;
        // Where a dealing was in doubt, nobody was asked for.
        leave(own);
        if (valid() && tryTake(amount)) return amount;
      }
      return { short: state() };
    },
    giveCount(count) {
      loose += count;
      if (count < 0) used = true;
      // What is owed is paid first.
      if (free < 0n) gather();
    },
    give(amount) {
      gather();
      free += amount;
      if (amount < 0n) used = true;
    },
    recall() {
      gather();
      if (free <= 0n) return;
      recalled += free;
      free = 0n;
    },
    async known() {
      if (!told) await talk();
      return state();
    },

    unusedMs: () => now() - lastUse(),
    compose() {
      if (doubt) return doubt;
      gather();
      const debt = free < 0n ? -free : 0n;
      asked = { op: newOp(), need: 0n, want: 0n, ahead: 0n, back: 0n };
      served = waiting;
      waiting = [];
      if (served.length > 0) {
        // What is not enough here goes back first: together with what others give back it may be enough for somebody.
        asked.back = free > 0n ? free : 0n;
        asked.need = leastOf(served) + debt;
        // Who can never be served is no reason to take everything.
        for (const { amount, least } of served) if (!told || least <= told.bound) asked.want += amount;
        asked.want += debt;
        asked.ahead = target;
      } else if (refilling) {
        asked.need = 1n + debt;
        asked.ahead = target > free ? target - free : 0n;
      } else if (free !== 0n && (dropped || now() - lastUse() > (isShort() ? keepShortMs : keepMs)))
        // What was spent beyond the lease, too: the database has it with what was spent.
        asked.back = free;
      free -= asked.back;
      asked.back += recalled;
      recalled = 0n;
      return asked;
    },
    answered(answer) {
      gather();
      const denies = served.length > 0 && answer.granted === 0n;
      if (denies) denied = leastOf(served);
      asked = undefined;
      doubt = undefined;
      told = answer;
      unheld = room(answer);
      spentShare = answer.bound > 0n ? Number((answer.used * 10_000n) / answer.bound) / 10_000 : undefined;
      free += answer.granted;
      // At once: the next round may begin before they hear of it.
      for (const waiter of served) {
        if (waiter.left || free < waiter.least) continue;
        waiter.got = free < waiter.amount ? free : waiter.amount;
        free -= waiter.got;
      }
      served = [];
      if (denies) deniedUntil = now() + Math.min(holdOffMs, answer.waitMs ?? holdOffMs);
      else if (answer.granted > 0n) deniedUntil = Number.NEGATIVE_INFINITY;
    },
    doubted() {
      doubt = asked;
      served = [];
    },
    refused() {
      served = [];
      // What was in doubt before still is.
      if (doubt) return;
      gather();
      free += asked?.back ?? 0n;
      asked = undefined;
    },
    forfeit(out) {
      gather();
      asked = undefined;
      doubt = undefined;
      recalled = 0n;
      free = -out;
    },
    withdraw(amount) {
      gather();
      free -= amount;
    },
    drop() {
      dropped = true;
    },
  };
}
