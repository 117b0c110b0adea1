import type { Uuid } from "../../src/id.ts";
import type { BudgetRow } from "../../src/sql/budget.ts";
import type { Fleet, Tenant } from "../../tests/harness/fleet.ts";
import { percent, type Report } from "./report.ts";
import {
  booksAgree,
  heldOf,
  type Options,
  readBooks,
  type Setting,
  startSetting,
  waitFor,
} from "./setting.ts";
import { exhaust, tallyText, unexpected } from "./streams.ts";

/** The levels of a call that may have a budget. */
export const scopes = ["key", "app", "account", "user"] as const;

/** Sets a budget on every level; that of `tightest` is `amount`, the others are a tenth above each other. Returns its id. */
export async function plantBudgets(
  fleet: Fleet,
  { keyId, appId, accountId }: Tenant,
  { amount, tightest }: { amount: number; tightest: BudgetRow["scope"] },
): Promise<Uuid> {
  const subjects = { key: keyId, app: appId, account: accountId, user: appId };
  const others = scopes.filter((scope) => scope !== tightest);
  for (const [place, scope] of others.entries()) {
    const own = Math.round(amount * (1.1 + place / 10));
    await fleet.budget({ scope, subject_id: subjects[scope], amount: String(own) });
  }
  return fleet.budget({ scope: tightest, subject_id: subjects[tightest], amount: String(amount) });
}

/** Says whether the books agree, also in the words of the program's own `doctor`. */
export async function checkBooks(what: string, { database, fleet }: Setting, report: Report): Promise<void> {
  const books = await readBooks(database);
  for (const { scope, spent, ledger, costs } of books) {
    console.log(`${what}: ${scope} spent ${spent}, ledger ${ledger}, costs ${costs}`);
  }
  const agree = booksAgree(books);
  report.must(`${what}, books of ${books.length} budgets`, agree ? "agree" : "differ", "agree", agree);
  const { stdout } = await fleet.run(["doctor"]);
  const line = /^.*ledger.*$/m.exec(stdout)?.[0] ?? "";
  const ok = /^ok\s+ledger/.test(line);
  report.must(`${what}, doctor on the ledger`, ok ? "ok" : "not ok", "ok", ok);
  if (!ok) console.log(stdout);
}

/** Longest time until a process gives back what it does not use of a budget that is nearly spent, in milliseconds. */
const releaseMsMax = 10_000;

/** Says whether nothing is held of a spent budget; of others processes keep what they hold for a while. */
export async function checkReleased(
  what: string,
  { database, budgetId }: Pick<Setting, "database"> & { budgetId: Uuid },
  report: Report,
): Promise<void> {
  const none = async () => (await heldOf(database, { budgetId })) === 0;
  const ms = await waitFor(none, { limitMs: releaseMsMax });
  const told = ms === undefined ? "never" : `${(ms / 1000).toFixed(1)} s`;
  report.must(`${what}, nothing held of it after the end`, told, "10 s", ms !== undefined);
}

/** Budgets on four levels at once, spent by one process, and by several. */
export async function money(
  options: Options,
  report: Report,
  { processes, concurrency, amount }: { processes: readonly number[]; concurrency: number; amount: number },
): Promise<void> {
  for (const [round, count] of processes.entries()) {
    await using it = await startSetting(options, { processes: count });
    const { fleet, writer, database } = it;
    const tenant = await fleet.tenant({ fit_budget: true, content: "none" });
    const tightest = scopes[round % scopes.length] ?? "key";
    const budgetId = await plantBudgets(fleet, tenant, { amount, tightest });
    const tally = await exhaust({
      ...options,
      urls: fleet.urls,
      key: tenant.key,
      user: "u",
      streams: concurrency * count,
    });
    const used = writer.tokens.get("u") ?? 0;
    const what = `money: ${count} x ${concurrency} calls`;
    console.log(`${what}: ${used} of ${amount} (${tightest}), ${tallyText(tally)}`);
    const over = Math.max(0, used - amount);
    report.must(`${what}, over the ${tightest}'s amount, in tokens`, String(over), "0", over === 0);
    report.must(`${what}, used`, percent(used / amount), "99 % or more", used >= amount * 0.99);
    const strange = unexpected(tally, ["429 budget_exceeded"]);
    report.must(`${what}, other answers than 200 and 429`, String(strange), "0", strange === 0);
    await checkReleased(what, { database, budgetId }, report);
    await checkBooks(what, it, report);
  }
}
