/** What was spent of a rate, by when it was, as long as the database does not know. */
export interface Spending {
  /** Notes `amount`, spent at `at` by the database's clock in milliseconds. */
  spend(amount: number, at: number): void;
  /** Hands over what there is; it counts as told from now on. */
  drain(): { cells: number[]; amounts: string[]; total: number };
  /** What was handed over did not arrive: it is to be told again. */
  again(cells: readonly number[], amounts: readonly string[]): void;
}

/** Parts of a window in which times are not told apart: what is spent in one counts until its end is a window ago. */
export const cellsPerWindow = 256;

/** Creates an account of what is spent, for windows of `windowMs` milliseconds. */
export function createSpending(windowMs: number): Spending {
  const cellMs = Math.max(1, Math.floor(windowMs / cellsPerWindow));
  let cells = new Map<number, number>();
  let total = 0;
  /** The cell that was spent in last, and what of it is not in the map yet: nearly all go to the same one as before. */
  let cell = 0;
  let fresh = 0;
  const settle = () => {
    if (fresh > 0) cells.set(cell, (cells.get(cell) ?? 0) + fresh);
    total += fresh;
    fresh = 0;
  };
  const add = (to: number, amount: number) => {
    if (to !== cell) settle();
    cell = to;
    fresh += amount;
  };
  return {
    spend: (amount, at) => add(Math.floor(at / cellMs), amount),
    drain() {
      settle();
      const told = { cells: [...cells.keys()], amounts: [...cells.values()].map(String), total };
      cells = new Map();
      total = 0;
      return told;
    },
    again(told, amounts) {
      for (const [place, to] of told.entries()) add(to, Number(amounts[place] ?? 0));
    },
  };
}
