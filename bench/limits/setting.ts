import type { Uuid } from "../../src/id.ts";
import { createDatabase, type TestDatabase } from "../../tests/harness/database.ts";
import { type Fleet, startFleet, startWriter, type Writer } from "../../tests/harness/fleet.ts";

/** What every scenario is told. */
export interface Options {
  /** The program. */
  command: readonly string[] | undefined;
  /** Mean pause of a client after a refusal, in milliseconds. */
  pauseMs: number;
  /** Nothing let in for so long is the end, in milliseconds: longer than unused leases are kept where little is left. */
  quietMs: number;
}

/** A provider, a database and processes, for one scenario. */
export interface Setting extends AsyncDisposable {
  database: TestDatabase;
  writer: Writer;
  fleet: Fleet;
}

/** Sets a scenario up. `way` leads to the database by another way than the direct one. */
export async function startSetting(
  { command }: Pick<Options, "command">,
  {
    processes,
    writer: answers = {},
    environment = {},
    way,
  }: {
    processes: number;
    writer?: Parameters<typeof startWriter>[0];
    environment?: Record<string, string>;
    way?: (url: string) => Promise<string>;
  },
): Promise<Setting> {
  await using building = new AsyncDisposableStack();
  const database = building.use(await createDatabase());
  const writer = building.use(startWriter(answers));
  const url = way ? await way(database.url) : database.url;
  const fleet = building.use(
    await startFleet({
      database: { sql: database.sql, url },
      baseUrl: writer.baseUrl,
      processes,
      environment,
      command,
    }),
  );
  const built = building.move();
  return { database, writer, fleet, [Symbol.asyncDispose]: () => built.disposeAsync() };
}

/** Waits for a condition. Returns after how many milliseconds it held, or `undefined` where it did not within `limitMs`. */
export async function waitFor(
  condition: () => boolean | Promise<boolean>,
  { limitMs, everyMs = 50 }: { limitMs: number; everyMs?: number },
): Promise<number | undefined> {
  const startedAt = performance.now();
  while (!(await condition())) {
    if (performance.now() - startedAt > limitMs) return undefined;
    await Bun.sleep(everyMs);
  }
  return performance.now() - startedAt;
}

/** What processes hold: one of them, or all; of a budget, or of all together. */
export async function heldOf(
  database: TestDatabase,
  { holderId, budgetId }: { holderId?: Uuid; budgetId?: Uuid } = {},
): Promise<number> {
  const [row] = await database.sql<{ held: number }[]>`
    select coalesce(sum(abs(amount)), 0)::float8 as held from budget_lease
    where (${holderId === undefined} or holder_id = ${holderId ?? null})
      and (${budgetId === undefined} or budget_id = ${budgetId ?? null})`;
  return row?.held ?? 0;
}

/** A budget's books: all sums as text, to their last digit. */
export interface Books {
  scope: string;
  spent: string;
  ledger: string;
  costs: string;
}

/** Reads what each budget's period, its ledger, and the calls on record say. */
export async function readBooks(database: TestDatabase): Promise<Books[]> {
  return database.sql<Books[]>`
    select b.scope, trim_scale(p.spent)::text as spent,
      (select coalesce(trim_scale(sum(l.amount)), 0)::text from ledger l where l.budget_id = p.budget_id) as ledger,
      (select coalesce(trim_scale(sum(r.cost)), 0)::text from request r
        where r.charges @> jsonb_build_array(jsonb_build_object('budget_id', p.budget_id))) as costs
    from budget_period p join budget b on b.id = p.budget_id order by b.scope`;
}

/** Whether all books say the same. */
export const booksAgree = (books: readonly Books[]): boolean =>
  books.length > 0 && books.every(({ spent, ledger, costs }) => spent === ledger && ledger === costs);
