import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDatabase } from "../../tests/harness/database.ts";
import { startFleet } from "../../tests/harness/fleet.ts";
import { load, median } from "../load.ts";
import { cpuMs, start } from "../process.ts";
import { completionPath, question } from "../service.ts";
import { scopes } from "./money.ts";
import type { Report } from "./report.ts";
import type { Options } from "./setting.ts";

const connections = 64;
/** Until what is measured is compiled code. */
const warmSeconds = 10;
/** What a service does for calls that are over it has done by then: their records wait for 200 ms at most. */
const laterMs = 500;
/** A backend that does nothing tells its statistics after 10 s. */
const statisticsMs = 11_000;

const asked = { ...question, model: "app", user: "u", max_tokens: 256 };

/** One process and what was measured of it. */
interface Side {
  transactions(): Promise<number>;
  readonly calls: number;
  /** Loads it for a time, in seconds; returns the CPU time of a call, in milliseconds. */
  measure(time: number): Promise<number>;
}

/** Starts a process with a database of its own, and limits on all levels where it is `limited`. */
async function startSide(
  building: AsyncDisposableStack,
  {
    limited,
    baseUrl,
    command,
  }: { limited: boolean; baseUrl: string; command: readonly string[] | undefined },
): Promise<Side> {
  const database = building.use(await createDatabase());
  const fleet = building.use(await startFleet({ database, baseUrl, processes: 1, command }));
  const { keyId, appId, accountId, key } = await fleet.tenant();
  const subjects = { key: keyId, app: appId, account: accountId, user: appId };
  if (limited) {
    const most = { requests: 1_000_000_000, tokens: 1_000_000_000_000, concurrency: 1_000_000 };
    for (const scope of scopes) await fleet.limit({ scope, subject: subjects[scope], ...most });
    await fleet.budget({ subject_id: appId, amount: "1000000000000", warn_at: [0.8] });
  }
  const post = { headers: { authorization: `Bearer ${key}` }, body: JSON.stringify(asked) };
  let calls = 0;
  return {
    async transactions() {
      await Bun.sleep(statisticsMs);
      const [row] = await database.sql<{ count: number }[]>`
        select xact_commit::float8 as count from pg_stat_database where datname = current_database()`;
      return row?.count ?? 0;
    },
    get calls() {
      return calls;
    },
    async measure(time) {
      const before = await cpuMs(fleet.pid(0));
      const result = await load(fleet.urls[0] + completionPath, { connections, seconds: time, post });
      if (result.errors > 0) throw new Error(`${result.errors} errors of ${result.calls}`);
      calls += result.calls;
      // What it does later for these calls is theirs too.
      await Bun.sleep(laterMs);
      return ((await cpuMs(fleet.pid(0))) - before) / result.calls;
    },
  };
}

/**
 * What limits cost an ordinary call: one process with all of them set, and one with none, in turn. Both are started anew `starts`
 * times, since two processes of the same program differ by up to a tenth.
 */
export async function hot(
  { command }: Options,
  report: Report,
  { starts, rounds, seconds }: { starts: number; rounds: number; seconds: number },
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

  const pairs: { on: number; off: number }[] = [];
  const transactions = { on: 0, off: 0 };
  for (let begun = 0; begun < starts; begun++) {
    await using pair = new AsyncDisposableStack();
    const common = { baseUrl: `${upstream.url}/v1`, command: pinned };
    // Each is the first to be started in every other pair, and the first to be asked in every other round.
    const first = begun % 2 === 0;
    const one = await startSide(pair, { ...common, limited: first });
    const other = await startSide(pair, { ...common, limited: !first });
    const [on, off] = first ? [one, other] : [other, one];
    for (const side of [one, other]) await side.measure(warmSeconds);
    const before = await Promise.all([on.transactions(), off.transactions()]);
    const callsBefore = [on.calls, off.calls] as const;
    for (let round = 0; round < rounds; round++) {
      const perCall = new Map<Side, number>();
      for (const side of round % 2 === 0 ? [on, off] : [off, on])
        perCall.set(side, await side.measure(seconds));
      pairs.push({ on: perCall.get(on) ?? Number.NaN, off: perCall.get(off) ?? Number.NaN });
    }
    const after = await Promise.all([on.transactions(), off.transactions()]);
    transactions.on += (after[0] - before[0]) / (on.calls - callsBefore[0]) / starts;
    transactions.off += (after[1] - before[1]) / (off.calls - callsBefore[1]) / starts;
    const last = pairs.slice(-rounds);
    console.log(
      `hot: start ${begun + 1}: ${us(median(last.map(({ on }) => on)))} of CPU a call with limits, ${us(median(last.map(({ off }) => off)))} without`,
    );
  }
  const ratio = median(pairs.map(({ on, off }) => on / off));
  const added = transactions.on - transactions.off;
  report.note("hot: CPU of a call with limits on all levels", us(median(pairs.map(({ on }) => on))));
  report.note("hot: without any that are set", us(median(pairs.map(({ off }) => off))));
  report.must("hot: one by the other, median of the rounds", ratio.toFixed(3), "1.10 or less", ratio <= 1.1);
  report.note("hot: transactions a call, with limits", transactions.on.toFixed(4));
  report.note("hot: transactions a call, without", transactions.off.toFixed(4));
  report.must("hot: transactions that limits add to a call", added.toFixed(4), "0.01 or less", added <= 0.01);
}

const us = (ms: number) => `${(ms * 1000).toFixed(0)} µs`;
