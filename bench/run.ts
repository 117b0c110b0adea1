/**
 * `bun run bench [--rounds N] [--seconds S]`: the executable side by side with its limit or peer, in one run. Prints a
 * table; the method and the last results are in README.md of this folder.
 */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { postgresArchive } from "../scripts/postgres.ts";
import { startEmbedded } from "../src/database/embedded.ts";
import { silentLog } from "../src/log.ts";
import { load, median } from "./load.ts";
import { type Child, start } from "./process.ts";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "15" }, seconds: { type: "string", default: "1" } },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const executable = join(import.meta.dir, "../dist/llmops");
if (!(await Bun.file(executable).exists())) {
  console.error("dist/llmops is missing; run 'bun run build' first");
  process.exit(1);
}

/** A folder that the database's own user can get through. */
async function newFolder(prefix: string): Promise<string> {
  const path = await mkdtemp(prefix);
  await chmod(path, 0o711);
  return path;
}

const folder = await newFolder(join(tmpdir(), "llmops-bench-"));
const report: [what: string, result: string, limit: string][] = [];

/** Time from starting a command until `/ping` says SUCCESS, in milliseconds. */
async function untilPing(env: Record<string, string>, cwd: string): Promise<number> {
  const port = 20_000 + Math.floor(Math.random() * 20_000);
  const started = performance.now();
  const child = Bun.spawn([executable, "serve", "--dev", "--port", String(port)], {
    cwd,
    env: { ...env, LOG_LEVEL: "error" },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  for (;;) {
    if (performance.now() - started > 20_000) throw new Error("no answer within 20 s");
    const answer = await fetch(`http://127.0.0.1:${port}/ping`, { keepalive: false }).catch(() => undefined);
    if (answer?.headers.get("x-llmops-code") === "SUCCESS") break;
    await Bun.sleep(1);
  }
  const took = performance.now() - started;
  child.kill("SIGTERM");
  await child.exited;
  return took;
}

async function benchStart(databaseUrl: string): Promise<void> {
  const external: number[] = [];
  for (let i = 0; i < 10; i++) external.push(await untilPing({ DATABASE_URL: databaseUrl }, folder));
  report.push(["start, external database, migrated", `${median(external).toFixed(0)} ms`, "150 ms"]);

  const first: number[] = [];
  const later: number[] = [];
  for (let i = 0; i < 5; i++) {
    const cwd = await newFolder(join(folder, "start-"));
    first.push(await untilPing({}, cwd));
    later.push(await untilPing({}, cwd));
  }
  report.push(["first start, embedded database", `${median(first).toFixed(0)} ms`, "2000 ms"]);
  report.push(["later start, embedded database", `${median(later).toFixed(0)} ms`, "400 ms"]);
}

async function benchGetApp(databaseUrl: string): Promise<void> {
  await using bare = await start([process.execPath, join(import.meta.dir, "bare.ts"), databaseUrl], {
    folder,
  });
  await using ours = await start([executable, "serve", "--dev", "--port", "0"], {
    folder,
    env: { DATABASE_URL: databaseUrl },
  });
  const made = (await (await fetch(`${ours.url}/app`, { method: "POST" })).json()) as {
    data: { id: string };
  };
  const path = `/app/${made.data.id}`;
  for (const { url } of [bare, ours]) await load(url + path, { connections: 32, seconds: 2 });

  const ratios: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const measure = ({ url }: Child) => load(url + path, { connections: 32, seconds });
    // Each goes first in every other round, so that a machine that slows down favours neither.
    const first = await measure(round % 2 === 0 ? ours : bare);
    const second = await measure(round % 2 === 0 ? bare : ours);
    const [peer, mine] = round % 2 === 0 ? [second, first] : [first, second];
    if (peer.errors + mine.errors > 0) throw new Error(`errors: bare ${peer.errors}, llmops ${mine.errors}`);
    ratios.push(mine.perSecond / peer.perSecond);
    console.log(
      `round ${round}: bare ${peer.perSecond.toFixed(0)}/s (p99 ${peer.p99Ms.toFixed(1)} ms), ` +
        `llmops ${mine.perSecond.toFixed(0)}/s (p99 ${mine.p99Ms.toFixed(1)} ms)`,
    );
  }
  report.push([
    "GET /app/:id, calls per second against the bare handler",
    median(ratios).toFixed(2),
    "0.80 or more",
  ]);
  report.push(["memory after that", `${(await ours.memoryMib()).toFixed(0)} MiB`, "-"]);
}

try {
  await using database = await startEmbedded({
    dataDir: join(folder, "external"),
    archive: postgresArchive,
    log: silentLog,
    role: "serve",
  });
  await untilPing({ DATABASE_URL: database.url }, folder); // migrates
  await benchStart(database.url);
  await benchGetApp(database.url);
} finally {
  await rm(folder, { recursive: true, force: true });
}

console.log();
for (const [what, result, limit] of report)
  console.log(`${what.padEnd(56)} ${result.padStart(8)}   limit ${limit}`);
process.exit(0);
