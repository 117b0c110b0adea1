import { expect, setDefaultTimeout, test } from "bun:test";
import type { Sql } from "../../src/database/pool.ts";
import { newId } from "../../src/id.ts";
import { Batch } from "../../src/metering/batch.ts";
import { writeBatch } from "../../src/metering/flush.ts";
import type { AttemptRecord, CallRecord } from "../../src/metering/record.ts";
import { callAt } from "../harness/call-record.ts";
import { createDatabase } from "../harness/database.ts";
import { createProgram } from "../harness/program.ts";
import { one } from "../keyring/fixture.ts";

setDefaultTimeout(60_000);

const environment = (url: string) => ({
  DATABASE_URL: url,
  LLMOPS_SECRET_KEY: one,
  OPEN_API_BASE: "https://api.moonshot.cn/v1",
  OPEN_API_MODEL: "kimi-k2.5,nameless-model",
});

/** A call of one attempt, with 1,000 prompt tokens, 400 of them cached, and 250 completion tokens. */
function callOf(time: string, model: string, bill: Pick<CallRecord, "cost" | "currency">): CallRecord {
  const metered = {
    prompt_tokens: 1000,
    cached_tokens: 400,
    cache_write_tokens: 0,
    completion_tokens: 250,
    reasoning_tokens: 0,
    usage_source: "provider",
    ...bill,
  } as const;
  const attempt: AttemptRecord = {
    provider: "default",
    model,
    started_ms: 0,
    status: "ok",
    status_code: 200,
    error_code: null,
    finish_reason: "stop",
    ttft_ms: 5,
    duration_ms: 9,
    ...metered,
  };
  return callAt(new Date(time), { model_used: model, ...metered, attempts: [attempt] });
}

const write = (sql: Sql, calls: readonly CallRecord[]) =>
  writeBatch(
    sql,
    Batch.of(
      calls.map((call) => ({
        id: call.id,
        record: call,
        charges: undefined,
        question: null,
        answer: null,
        truncated: false,
      })),
    ),
    newId(),
  );

const sums = async (sql: Sql) =>
  [
    ...(await sql<{ grain: string; currency: string; calls: number; cost: string }[]>`
      select grain, currency, sum(calls)::int as calls, trim_scale(sum(cost))::text as cost from usage
      where cut = 'service' group by 1, 2 having sum(calls) <> 0 order by 1, 2`),
  ].map(({ grain, currency, calls, cost }) => `${grain} ${calls} ${cost}${currency}`);

test("lists the prices of models, those of the settings too, and what ships with the program", async () => {
  await using database = await createDatabase();
  using program = createProgram();
  const { sql } = database;
  const id = newId();
  await sql`
    insert into model (id, name, upstream_name, created_at, updated_at) values (${id}, 'mine', 'kimi-k2.5', now(), now())`;
  await sql`
    insert into price (id, model_id, valid_from, currency, prompt, cached, completion, source, created_at)
    values (${newId()}, ${id}, '2026-01-01', 'EUR', 1.5, 0.25, 6, 'a contract', now()),
      (${newId()}, ${id}, '2026-06-01', 'EUR', 1.25, null, 5, 'another', now())`;
  const all = await program.run(["price", "list"], environment(database.url));
  expect(all).toMatchObject({ code: 0, stderr: "" });
  const lines = all.stdout.split("\n").map((line) => line.split(/ {2,}/));
  const [heading, ...rest] = lines;
  expect(heading?.[0]).toBe("model");
  const of = (name: string) => rest.filter(([first]) => first === name).map(([, ...more]) => more);
  expect(of("mine")).toHaveLength(2);
  expect(of("mine").map((more) => more.join(" ").replaceAll(/ +/g, " "))).toEqual(
    expect.arrayContaining([
      "EUR 1.5 0.25 - - 6 - 2026-01-01 a contract",
      "EUR 1.25 - - - 5 - 2026-06-01 another",
    ]),
  );
  expect(of("kimi-k2.5")[0]?.join(" ")).toMatch(/^CNY +4 +0\.7 +- +- +21 +- +2025-01-01/);
  expect(of("nameless-model")).toEqual([["unpriced"]]);
  expect(of("gpt-4o (api.openai.com)")[0]?.join(" ")).toMatch(/^USD +2\.5 +1\.25 +- +- +10 +- /);
  const [only] = await Promise.all([
    program.run(["price", "list", "--model", "mine"], environment(database.url)),
  ]);
  expect(only.stdout.match(/^mine /gm)).toHaveLength(2);
  expect(only.stdout).not.toContain("kimi");
});

