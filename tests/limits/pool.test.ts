import { expect, test } from "bun:test";
import { newId } from "../../src/id.ts";
import { createPool } from "../../src/limits/pool.ts";

/** Numbers that look like chance and are the same each time (Numerical Recipes' generator). */
function chance(): (below: number) => number {
  let seed = 1;
  return (below) => {
    seed = (seed * 1664525 + 1013904223) % 2 ** 32;
    return Math.floor((seed / 2 ** 32) * below);
  };
}

test("what is taken as a number and what is taken exactly comes from the same lease, and nothing is lost between them", async () => {
  const pool = createPool({
    now: () => 0,
    valid: () => true,
    talk: async () => {},
    newOp: newId,
    holdOffMs: 1,
  });
  const bound = 1_000_000;
  let [free, unheld] = [0, bound];
  const grant = (granted: number) => {
    pool.compose();
    free += granted;
    unheld -= granted;
    const [used, held] = [0n, BigInt(bound - unheld)];
    pool.answered({ granted: BigInt(granted), used, held, bound: BigInt(bound), waitMs: undefined });
  };
  grant(500);
  const below = chance();
  for (let step = 0; step < 20_000; step++) {
    const amount = 1 + below(40);
    const kind = below(12);
    if (kind < 5) {
      expect(pool.tryTakeCount(amount)).toBe(free >= amount);
      if (free >= amount) free -= amount;
    } else if (kind < 8) {
      // Now and then more was spent than was taken.
      const back = below(8) === 0 ? -amount : amount;
      pool.giveCount(back);
      free += back;
    } else if (kind === 8) {
      expect(pool.tryTake(BigInt(amount))).toBe(free >= amount);
      if (free >= amount) free -= amount;
    } else if (kind === 9) {
      pool.give(BigInt(amount));
      free += amount;
    } else if (kind === 10) {
      pool.withdraw(BigInt(amount));
      free -= amount;
    } else if (below(40) === 0) {
      grant(amount);
    }
    if (step % 3 === 0) expect(pool.left()).toBe(Math.max(0, unheld + free));
    if (step % 7 === 0) expect(pool.state().free).toBe(BigInt(free));
    // What waits to be asked for begins in its own turn.
    if (step % 500 === 0) await Promise.resolve();
  }
});
