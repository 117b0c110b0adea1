import { expect, test } from "bun:test";
import type { CallRecord } from "../../src/metering/record.ts";
import { listLedgerFault } from "../../src/sql/ledger.ts";
import { heard } from "../harness/gateway.ts";
import { until } from "../harness/people.ts";
import { plays } from "../harness/provider.ts";
import { question, startLimited } from "./setup.ts";

const chat = "/v1/chat/completions";
const bytes = Buffer.byteLength(JSON.stringify(question));
/** What a call of these tests costs: 7 prompt tokens at 4, 4 cached at 1, 7 of the answer at 16.5, per million. */
const cost = 0.0001475;
/** What it may cost: each byte of the question at 4, and 10 tokens at 16.5. */
const worst = (bytes * 4 + 10 * 16.5) / 1e6;

const errorOf = async (answer: Response) =>
  ((await answer.json()) as { error: Record<string, unknown> }).error;

test("a hard budget lets in what fits at its worst, to the last bit, and books what it cost", async () => {
  const amount = (worst + cost).toFixed(7);
  await using it = await startLimited({
    budgets: ({ keyId }) => [{ scope: "key", subject_id: keyId, amount }],
  });
  for (let call = 0; call < 2; call++) expect((await it.post(chat, question)).status).toBe(200);
  const refused = await it.post(chat, question);
  expect(refused.status).toBe(429);
  expect(refused.headers.get("x-should-retry")).toBe("false");
  expect(refused.headers.get("retry-after")).toBeNull();
  const error = await errorOf(refused);
  expect(error.code).toBe("budget_exceeded");
  expect(error.message).toContain("budget 1");
  expect(it.provider.calls).toHaveLength(2);

  const records = await it.records(3);
  expect(records.at(-1)?.refusal).toMatchObject({
    limit: "budget",
    scope: "key",
    budget_id: it.budgetIds[0],
    currency: "CNY",
    bound: String(Number(amount)),
    asked: String(Number(worst.toFixed(7))),
    resets_at: null,
  });
  const { sql } = it.app.database;
  const ledger =
    await sql`select request_id, kind, trim_scale(amount)::text as amount, bound_exceeded from ledger order by id`;
  expect(ledger.map((row) => ({ ...row }))).toEqual(
    records.slice(0, 2).map(({ id }) => ({
      request_id: id,
      kind: "call",
      amount: "0.0001475",
      bound_exceeded: false,
    })),
  );
  expect(await listLedgerFault(sql as never)).toEqual([]);
});

test("where nobody has set the length of the answer, it is set where a hard budget relies on it, and only there", async () => {
  const { max_tokens: _, ...unbounded } = question;
  await using it = await startLimited({ budgets: () => [{ amount: "100" }] });
  await it.post(chat, unbounded);
  await it.post(chat, { ...question, max_tokens: 77 });
  expect(it.provider.calls.map(({ body }) => body.max_tokens)).toEqual([4096, 77]);
  await using soft = await startLimited({ budgets: () => [{ amount: "100", hard: false }] });
  await soft.post(chat, unbounded);
  expect(soft.provider.calls[0]?.body).not.toHaveProperty("max_tokens");
});

test("what is left decides how long an answer may be, where the app has it so, and a header says it", async () => {
  const amount = ((bytes * 4 + 20 * 16.5) / 1e6).toFixed(7);
  await using it = await startLimited({ budgets: () => [{ amount }] }, { config: { fit_budget: true } });
  const long = { ...question, max_tokens: 5000 };
  const answer = await it.post(chat, long);
  expect(answer.status).toBe(200);
  // The question is two bytes longer than the other.
  expect(answer.headers.get("x-llmops-max-tokens")).toBe("19");
  expect(it.provider.calls[0]?.body.max_tokens).toBe(19);
});

