import { expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Guard } from "../../src/database/health.ts";
import type { Sql } from "../../src/database/pool.ts";
import { FailError } from "../../src/errors/app-error.ts";
import { newId } from "../../src/id.ts";
import { type LogFields, silentLog } from "../../src/log.ts";
import { wholeAttempts } from "../../src/metering/attempts.ts";
import { openJournal, segmentsIn } from "../../src/metering/journal.ts";
import { type AttemptRecord, type CallRecord, type Charge, toCharges } from "../../src/metering/record.ts";
import { createRecorder } from "../../src/metering/recorder.ts";
import { replayJournals } from "../../src/metering/replay.ts";
import { callAt } from "../harness/call-record.ts";
import { createDatabase } from "../harness/database.ts";
import { until } from "../harness/people.ts";

const record = (fields: Partial<CallRecord> = {}): CallRecord => callAt(new Date(), fields);
const standing = (it: CallRecord): CallRecord => ({ ...it, status: "interrupted", status_code: 500 });

const lineOf = (text: string) => {
  const bytes = Buffer.from(text);
  return { bytes, length: bytes.length };
};

/** A database that nobody reaches. */
const away = { begin: () => Promise.reject(new Error("away")) } as unknown as Sql;

async function start() {
  const root = mkdtempSync(join(tmpdir(), "llmops-journal-"));
  const database = await createDatabase();
  const { sql } = database;
  return {
    root,
    sql,
    statuses: async () =>
      Object.fromEntries(
        (await sql<{ id: string; status: string }[]>`select id, status from request`).map(
          ({ id, status }) => [id, status],
        ),
      ),
    async [Symbol.asyncDispose]() {
      await database[Symbol.asyncDispose]();
      rmSync(root, { recursive: true });
    },
  };
}

test("what is closed is in the database with its content, and its journal is gone", async () => {
  await using it = await start();
  const journal = openJournal({ root: it.root });
  const one = record();
  {
    await using recorder = createRecorder({ sql: it.sql, journal, log: silentLog });
    await recorder.open(standing(one), { question: '{"q":"你好"}' });
    void recorder.close(one, { answer: '{"a":1}' });
    await recorder.flushed();
    expect(await it.statuses()).toEqual({ [one.id]: "ok" });
    const [content] = await it.sql`select question, answer from request_content`;
    expect(content).toEqual({ question: '{"q":"你好"}', answer: '{"a":1}' });
  }
  expect(existsSync(journal.folder)).toBe(false);
});

test("a journal whose process is gone is brought in once: its ends as they stand, what has none as interrupted", async () => {
  await using it = await start();
  const journal = openJournal({ root: it.root });
  const recorder = createRecorder({ sql: away, journal, log: silentLog });
  const [ended, open] = [record(), record()];
  for (const each of [ended, open]) await recorder.open(standing(each), { question: '"q"' });
  // A second attempt of the same call is the same call.
  await recorder.open({ ...standing(open), model_used: "second" });
  await recorder.close(ended);
  // Whoever holds the lock lives: nothing is brought in.
  expect(await replayJournals({ sql: it.sql, root: it.root, log: silentLog })).toBe(0);
  const files = segmentsIn(journal.folder).map((path) => readFileSync(path));
  await recorder[Symbol.asyncDispose]();
  // A line that was not written whole, as a power cut leaves it.
  const [last = ""] = segmentsIn(journal.folder);
  writeFileSync(last, Buffer.concat([...files, Buffer.from("c\0\0\x01\0 and then")]));
  expect(await replayJournals({ sql: it.sql, root: it.root, log: silentLog })).toBe(2);
  expect(await it.statuses()).toEqual({ [ended.id]: "ok", [open.id]: "interrupted" });
  expect(readdirSync(it.root)).toEqual([]);
  const [row] = await it.sql`select model_used from request where id = ${open.id}`;
  expect(row?.model_used).toBe("second");
}, 20_000);

