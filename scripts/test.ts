/**
 * Runs the tests on the embedded PostgreSQL, in two parts at the same time, and then those of the API and of the SQL on an external
 * one where TEST_DATABASE_URL names it. Arguments go to `bun test`; with a path or a filter there is one run, on the external
 * server if there is one. Ends with the names of what failed, and the line `N passed, N failed, N skipped`.
 */
import { readdirSync } from "node:fs";

interface Totals {
  pass: number;
  fail: number;
  skip: number;
}

/** A limit per test that only one that hangs can meet, however busy the machine is, in milliseconds. */
const hangMs = 60_000;

const args = process.argv.slice(2);
const { TEST_DATABASE_URL: external, ...withoutExternal } = process.env;
const requireAll = process.env.REQUIRE_ALL === "1";
const totals: Totals = { pass: 0, fail: 0, skip: 0 };
/** Each test that failed, with its file: what said why may be thousands of lines above. */
const failures: string[] = [];

/** When all that was begun before has been shown: runs go on at once, and are read one after the other. */
let shownBefore: Promise<void> = Promise.resolve();

/** Adds what one run of `bun test` counted; a run that ends without counting is one failure. What it says is shown in its turn. */
async function run(what: string, paths: string[], env: NodeJS.ProcessEnv): Promise<void> {
  let shown = shownBefore.then(() => console.log(`\n== ${what}`));
  const { promise: all, resolve: done } = Promise.withResolvers<void>();
  shownBefore = all;
  const child = Bun.spawn([process.execPath, "test", `--timeout=${hangMs}`, ...paths], {
    env,
    stdout: "ignore",
    stderr: "pipe",
  });
  let output = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stderr) {
    shown = shown.then(() => void process.stderr.write(chunk));
    output += decoder.decode(chunk, { stream: true });
  }
  void shown.then(done);
  const tail = output.slice(-10_000);
  const counted = (word: string) => Number(tail.match(new RegExp(`^ *(\\d+) ${word}$`, "m"))?.[1] ?? 0);
  const ran = { pass: counted("pass"), fail: counted("fail"), skip: counted("skip") };
  if ((await child.exited) !== 0 && ran.fail === 0) ran.fail = 1;
  totals.pass += ran.pass;
  totals.fail += ran.fail;
  totals.skip += ran.skip;
  let file = "";
  for (const line of new Set(output.split("\n"))) {
    if (/^tests\/.*\.ts:$/.test(line)) file = line;
    if (line.startsWith("(fail) ")) failures.push(`${file} ${line.slice("(fail) ".length)}`);
  }
}

/** Those that take more than half of the time. */
const longer = ["api", "attacks", "cli"];
const others = readdirSync("tests").filter(
  (name) =>
    !longer.includes(name) && (name.endsWith(".test.ts") || !name.includes(".")) && name !== "harness",
);
const inTests = (names: readonly string[]) => [...args, ...names.map((name) => `tests/${name}`)];

const all = args.every((arg) => arg.startsWith("-"));
if (all) {
  const first = run(`on the embedded PostgreSQL: ${longer.join(", ")}`, inTests(longer), withoutExternal);
  await run("on the embedded PostgreSQL: all others", inTests(others), withoutExternal);
  if (external) await run("on the external PostgreSQL", inTests(["api", "sql"]), process.env);
  await first;
} else await run(args.join(" "), args, process.env);
await shownBefore;

if (all && !external) {
  console.log("\nnot run: tests/api and tests/sql on an external PostgreSQL (TEST_DATABASE_URL is not set)");
  totals[requireAll ? "fail" : "skip"] += 1;
}
if (failures.length > 0) console.log(`\nfailed:\n${failures.join("\n")}`);
console.log(`\n${totals.pass} passed, ${totals.fail} failed, ${totals.skip} skipped`);
process.exit(totals.fail > 0 ? 1 : 0);
