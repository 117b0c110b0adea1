import type { Uuid } from "../../src/id.ts";
import type { TestDatabase } from "../../tests/harness/database.ts";
import { checkBooks, checkReleased, plantBudgets } from "./money.ts";
import { percent, type Report } from "./report.ts";
import { heldOf, type Options, readBooks, type Setting, startSetting, waitFor } from "./setting.ts";
import { exhaust, tallyText } from "./streams.ts";

/** How long nothing may be held after a journal has been brought in, in milliseconds. */
const heldMsMax = 5000;
/** How long it may take after the start until a journal has been brought in, in milliseconds. */
const replayMsMax = 15_000;
/** How long a process is taken to live without a word, and a little, in milliseconds. */
const unknownMs = 65_000;

async function holderOf(database: TestDatabase, pid: number): Promise<Uuid> {
  const [row] = await database.sql<{ id: Uuid }[]>`select id from lease_holder where name like ${`% ${pid}`}`;
  if (!row) throw new Error(`no process ${pid} holds anything`);
  return row.id;
}

/** The process that holds the most. */
async function richest({ database, fleet }: Setting, processes: number) {
  const all = await Promise.all(
    Array.from({ length: processes }, async (_, place) => {
      const holderId = await holderOf(database, fleet.pid(place));
      return { place, holderId, held: await heldOf(database, { holderId }) };
    }),
  );
  return all.reduce((most, each) => (each.held > most.held ? each : most));
}

/** One process of several is killed while all of them spend; then it comes back on its folder, or without it. */
export async function kill(
  options: Options,
  report: Report,
  { processes, concurrency, amount }: { processes: number; concurrency: number; amount: number },
): Promise<void> {
  for (const lost of [false, true]) {
    const what = lost ? "kill, folder lost" : "kill";
    await using it = await startSetting(options, { processes, environment: { LOG_LEVEL: "info" } });
    const { fleet, writer, database } = it;
    const tenant = await fleet.tenant({ fit_budget: true, content: "none" });
    const budgetId = await plantBudgets(fleet, tenant, { amount, tightest: "app" });
    const used = () => writer.tokens.get("u") ?? 0;
    const load = exhaust({
      ...options,
      urls: fleet.urls,
      key: tenant.key,
      user: "u",
      streams: concurrency * processes,
      // What the killed process held is to be spent too.
      quietMs: options.quietMs + 10_000,
    });
    await waitFor(() => used() > amount / 3, { limitMs: 120_000, everyMs: 5 });
    const { place, holderId } = await richest(it, processes);
    await fleet.kill(place);
    const held = await heldOf(database, { holderId });
    console.log(`${what}: ${used()} of ${amount} when it was killed`);
    report.note(`${what}: held by it on 4 levels when it was killed`, String(held));
    // The others go on meanwhile, and take what is left.
    await Bun.sleep(2000);
    const afterKill = used();
    await fleet.restart(place, { lost });
    if (!lost) {
      // It says so only where there was a record in it.
      const replayed = fleet.said(place, /records of an ended process were brought in/).then(() => true);
      const said = await Promise.race([replayed, Bun.sleep(replayMsMax).then(() => false)]);
      const free = async () => (await heldOf(database, { holderId })) === 0;
      const freeMs = await waitFor(free, { limitMs: heldMsMax, everyMs: 20 });
      const told = freeMs === undefined ? "never" : `${(freeMs / 1000).toFixed(2)} s`;
      const since = said ? "the replay" : `${replayMsMax / 1000} s without a record to replay`;
      report.must(`${what}: held by it after ${since}`, told, "5 s", freeMs !== undefined);
    }
    const tally = await load;
    console.log(
      `${what}: ${afterKill} of ${amount} 2 s after the kill, ${used()} at the end, ${tallyText(tally)}`,
    );
    const over = Math.max(0, used() - amount);
    report.must(`${what}: over the amount, in tokens`, String(over), "0", over === 0);
    if (lost) {
      const kept = await heldOf(database, { holderId });
      report.must(`${what}: still held at the end`, String(kept), String(held), kept === held && held > 0);
      console.log(`${what}: ${percent(used() / amount)} used`);
      const unknown = async () => {
        const { stdout } = await fleet.run(["doctor"]);
        return stdout.includes(`llmops lease settle ${holderId}`);
      };
      const named = await waitFor(unknown, { limitMs: unknownMs, everyMs: 2000 });
      report.must(`${what}: doctor names it`, named === undefined ? "no" : "yes", "yes", named !== undefined);
      continue;
    }
    await checkReleased(what, { database, budgetId }, report);
    // Calls that were under way in it are booked at the most that they may have cost.
    const books = (await readBooks(database)).find(({ scope }) => scope === "app");
    const booked = Number(books?.spent ?? 0) / amount;
    report.must(`${what}: booked`, percent(booked), "99 to 100 %", booked >= 0.99 && booked <= 1);
    report.note(`${what}: written by the provider`, percent(used() / amount));
    await checkBooks(what, it, report);
  }
}