test("prices calls anew, prints the totals before and after, and then has nothing to do", async () => {
  await using database = await createDatabase();
  using program = createProgram();
  const { sql } = database;
  const now = new Date().toISOString();
  await write(sql, [
    callOf("2026-11-01T10:00:00.000Z", "kimi-k2.5", { cost: "1", currency: "USD" }),
    callOf("2026-11-02T10:00:00.000Z", "kimi-k2.5", { cost: null, currency: null }),
    callOf("2026-11-02T10:00:00.000Z", "no-longer-there", { cost: "0.125", currency: "EUR" }),
    callOf(now, "kimi-k2.5", { cost: "0.5", currency: "CNY" }),
  ]);
  const env = environment(database.url);
  const reprice = (...flags: string[]) => program.run(["price", "reprice", ...flags], env);
  const before = await sums(sql);
  const november = ["--from", "2026-11-01", "--to", "2026-11-03"];
  // 600 × 4 + 400 × 0.7 + 250 × 21 = 7,930, of a million; see docs/gateway.md.
  const totals = "before  1 USD, unpriced, 0.125 EUR\nafter   0.01586 CNY, 0.125 EUR\n";
  const dry = { code: 0, stdout: `3 calls, 2 would change\n${totals}`, stderr: "" };
  expect(await reprice(...november, "--dry-run")).toEqual(dry);
  expect(await sums(sql)).toEqual(before);
  expect(await reprice(...november)).toEqual({ ...dry, stdout: `3 calls, 2 changed\n${totals}` });
  const grains = ["day", "hour", "month"];
  expect(await sums(sql)).toEqual(
    grains.flatMap((grain) => [`${grain} 3 0.51586CNY`, `${grain} 1 0.125EUR`]),
  );
  // The times moved with the calls: what is left of the other currencies is nothing.
  expect(
    await sql`select from usage where calls = 0 and (ttft <> 0 or duration <> 0 or cost <> 0)`,
  ).toHaveLength(0);
  const again = "before  0.01586 CNY, 0.125 EUR\nafter   0.01586 CNY, 0.125 EUR\n";
  expect(await reprice(...november)).toEqual({ code: 0, stdout: `3 calls, 0 changed\n${again}`, stderr: "" });
  expect(await reprice("--from", "2020-01-01", "--to", "2020-02-01")).toEqual({
    code: 0,
    stdout: "0 calls, 0 changed\nbefore  0\nafter   0\n",
    stderr: "",
  });
  // Without an end it goes on to now.
  expect((await reprice("--from", now.slice(0, 10))).stdout).toBe(
    "1 calls, 1 changed\nbefore  0.5 CNY\nafter   0.00793 CNY\n",
  );
});

test("exits 2 with a pointer to the help where a date or another word is wrong, and touches no database", async () => {
  using program = createProgram();
  for (const [args, says] of [
    [[], "price takes one of list, reprice"],
    [["raise"], "price takes one of list, reprice"],
    [["list", "more"], "there are too many words"],
    [["list", "--from", "2026-11-01"], "--from goes with reprice"],
    [["reprice"], "reprice needs --from"],
    [["reprice", "--model", "m", "--from", "2026-11-01"], "--model goes with list"],
    [["reprice", "--from", "yesterday"], "--from takes a day such as 2026-11-24"],
    [["reprice", "--from", "2026-13-01"], "--from takes a day such as 2026-11-24"],
    [["reprice", "--from", "2026-11-01", "--to", "x"], "--to takes a day such as 2026-11-24"],
  ] as const) {
    const { code, stdout, stderr } = await program.run(["price", ...args], { DATABASE_URL: "canary" });
    expect([args, code, stdout]).toEqual([args, 2, ""]);
    expect(stderr).toContain(says);
    expect(stderr).toMatch(/^llmops: [^\n]*; see 'llmops price --help'\n$/);
  }
});
