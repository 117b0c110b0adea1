/**
 * `bun bench/limits.ts [--only NAME[,NAME]] [--source] …`: limits and budgets under load, by processes of the executable (or of
 * the sources with `--source`) on one PostgreSQL, in front of a provider that counts for itself what it has written for whom.
 * Ends with 1 where something that must hold does not. The scenarios and their options are in README.md of this folder.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { stopServer } from "../tests/harness/database.ts";
import { away } from "./limits/away.ts";
import { hot } from "./limits/hot.ts";
import { kill } from "./limits/kill.ts";
import { money } from "./limits/money.ts";
import { published } from "./limits/published.ts";
import { rates } from "./limits/rates.ts";
import { createReport } from "./limits/report.ts";
import type { Options } from "./limits/setting.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    source: { type: "boolean", default: false },
    pause: { type: "string", default: "200" },
    quiet: { type: "string", default: "6000" },
    tenants: { type: "string", default: "8" },
    streams: { type: "string", default: "128" },
    tokens: { type: "string", default: "20000" },
    amount: { type: "string", default: "300000" },
    concurrency: { type: "string", default: "200" },
    processes: { type: "string", default: "1,2,4" },
    seconds: { type: "string", default: "180" },
    window: { type: "string", default: "60" },
    requests: { type: "string", default: "6000" },
    "rate-tokens": { type: "string", default: "300000" },
    away: { type: "string", default: "20" },
    starts: { type: "string", default: "5" },
    rounds: { type: "string", default: "40" },
    "round-seconds": { type: "string", default: "0.4" },
  },
});
const executable = join(import.meta.dir, "../dist/llmops");
const command = values.source ? undefined : [executable];
if (command && !(await Bun.file(executable).exists())) {
  console.error("dist/llmops is missing; run 'bun run build' first, or pass --source");
  process.exit(1);
}

const options: Options = { command, pauseMs: Number(values.pause), quietMs: Number(values.quiet) };
const report = createReport();
const processes = values.processes.split(",").map(Number);
const concurrency = Number(values.concurrency);
const amount = Number(values.amount);
const scenarios: Record<string, () => Promise<void>> = {
  published: () =>
    published(options, report, {
      tenants: Number(values.tenants),
      streams: Number(values.streams),
      processes: 3,
      amount: Number(values.tokens),
    }),
  money: () => money(options, report, { processes, concurrency, amount }),
  kill: () => kill(options, report, { processes: 4, concurrency, amount }),
  rates: () =>
    rates(options, report, {
      processes,
      seconds: Number(values.seconds),
      windowSeconds: Number(values.window),
      requests: Number(values.requests),
      tokens: Number(values["rate-tokens"]),
    }),
  away: () => away(options, report, { seconds: Number(values.away) }),
  hot: () =>
    hot(options, report, {
      starts: Number(values.starts),
      rounds: Number(values.rounds),
      seconds: Number(values["round-seconds"]),
    }),
};

const names = values.only?.split(",") ?? Object.keys(scenarios);
let failed = false;
for (const name of names) {
  const scenario = scenarios[name];
  if (!scenario) {
    console.error(`there is no scenario ${name}; there are ${Object.keys(scenarios).join(", ")}`);
    process.exit(1);
  }
  console.log(`${name}: begins ${new Date().toISOString()}`);
  try {
    await scenario();
  } catch (error) {
    console.error(`${name}:`, error);
    failed = true;
  }
}
await stopServer();
console.log();
process.exit(report.print() > 0 || failed ? 1 : 0);