test("a line that makes no sense costs no other", async () => {
  await using it = await start();
  const journal = openJournal({ root: it.root });
  const recorder = createRecorder({ sql: away, journal, log: silentLog });
  const [first, damaged, last] = [record(), record({ session: "here" }), record()];
  for (const each of [first, damaged, last]) await recorder.close(each);
  await recorder[Symbol.asyncDispose]();
  const [path = ""] = segmentsIn(journal.folder);
  const bytes = readFileSync(path);
  // The attempts of the second, which are JSON.
  bytes.write("!", bytes.indexOf("[", bytes.indexOf("here")));
  writeFileSync(path, bytes);
  const errors: unknown[] = [];
  const log = {
    ...silentLog,
    error: (message: string, fields?: LogFields) => void errors.push(message, fields),
  };
  expect(await replayJournals({ sql: it.sql, root: it.root, log })).toBe(2);
  expect(errors).toEqual(["lines of a journal make no sense", { folder: journal.folder, lines: 1 }]);
  expect(await it.statuses()).toEqual({ [first.id]: "ok", [last.id]: "ok" });
  // It is kept for whoever wants to look.
  expect(readdirSync(it.root)).toEqual([`${journal.folder.slice(it.root.length + 1)}.damaged`]);
}, 20_000);

test("a line whose end cannot be told ends its file, which is kept and told; one that was never written does not", async () => {
  for (const [tail, damaged] of [
    ["x\0\0\0\x01?", 1],
    ["c\xff\xff\xff\xfb", 1],
    ["\0\0\0\0\0\0\0\0", 0],
    ["c\0\0\x01\0 and then", 0],
    ["c", 0],
  ] as const) {
    await using it = await start();
    const journal = openJournal({ root: it.root });
    const recorder = createRecorder({ sql: away, journal, log: silentLog });
    const one = record();
    await recorder.close(one);
    await recorder[Symbol.asyncDispose]();
    const [path = ""] = segmentsIn(journal.folder);
    writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.from(tail, "latin1")]));
    expect(await replayJournals({ sql: it.sql, root: it.root, log: silentLog })).toBe(1);
    expect(await it.statuses()).toEqual({ [one.id]: "ok" });
    expect(readdirSync(it.root)).toHaveLength(damaged);
  }
}, 60_000);

test("what is brought in from a journal is what was written down, with the budgets of its last line", async () => {
  await using it = await start();
  const journal = openJournal({ root: it.root });
  const recorder = createRecorder({ sql: away, journal, log: silentLog });
  const charge = (bound: string): Charge => ({
    budget_id: newId(),
    end_user: 'it\'s "me"',
    starts_at: new Date(0).toISOString(),
    currency: "CNY",
    bound,
  });
  const [same, others, left] = [1, 2, 3].map(() => record({ cost: null, currency: null })) as [
    CallRecord,
    CallRecord,
    CallRecord,
  ];
  const [first, second] = [toCharges([charge("1")]), toCharges([charge("2"), charge("3")])];
  for (const each of [same, others, left]) await recorder.open(standing(each), { charges: first });
  await recorder.close(same, { charges: first });
  await recorder.close(others, { charges: second });
  await recorder[Symbol.asyncDispose]();
  expect(await replayJournals({ sql: it.sql, root: it.root, log: silentLog })).toBe(3);
  const rows = await it.sql<{ id: string; charges: unknown }[]>`select id, charges from request`;
  expect(Object.fromEntries(rows.map(({ id, charges }) => [id, charges]))).toEqual({
    [same.id]: first.list,
    [others.id]: second.list,
    [left.id]: first.list,
  });
}, 20_000);