test("no answer is made so short that a model which is to think first would not take it", async () => {
  const thinking = { type: "enabled", budget_tokens: 1024 };
  const asked = { ...question, max_tokens: 5000, thinking };
  const length = Buffer.byteLength(JSON.stringify(asked));
  for (const [tokens, status] of [
    [1030, 429],
    [2000, 200],
  ] as const) {
    const amount = ((length * 4 + tokens * 16.5) / 1e6).toFixed(7);
    await using it = await startLimited({ budgets: () => [{ amount }] }, { config: { fit_budget: true } });
    const answer = await it.post("/v1/messages", asked);
    expect(answer.status).toBe(status);
    expect(answer.headers.get("x-llmops-max-tokens")).toBe(status === 200 ? "2000" : null);
  }
});

test("a call of which nothing was heard before its caller left is booked at what was kept back", async () => {
  await using it = await startLimited({ budgets: () => [{ amount: "1" }] });
  it.provider.script(plays.hang);
  const caller = new AbortController();
  const answer = it.post(chat, question, { signal: caller.signal }).catch(() => undefined);
  const call = await it.provider.call(0);
  caller.abort();
  await call.aborted;
  await answer;
  const [record] = await it.records();
  expect(record).toMatchObject({ status: "cancelled", completion_tokens: 10, usage_source: "estimate" });
  const [period] = await it.app.database.sql`select spent::float8 as spent from budget_period`;
  expect(period?.spent).toBeCloseTo(worst, 12);
});

test("an answer that was not to cost so much is billed in full, and counted apart", async () => {
  // Of one token: the provider writes seven.
  await using it = await startLimited({ budgets: () => [{ amount: "1" }] });
  const tiny = { model: "app", max_tokens: 1, messages: [{ role: "user", content: "hi" }] };
  it.provider.script(({ begin, piece, usage, finish }) => {
    begin();
    void piece("x");
    usage(1000);
    finish({ usage: "none" });
  });
  await (await it.post(chat, { ...tiny, stream: true })).text();
  const [record] = await it.records();
  const { sql } = it.app.database;
  const [period] = await sql`select trim_scale(spent)::text as spent, exceeded_calls from budget_period`;
  expect(period).toEqual({ spent: record?.cost?.replace(/0+$/, ""), exceeded_calls: "1" } as never);
});

test("a tier that the request may reach counts in its own currency: refused without a rate, dearer with one", async () => {
  const tiered = async (rates: { base: string; quote: string; value: string }[]) => {
    const it = await startLimited({ budgets: () => [{ amount: "1", currency: "CNY" }], rates });
    await it.app.database.sql`
      insert into price (id, model_id, valid_from, above_prompt_tokens, currency, prompt, completion, created_at)
      select gen_random_uuid(), model_id, valid_from, 1, 'USD', 10, 10, now() from price limit 1`;
    await heard(it.app, it.appId);
    return it;
  };
  await using it = await tiered([]);
  expect((await errorOf(await it.post(chat, question))).code).toBe("currency_mismatch");
  await using rated = await tiered([{ base: "USD", quote: "CNY", value: "1000000" }]);
  const refused = await rated.post(chat, question);
  expect((await errorOf(refused)).code).toBe("budget_exceeded");
  expect(rated.provider.calls).toHaveLength(0);
});

test("a model without a price is refused under a hard budget; so is another currency, until there is a rate", async () => {
  await using it = await startLimited({ budgets: () => [{ amount: "1", currency: "USD" }] });
  expect((await errorOf(await it.post(chat, question))).code).toBe("currency_mismatch");
  await using rated = await startLimited({
    budgets: () => [{ amount: "1", currency: "USD" }],
    rates: [{ base: "CNY", quote: "USD", value: "0.14" }],
  });
  expect((await rated.post(chat, question)).status).toBe(200);
  await rated.records();
  const [row] = await rated.app.database.sql`
    select currency, trim_scale(rate)::text as rate, trim_scale(cost)::text as cost, trim_scale(amount)::text as amount from ledger`;
  expect(row).toEqual({ currency: "CNY", rate: "0.14", cost: "0.0001475", amount: "0.00002065" } as never);

  await using unpriced = await startLimited({ budgets: () => [{ amount: "1" }] });
  await unpriced.app.database.sql`delete from price`;
  await heard(unpriced.app, unpriced.appId);
  const refused = await unpriced.post(chat, question);
  expect(refused.status).toBe(400);
  expect((await errorOf(refused)).code).toBe("model_unpriced");
  expect(unpriced.provider.calls).toHaveLength(0);
  // A count of tokens costs nothing.
  expect((await unpriced.post("/v1/messages/count_tokens", question)).status).toBe(200);
});

