import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDatabase } from "../../tests/harness/database.ts";
import { startFleet } from "../../tests/harness/fleet.ts";
import { load, median } from "../load.ts";
import { cpuMs, start } from "../process.ts";
import { scopes } from "./money.ts";
import type { Report } from "./report.ts";
import type { Options } from "./setting.ts";

const connections = 64;
/** Until what is measured is compiled code. */
const warmSeconds = 10;
/** A backend that does nothing tells its statistics after 10 s. */
const statisticsMs = 11_000;

const question = {
  model: "app",
  user: "u",
  max_tokens: 256,
  messages: [
    { role: "system", content: "You are a helpful assistant. ".repeat(10) },
    { role: "user", content: "Tell me about foxes and dogs, please. ".repeat(10) },
  ],
};

/** What limits cost an ordinary call: one process with all of them set, and one with none, in turn. */
export async function hot(
  { command }: Options,
  report: Report,
  { rounds, seconds }: { rounds: number; seconds: number },
): Promise<void> {
  await using building = new AsyncDisposableStack();
  // A core for the service, whichever of the two is asked, and one for everybody else: who shares a core with others takes
  // longer for the same.
  Bun.spawnSync(["taskset", "-cp", "1", String(process.pid)]);
  const pinned = command && ["taskset", "-c", "0", ...command];
  const folder = await mkdtemp(join(tmpdir(), "llmops-limits-"));
  building.defer(() => rm(folder, { recursive: true, force: true }));
  const upstream = building.use(
    await start(["taskset", "-c", "1", process.execPath, join(import.meta.dir, "../upstream.ts")], {
      folder,
    }),
  );

  const startSide = async (limited: boolean) => {
    const database = building.use(await createDatabase());
    const baseUrl = `${upstream.url}/v1`;
    const fleet = building.use(await startFleet({ database, baseUrl, processes: 1, command: pinned }));
    const { keyId, appId, accountId, key } = await fleet.tenant();
    const subjects = { key: keyId, app: appId, account: accountId, user: appId };
    if (limited) {
      const most = { requests: 1_000_000_000, tokens: 1_000_000_000_000, concurrency: 1_000_000 };
      for (const scope of scopes) await fleet.limit({ scope, subject: subjects[scope], ...most });
      await fleet.budget({ subject_id: appId, amount: "1000000000000" });
    }
    const transactions = async () => {
      await Bun.sleep(statisticsMs);
      const [row] = await database.sql<{ count: number }[]>`
        select xact_commit::float8 as count from pg_stat_database where datname = current_database()`;
      return row?.count ?? 0;
    };
    const post = { headers: { authorization: `Bearer ${key}` }, body: JSON.stringify(question) };
    let calls = 0;
    return {
      transactions,
      get calls() {
        return calls;
      },
      perCall: [] as number[],
      async measure(time: number): Promise<number> {
        const before = await cpuMs(fleet.pid(0));
        const result = await load(`${fleet.urls[0]}/v1/chat/completions`, {
          connections,
          seconds: time,
          post,
        });
        if (result.errors > 0) throw new Error(`${result.errors} errors of ${result.calls}`);
        calls += result.calls;
        // What it does later for these calls is theirs too.
        await Bun.sleep(1000);
        return ((await cpuMs(fleet.pid(0))) - before) / result.calls;
      },
    };
  };

  const on = await startSide(true);
  const off = await startSide(false);
  await Bun.sleep(1000);
  for (const side of [on, off]) await side.measure(warmSeconds);
  const before = await Promise.all([on.transactions(), off.transactions()]);
  const callsBefore = [on.calls, off.calls];
  for (let round = 0; round < rounds; round++) {
    // Each goes first in every other round, so that a machine that slows down favours neither.
    for (const side of round % 2 === 0 ? [on, off] : [off, on])
      side.perCall.push(await side.measure(seconds));
    const [mine, none] = [on.perCall.at(-1) ?? 0, off.perCall.at(-1) ?? 0];
    console.log(
      `hot: round ${round + 1}: ${(mine * 1000).toFixed(0)} µs of CPU a call with limits, ${(none * 1000).toFixed(0)} without`,
    );
  }
  const after = await Promise.all([on.transactions(), off.transactions()]);
  const perCall = [on, off].map(
    (side, place) => ((after[place] ?? 0) - (before[place] ?? 0)) / (side.calls - (callsBefore[place] ?? 0)),
  );
  const ratios = on.perCall.map((mine, round) => mine / (off.perCall[round] ?? Number.NaN));
  const ratio = median(ratios);
  const added = (perCall[0] ?? 0) - (perCall[1] ?? 0);
  const us = (ms: number) => `${(ms * 1000).toFixed(0)} µs`;
  report.note("hot: CPU of a call with limits on all levels", us(median(on.perCall)));
  report.note("hot: without any that are set", us(median(off.perCall)));
  report.must("hot: one by the other, median of the rounds", ratio.toFixed(3), "1.10 or less", ratio <= 1.1);
  report.note("hot: transactions a call, with limits", (perCall[0] ?? 0).toFixed(4));
  report.note("hot: transactions a call, without", (perCall[1] ?? 0).toFixed(4));
  report.must("hot: transactions that limits add to a call", added.toFixed(4), "0.01 or less", added <= 0.01);
}