test("odd texts are kept as they are, whether a batch is new, or some of it is there already, or comes from a journal", async () => {
  await using it = await start();
  const journal = openJournal({ root: it.root });
  await using recorder = createRecorder({ sql: it.sql, journal, log: silentLog });
  const odd = "\\N \\. \t tab \n line \r 'quoted' \"twice\" {1,2} 你好 \u{1f600}";
  const common = record({ cost: null, currency: null, ttft_ms: null });
  const [plain] = wholeAttempts(common, [{}]) as [AttemptRecord];
  const attempt: AttemptRecord = { ...plain, provider: odd, model: odd, status_code: null };
  const fields = { end_user: odd, session: odd, cost: null, currency: null, ttft_ms: null, stream: true };
  const content = { question: JSON.stringify({ q: odd }), answer: JSON.stringify([odd]), truncated: true };
  const [first, second, third] = [1, 2, 3].map(() => record({ ...fields, attempts: [attempt] })) as [
    CallRecord,
    CallRecord,
    CallRecord,
  ];
  recorder.close(first, content);
  await recorder.flushed();
  recorder.close(first, content);
  recorder.close(second, content);
  await recorder.flushed();
  const dead = createRecorder({ sql: away, journal: openJournal({ root: it.root }), log: silentLog });
  const { question, ...answered } = content;
  await dead.open(standing(third), { question });
  await dead.close(third, answered);
  await dead[Symbol.asyncDispose]();
  expect(await replayJournals({ sql: it.sql, root: it.root, log: silentLog })).toBe(1);
  const rows = await it.sql<CallRecord[]>`select * from request`;
  expect(rows).toHaveLength(3);
  for (const { created_at, ...sent } of [first, second, third]) {
    const unlimited = { charges: null, refusal: null };
    const row = rows.find(({ id }) => id === sent.id) as CallRecord;
    expect({ ...row, attempts: wholeAttempts(row, row.attempts), created_at: undefined }).toEqual({
      ...unlimited,
      ...sent,
      created_at: undefined,
    } as never);
    expect(new Date(row.created_at).toISOString()).toBe(created_at);
  }
  const contents = await it.sql`select question, answer, truncated from request_content order by id`;
  expect([...contents]).toEqual([content, content, content]);
}, 20_000);

test("a record that comes twice counts once, in the sums as well", async () => {
  await using it = await start();
  const journal = openJournal({ root: it.root });
  await using recorder = createRecorder({ sql: it.sql, journal, log: silentLog });
  const one = record();
  recorder.close(one);
  recorder.close(one);
  await recorder.flushed();
  recorder.close(one);
  await recorder.flushed();
  const [sums] =
    await it.sql`select sum(calls)::int as calls, trim_scale(sum(cost))::text as cost from usage where grain = 'day' and cut = 'service'`;
  expect(sums).toEqual({ calls: 1, cost: "0.5" });
});

test("what the database does not take is put aside, and holds up nobody else", async () => {
  await using it = await start();
  const journal = openJournal({ root: it.root });
  await using recorder = createRecorder({ sql: it.sql, journal, log: silentLog });
  const good = Array.from({ length: 9 }, () => record());
  const bad = record({ status: "nonsense" as never });
  // More than the column holds.
  const large = record({ prompt_tokens: 3_000_000_000 });
  for (const each of [...good.slice(0, 4), bad, ...good.slice(4), large]) recorder.close(each);
  await recorder.flushed();
  expect(Object.keys(await it.statuses()).toSorted()).toEqual(good.map(({ id }) => id).toSorted());
  const aside = readFileSync(join(journal.folder, "rejected.jsonl"), "utf8").trim().split("\n");
  const told = aside.map((line) => JSON.parse(line).record as CallRecord);
  expect(told.map(({ id, status, prompt_tokens }) => [id, status, prompt_tokens])).toEqual([
    [bad.id, "nonsense", bad.prompt_tokens],
    [large.id, "ok", 3_000_000_000],
  ]);
});

