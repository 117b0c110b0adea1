/**
 * `bun bench/no-loss.ts [--kills N] [--calls N] [--away SECONDS] [--concurrency N]`: the executable under load, with a provider
 * that keeps its own ledger, killed with SIGKILL again and again, and then without its database. Compares the ledger with
 * the records, and ends with 1 where one is missing, doubled, or tells of a call that cannot have been.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createDatabase, stopServer } from "../tests/harness/database.ts";
import { type Balance, startLoadedService } from "../tests/harness/no-loss.ts";
import { startTcpProxy } from "../tests/harness/tcp-proxy.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "20" },
    calls: { type: "string", default: "500" },
    away: { type: "string", default: "60" },
    concurrency: { type: "string", default: "32" },
  },
});
const kills = Number(values.kills);
const calls = Number(values.calls);
const awayMs = Number(values.away) * 1000;
const concurrency = Number(values.concurrency);
const command = [join(import.meta.dir, "../dist/llmops")];
/** How long records may take to come in after the end, in milliseconds. */
const limitMs = 120_000;

if (!(await Bun.file(command[0] ?? "").exists())) {
  console.error("dist/llmops is missing; run 'bun run build' first");
  process.exit(1);
}

/** A figure, what it must not exceed, and whether it does. */
const rows: [what: string, killed: string, away: string, limit: string][] = [];
let violations = 0;

/** Kills it in the middle of its work, never twice after as many calls. */
async function killed(): Promise<Balance> {
  await using database = await createDatabase();
  await using it = await startLoadedService({ database, concurrency, command });
  for (let kill = 1; kill <= kills; kill++) {
    await it.after(Math.ceil(calls * (0.5 + Math.random())));
    await it.kill();
    process.stdout.write(`\r${kill} of ${kills} kills, ${it.provider.calls.length} calls`);
  }
  await it.after(calls);
  const balance = await it.finish({ limitMs });
  process.stdout.write("\n");
  return balance;
}

/** Takes the database away and gives it back; also tells how many calls were made meanwhile. */
async function withoutDatabase(): Promise<Balance & { meanwhile: number }> {
  await using database = await createDatabase();
  await using proxy = await startTcpProxy(database.url);
  await using it = await startLoadedService({ database, url: proxy.url, concurrency, command });
  await it.after(calls);
  proxy.cut();
  const before = it.provider.calls.length;
  for (let seconds = 1; seconds * 1000 <= awayMs; seconds++) {
    await Bun.sleep(1000);
    process.stdout.write(`\r${seconds} s without the database, ${it.provider.calls.length} calls`);
  }
  const meanwhile = it.provider.calls.length - before;
  proxy.restore();
  await it.after(calls);
  const balance = await it.finish({ limitMs });
  process.stdout.write("\n");
  return { ...balance, meanwhile };
}

try {
  const one = await killed();
  const two = await withoutDatabase();
  const both = (what: string, figure: (balance: Balance) => number, limits?: [one: number, two: number]) => {
    const figures = [figure(one), figure(two)] as const;
    if (limits) violations += figures.filter((each, index) => each > (limits[index] ?? 0)).length;
    rows.push([what, String(figures[0]), String(figures[1]), limits ? limits.join(", ") : ""]);
  };
  rows.push(["", `${kills} kills`, `${awayMs / 1000} s away`, "at most"]);
  both("calls that the provider saw", ({ seen }) => seen);
  rows.push(["of them while the database was away", "", String(two.meanwhile), ""]);
  // A minute in which nobody called would show nothing.
  if (awayMs > 0 && two.meanwhile === 0) violations++;
  both("records", ({ recorded }) => recorded);
  both("calls without a record", ({ missing }) => missing.length, [0, 0]);
  both("ids recorded more than once", ({ doubled }) => doubled.length, [0, 0]);
  both("records of no call, interrupted", ({ unseen }) => unseen.length, [kills * concurrency, 0]);
  both(
    "records of no call, of any other kind",
    ({ unseen }) => unseen.filter((status) => status !== "interrupted").length,
    [0, 0],
  );
  both(
    "records that the sums lack, or have too much",
    ({ recorded, summed }) => Math.abs(recorded - summed),
    [0, 0],
  );
  for (const [what, first, second, limit] of rows)
    console.log(`${what.padEnd(44)} ${first.padStart(10)} ${second.padStart(10)}   ${limit}`);
} finally {
  await stopServer();
}
process.exit(violations > 0 ? 1 : 0);