test("a soft budget refuses nothing, and says in the answer and in the log which share of it is gone", async () => {
  await using it = await startLimited({
    budgets: () => [{ name: "团队", amount: "0.0002", hard: false, warn_at: [0.5, 0.9] }],
  });
  for (let call = 1; call <= 2; call++) {
    expect((await it.post(chat, question)).status).toBe(200);
    await it.records(call);
  }
  let said: string | null = null;
  await until(async () => {
    said = (await it.post(chat, question)).headers.get("x-llmops-budget-warning");
    return said !== null;
  });
  expect(said as string | null).toStartWith(`${encodeURIComponent("团队")}=`);
  expect(it.app.logged()).toContain("a budget has reached a share of its amount");
});

test("a soft budget shows what is spent and left; nothing of it is held", async () => {
  await using it = await startLimited({ budgets: () => [{ amount: "1", hard: false }] });
  expect((await it.post(chat, question)).status).toBe(200);
  await it.records();
  const { data } = await it.app.owner.call("GET", `/budget/${it.budgetIds[0]}/explain`);
  expect(data).toMatchObject({
    state: { used: "0.0001475", held: "0", unknown: "0", left: "0.9998525" },
    leases: [],
  });
});

test("a call that was tried again keeps back what each try may cost, and books what all of them did", async () => {
  await using it = await startLimited({ budgets: () => [{ amount: (worst * 1.5).toFixed(7) }] });
  it.provider.script(
    ({ response }) => response.writeHead(500).end("{}"),
    ({ whole }) => whole(),
  );
  // A try that was answered with an error costs nothing: its place is free for the next.
  expect((await it.post(chat, question)).status).toBe(200);
  const [record] = await it.records();
  expect(record?.attempts).toHaveLength(2);
  expect(record?.charges?.[0]?.bound).toBe(String(Number(worst.toFixed(7))));
});

test("each of an app's users has the budget of users to themselves", async () => {
  const amount = (worst + cost / 2).toFixed(8);
  await using it = await startLimited({
    budgets: ({ appId }) => [
      { scope: "user", subject_id: appId, amount, period: "day", time_zone: "Asia/Shanghai" },
    ],
  });
  const status = async (user?: string) =>
    (await it.post(chat, { ...question, ...(user && { user }) })).status;
  expect([await status("a"), await status("a"), await status("b"), await status()]).toEqual([
    200, 429, 200, 200,
  ]);
  const refused = (await it.records(4))[1] as CallRecord;
  const resets = new Date(refused.refusal?.resets_at ?? "");
  expect([resets.getUTCHours(), resets.getUTCMinutes()]).toEqual([16, 0]);
});

test("the account's budget holds for the seed's completion as well, whose callers hear of it in the envelope", async () => {
  await using it = await startLimited({
    budgets: ({ accountId }) => [{ scope: "account", subject_id: accountId, amount: "0" }],
  });
  const answer = await it.app.owner.call("POST", "/app/completion", { body: { query: "hi" } });
  expect(answer.code).toBe("BUDGET_EXCEEDED");
  expect(answer.data).toMatchObject({ reason: "budget_exceeded", bound: "0", used: "0", resets_at: null });
  expect(it.provider.calls).toHaveLength(0);
});