test("beyond its memory, what waits for the database is read back from the journal", async () => {
  await using it = await start();
  const journal = openJournal({ root: it.root });
  let away = true;
  const flaky = {
    begin: (work: never) => (away ? Promise.reject(new Error("away")) : it.sql.begin(work)),
  } as unknown as typeof it.sql;
  await using recorder = createRecorder({ sql: flaky, journal, log: silentLog, waitingBytesMax: 5000 });
  const all = Array.from({ length: 50 }, () => record());
  for (const each of all) {
    await recorder.open(standing(each), { question: '"asked"' });
    await recorder.close(each, { answer: '"told"' });
  }
  away = false;
  await recorder.flushed();
  expect(Object.keys(await it.statuses())).toHaveLength(50);
  const [content] =
    await it.sql`select count(*)::int as rows from request_content where question = '"asked"' and answer = '"told"'`;
  expect(content?.rows).toBe(50);
});

test("what comes while the database is tried again and again is one batch", async () => {
  await using it = await start();
  const journal = openJournal({ root: it.root });
  let [tries, away] = [0, true];
  const flaky = {
    begin(work: never) {
      tries++;
      return away ? Promise.reject(new Error("away")) : it.sql.begin(work);
    },
  } as unknown as typeof it.sql;
  await using recorder = createRecorder({ sql: flaky, journal, log: silentLog });
  for (let call = 0; call < 4; call++) {
    await recorder.close(record());
    const before = tries;
    await until(() => tries > before);
  }
  away = false;
  tries = 0;
  await recorder.flushed();
  expect(Object.keys(await it.statuses())).toHaveLength(4);
  // The one that was there first, and all that came later.
  expect(tries).toBe(2);
});

test("what finds no room while the journal is read back is read back after that", async () => {
  await using it = await start();
  const errors: string[] = [];
  const log = { ...silentLog, error: (message: string) => void errors.push(message) };
  let busy = true;
  const journal = openJournal({ root: it.root });
  const watched = {
    ...journal,
    seal() {
      busy = true;
      return journal.seal();
    },
  };
  const all: CallRecord[] = [];
  const close = async () => {
    const one = record();
    all.push(one);
    await recorder.open(standing(one));
    await recorder.close(one);
  };
  const sql = {
    begin: async (work: never) => {
      const more = busy && all.length < 20 ? 10 : 0;
      busy = false;
      for (let each = 0; each < more; each++) await close();
      return it.sql.begin(work);
    },
  } as unknown as typeof it.sql;
  await using recorder = createRecorder({ sql, journal: watched, log, waitingBytesMax: 5000 });
  await close();
  await recorder.flushed();
  expect(Object.keys(await it.statuses()).toSorted()).toEqual(all.map(({ id }) => id).toSorted());
  expect([all.length, errors]).toEqual([21, []]);
});

test("a write that was given up and goes on after all writes what it had begun with, and nothing that came later", async () => {
  await using it = await start();
  const journal = openJournal({ root: it.root });
  const begun: { goOn: () => void; over: Promise<unknown> }[] = [];
  const sql = {
    begin(work: never) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const over = promise.then(() => it.sql.begin(work));
      over.catch(() => {});
      begun.push({ goOn: resolve, over });
      return over;
    },
  } as unknown as typeof it.sql;
  let giveUp = (_: Error) => {};
  const guard: Guard = (service) => {
    const entries = Object.entries(service).map(([name, work]) => [
      name,
      (...given: unknown[]) =>
        Promise.race([
          (work as (...given: unknown[]) => Promise<unknown>)(...given),
          new Promise((_, reject) => {
            giveUp = reject;
          }),
        ]),
    ]);
    return Object.fromEntries(entries);
  };
  const recorder = createRecorder({ sql, journal, log: silentLog, guard });
  const [one, two] = [record(), record()];
  await recorder.close(one);
  await until(() => begun.length === 1);
  giveUp(new Error("away"));
  await until(() => begun.length === 2);
  begun[1]?.goOn();
  await begun[1]?.over;
  await recorder.close(two);
  await until(() => begun.length === 3);
  begun[0]?.goOn();
  await expect(begun[0]?.over).rejects.toMatchObject({ code: "23505" });
  expect(await it.statuses()).toEqual({ [one.id]: "ok" });
  // That one goes on to write what is not there yet, which is nothing.
  await until(() => begun.length === 4);
  for (const { goOn } of begun) goOn();
  await recorder[Symbol.asyncDispose]();
  expect(Object.keys(await it.statuses()).toSorted()).toEqual([one.id, two.id].toSorted());
  const [sums] =
    await it.sql`select sum(calls)::int as calls from usage where grain = 'day' and cut = 'service'`;
  expect(sums?.calls).toBe(2);
});

