/**
 * Runs the tests on the embedded PostgreSQL, and at the same time those of the API and of the SQL on an external one where
 * TEST_DATABASE_URL names it. Arguments go to `bun test`; with a path or a filter there is one run, on the external
 * server if there is one. Ends with the line `N passed, N failed, N skipped`.
 */

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

/**
 * Adds what one run of `bun test` counted; a run that ends without counting is one failure. What it says is shown as it comes,
 * or with `after` once that is over, so that two runs can go on at once and be read one after the other.
 */
async function run(
  what: string,
  paths: string[],
  env: NodeJS.ProcessEnv,
  after: Promise<void> = Promise.resolve(),
): Promise<void> {
  const child = Bun.spawn([process.execPath, "test", `--timeout=${hangMs}`, ...paths], {
    env,
    stdout: "ignore",
    stderr: "pipe",
  });
  let tail = "";
  let shown = after.then(() => console.log(`\n== ${what}`));
  const decoder = new TextDecoder();
  for await (const chunk of child.stderr) {
    shown = shown.then(() => void process.stderr.write(chunk));
    tail = (tail + decoder.decode(chunk, { stream: true })).slice(-10_000);
  }
  await shown;
  const counted = (word: string) => Number(tail.match(new RegExp(`^ *(\\d+) ${word}$`, "m"))?.[1] ?? 0);
  const ran = { pass: counted("pass"), fail: counted("fail"), skip: counted("skip") };
  if ((await child.exited) !== 0 && ran.fail === 0) ran.fail = 1;
  totals.pass += ran.pass;
  totals.fail += ran.fail;
  totals.skip += ran.skip;
}

if (args.some((arg) => !arg.startsWith("-"))) {
  await run(args.join(" "), args, process.env);
} else {
  const embedded = run("on the embedded PostgreSQL", args, withoutExternal);
  if (external) {
    const again = [...args, "tests/api", "tests/sql"];
    await Promise.all([embedded, run("on the external PostgreSQL", again, process.env, embedded)]);
  } else {
    await embedded;
    console.log(
      "\nnot run: tests/api and tests/sql on an external PostgreSQL (TEST_DATABASE_URL is not set)",
    );
    totals[requireAll ? "fail" : "skip"] += 1;
  }
}

console.log(`\n${totals.pass} passed, ${totals.fail} failed, ${totals.skip} skipped`);
process.exit(totals.fail > 0 ? 1 : 0);

export {};
