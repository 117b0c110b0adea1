import { cellsPerWindow } from "../../src/limits/spending.ts";
import type { TestDatabase } from "../../tests/harness/database.ts";
import { percent, type Report } from "./report.ts";
import { type Options, startSetting, waitFor } from "./setting.ts";
import { askOn, tallyText, unexpected } from "./streams.ts";

/** How much sooner than it arrives at the provider a call may have been let in, in milliseconds. */
const arrivalMsMax = 1000;

/** The most in any span of `windowMs`. */
export function mostWithin(amounts: readonly { at: number; amount: number }[], windowMs: number): number {
  const sorted = [...amounts].sort((a, b) => a.at - b.at);
  let most = 0;
  let sum = 0;
  let first = 0;
  for (const { at, amount } of sorted) {
    sum += amount;
    for (let oldest = sorted[first]; oldest && oldest.at <= at - windowMs; oldest = sorted[++first]) {
      sum -= oldest.amount;
    }
    most = Math.max(most, sum);
  }
  return most;
}

/** Looks at a counter again and again, and so sees all its cells, though each is forgotten after a window. */
export function watchCounter({ sql }: TestDatabase, name: string, { everyMs = 500 } = {}) {
  const cells = new Map<number, number>();
  let ended = false;
  const look = async () => {
    const rows = await sql<{ cell: string; amount: string }[]>`
      select each.cell, each.amount from rate_counter, unnest(cells, amounts) as each (cell, amount) where name = ${name}`;
    for (const { cell, amount } of rows) {
      cells.set(Number(cell), Math.max(Number(amount), cells.get(Number(cell)) ?? 0));
    }
  };
  const watching = (async () => {
    while (!ended) {
      await look();
      await Bun.sleep(everyMs);
    }
  })();
  return {
    /** What was counted in each cell, by when the calls were let in. */
    async stop(): Promise<ReadonlyMap<number, number>> {
      ended = true;
      await watching;
      await look();
      return cells;
    },
  };
}

export interface RateRun {
  processes: number;
  seconds: number;
  windowSeconds: number;
  limit: number;
  field: "requests" | "tokens";
  /** Least share that must be used. */
  least: number;
}

async function saturate(options: Options, report: Report, run: RateRun): Promise<void> {
  const { processes, seconds, windowSeconds, limit, field, least } = run;
  const windowMs = windowSeconds * 1000;
  await using it = await startSetting(options, {
    processes,
    environment: { LLMOPS_RATE_WINDOW: String(windowSeconds) },
  });
  const { fleet, writer, database } = it;
  const tenant = await fleet.tenant({ content: "none" });
  await fleet.limit({ scope: "key", subject: tenant.keyId, [field]: limit });
  await Bun.sleep(1000);
  const counter = watchCounter(database, `${field} key ${tenant.keyId}`);
  const beganAt = performance.now();
  const tally = await askOn({
    ...options,
    urls: fleet.urls,
    key: tenant.key,
    user: "u",
    streams: 64 + 16 * processes,
    goesOn: () => performance.now() - beganAt < seconds * 1000,
  });
  // Until everything has been told: longer than from one beat to the next.
  await Bun.sleep(5000);
  const cells = await counter.stop();

  const arrivals = writer.arrivals.map(({ at, tokens }) => ({ at, amount: field === "tokens" ? tokens : 1 }));
  const beginning = arrivals[0]?.at ?? 0;
  const used = arrivals.reduce(
    (sum, { at, amount }) => (at < beginning + seconds * 1000 ? sum + amount : sum),
    0,
  );
  const cellMs = Math.floor(windowMs / cellsPerWindow);
  const counted = [...cells].map(([cell, amount]) => ({ at: cell * cellMs, amount }));
  const total = counted.reduce((sum, { amount }) => sum + amount, 0);
  // As many whole cells as a window can touch.
  const byCells = mostWithin(counted, (Math.floor(windowMs / cellMs) + 1) * cellMs);
  const byArrivals = mostWithin(arrivals, windowMs);
  const surely = mostWithin(arrivals, windowMs - arrivalMsMax);
  const all = arrivals.reduce((sum, { amount }) => sum + amount, 0);

  const what = `rates: ${processes} processes, ${field}`;
  console.log(
    `${what}: ${all} at the provider, ${total} in the counter, ${used} in the first ${seconds} s, ${tallyText(tally)}`,
  );
  const share = used / ((limit * seconds) / windowSeconds);
  report.must(`${what}, used`, percent(share), `${percent(least)} to 100 %`, share >= least && share <= 1);
  report.must(
    `${what}, most in any ${windowSeconds} s, as let in`,
    String(byCells),
    String(limit),
    byCells <= limit,
  );
  report.must(
    `${what}, most in any ${windowSeconds - 1} s, at the provider`,
    String(surely),
    String(limit),
    surely <= limit,
  );
  report.note(`${what}, most in any ${windowSeconds} s, at the provider`, String(byArrivals));
  report.must(`${what}, in the counter as at the provider`, String(total - all), "0", total === all);
  const strange = unexpected(tally, ["429 rate_limit_exceeded"]);
  report.must(`${what}, other answers than 200 and 429`, String(strange), "0", strange === 0);
}

/** How long the slots of a killed process are taken. */
async function slots(options: Options, report: Report): Promise<void> {
  const limit = 100;
  const limitMs = 10_000;
  const answersMs = 2 * limitMs;
  await using it = await startSetting(options, {
    processes: 2,
    writer: { delayMsMin: answersMs, delayMs: answersMs },
  });
  const { fleet, writer } = it;
  const tenant = await fleet.tenant({ content: "none" });
  await fleet.limit({ scope: "key", subject: tenant.keyId, concurrency: limit });
  await Bun.sleep(1000);
  let ended = false;
  const through = (place: number, user: string, streams: number) =>
    askOn({
      ...options,
      urls: fleet.urls.slice(place, place + 1),
      key: tenant.key,
      user,
      streams,
      goesOn: () => !ended,
    });
  const count = (user: string) => writer.arrivals.filter((each) => each.user === user).length;
  const first = through(0, "first", limit / 2);
  await waitFor(() => count("first") === limit / 2, { limitMs, everyMs: 5 });
  const second = through(1, "second", limit);
  await waitFor(() => count("second") === limit / 2, { limitMs, everyMs: 5 });
  await Bun.sleep(1000);
  const before = count("first") + count("second");
  report.must("rates: calls at once over 2 processes", String(before), String(limit), before === limit);
  await fleet.kill(0);
  const freeMs = await waitFor(() => count("second") >= limit, { limitMs: 2 * limitMs, everyMs: 5 });
  const told = freeMs === undefined ? "never" : `${(freeMs / 1000).toFixed(1)} s`;
  report.must(
    "rates: slots of a killed process free again",
    told,
    "10 s",
    (freeMs ?? Number.POSITIVE_INFINITY) <= limitMs,
  );
  ended = true;
  await fleet.kill(1);
  await Promise.all([first, second]);
}

/** Rates at saturation: never above in any window, and used to the end. */
export async function rates(
  options: Options,
  report: Report,
  {
    processes,
    requests,
    tokens,
    ...common
  }: Pick<RateRun, "seconds" | "windowSeconds"> & {
    processes: readonly number[];
    requests: number;
    tokens: number;
  },
): Promise<void> {
  for (const count of processes) {
    await saturate(options, report, {
      ...common,
      processes: count,
      limit: requests,
      field: "requests",
      least: 0.99,
    });
  }
  const most = Math.max(...processes);
  await saturate(options, report, { ...common, processes: most, limit: tokens, field: "tokens", least: 0.9 });
  await slots(options, report);
}