test("a disk that is full refuses calls, and what comes after stands on lines of its own", async () => {
  await using it = await start();
  let full = false;
  const { writeSync } = await import("node:fs");
  const write = ((fd: number, bytes: Uint8Array, at: number, length: number) => {
    if (!full) return writeSync(fd, bytes, at, length);
    // Half of it still fits.
    if (at === 0) return writeSync(fd, bytes, 0, Math.floor(length / 2));
    throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
  }) as typeof writeSync;
  const journal = openJournal({ root: it.root, write });
  await using recorder = createRecorder({ sql: it.sql, journal, log: silentLog });
  const [before, refused, after] = [record(), record(), record()];
  await recorder.open(standing(before));
  full = true;
  await expect(recorder.open(standing(refused))).rejects.toThrow(FailError);
  // An end is never refused: it goes to the database from memory.
  await recorder.close(before);
  full = false;
  await recorder.open(standing(after));
  await recorder.close(after);
  await recorder.flushed();
  expect(await it.statuses()).toEqual({ [before.id]: "ok", [after.id]: "ok" });
});

test("lines of one turn are one write, in their order; what is too long for that is written by itself", async () => {
  const root = mkdtempSync(join(tmpdir(), "llmops-journal-"));
  const { writeSync } = await import("node:fs");
  let writes = 0;
  const write = ((...parts: Parameters<typeof writeSync>) => {
    writes++;
    return writeSync(...parts);
  }) as typeof writeSync;
  using journal = openJournal({ root, write });
  const lines = ["first\n", "第二\n", `${"x".repeat(300_000)}\n`, "last\n"].map(lineOf);
  await Promise.all(lines.slice(0, 2).map((line) => journal.append(newId(), line)));
  expect(writes).toBe(1);
  await Promise.all(lines.map((line) => journal.append(newId(), line)));
  expect(writes).toBe(4);
  const [path = ""] = journal.seal();
  expect(readFileSync(path, "utf8")).toBe(
    [...lines.slice(0, 2), ...lines].map(({ bytes }) => bytes.toString()).join(""),
  );
  rmSync(root, { recursive: true });
});

test("a journal in a form that is not read any more is left as it is", async () => {
  await using it = await start();
  const folder = join(it.root, newId());
  mkdirSync(folder);
  writeFileSync(join(folder, "00000001.jsonl"), '{"open":"…"}\n');
  expect(await replayJournals({ sql: it.sql, root: it.root, log: silentLog })).toBe(0);
  expect(readdirSync(folder)).toEqual(["00000001.jsonl"]);
});

test("a journal that is being made, which nobody has locked yet, is nobody's to bring in", async () => {
  await using it = await start();
  const journal = openJournal({ root: it.root });
  journal.append(newId(), lineOf("{}\n"));
  const name = journal.folder.slice(it.root.length + 1);
  journal[Symbol.dispose]();
  renameSync(join(it.root, name), join(it.root, `.${name}`));
  expect(await replayJournals({ sql: it.sql, root: it.root, log: silentLog })).toBe(0);
  expect(readdirSync(it.root)).toEqual([`.${name}`]);
});
