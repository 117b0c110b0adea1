import { expect, test } from "bun:test";
import { silentLog } from "../../src/log.ts";
import { createRegistry } from "../../src/services/registry.ts";
import { reprice } from "../../src/services/reprice.ts";
import { listLedgerFault } from "../../src/sql/ledger.ts";
import { type GatewayApp, heard, startGateway } from "../harness/gateway.ts";
import { dataOf } from "../harness/people.ts";

/** The models as a command of the program's knows them. */
function registryOf(it: GatewayApp) {
  const general = {
    apiKey: undefined,
    baseUrl: it.provider.baseUrl,
    models: ["gpt"],
    timeouts: { connectMs: 1, firstByteMs: 1, idleMs: 1, totalMs: 1 },
    proxied: false,
  };
  return createRegistry({
    sql: it.app.database.sql,
    keyring: {
      open: () => "",
      seal: () => new Uint8Array(),
      hash: () => new Uint8Array(),
      signKey: new Uint8Array(),
    },
    changes: { cache: (load) => ({ get: async (id) => (await load(id))?.value }) },
    general,
    guard: (service) => service,
    log: silentLog,
  });
}

test("prices past calls anew, in records and sums alike, and tells both totals", async () => {
  await using it = await startGateway();
  const { sql } = it.app.database;
  for (const model of ["gpt", "claude"]) {
    await it.post("/v1/chat/completions", { model, user: "li", messages: [{ role: "user", content: "hi" }] });
  }
  await it.records(2);
  const { items } = dataOf(
    await it.app.owner.call<{ items: { id: string; name: string }[] }>("GET", "/model"),
  );
  const gpt = items.find(({ name }) => name === "gpt")?.id;
  const body = { currency: "USD", prompt: "10", completion: "20", valid_from: "2021-01-01T00:00:00Z" };
  dataOf(await it.app.owner.call("POST", `/model/${gpt}/price`, { body }));
  const registry = registryOf(it);
  const run = (dryRun: boolean) =>
    reprice(
      { sql, registry },
      {
        from: new Date(Date.now() - 3600_000),
        to: new Date(Date.now() + 3600_000),
        dryRun,
        progress: () => {},
      },
    );
  // 11 prompt tokens at 10 and 7 completion tokens at 20, of a million; the other call stays as it was.
  const expected = {
    calls: 2,
    changed: 1,
    before: new Map([["CNY", "0.000295"]]),
    after: new Map([
      ["USD", "0.00025"],
      ["CNY", "0.0001475"],
    ]),
  };
  expect(await run(true)).toEqual(expected);
  expect(await run(false)).toEqual(expected);
  expect(await run(false)).toMatchObject({ changed: 0, before: expected.after });
  const sums = await sql<{ cut: string; currency: string; calls: number; cost: string }[]>`
    select cut, currency, sum(calls)::int as calls, trim_scale(sum(cost))::text as cost from usage
    where grain = 'day' and cut <> 'app' group by 1, 2 order by 1, 2`;
  expect([...sums]).toEqual([
    { cut: "service", currency: "CNY", calls: 1, cost: "0.0001475" },
    { cut: "service", currency: "USD", calls: 1, cost: "0.00025" },
    { cut: "user", currency: "CNY", calls: 1, cost: "0.0001475" },
    { cut: "user", currency: "USD", calls: 1, cost: "0.00025" },
  ]);
  const [row] =
    await sql`select trim_scale(cost)::text as cost, currency, attempts from request where model = 'gpt'`;
  expect(row).toMatchObject({ cost: "0.00025", currency: "USD" });
  // It says no more than that its call does.
  expect(row?.attempts).toHaveLength(1);
  expect(row?.attempts[0]).not.toHaveProperty("cost");
});

test("bills what the provider keeps for an hour at its own price, and again when it is priced anew", async () => {
  await using it = await startGateway();
  const { sql } = it.app.database;
  const { items } = dataOf(
    await it.app.owner.call<{ items: { id: string; name: string }[] }>("GET", "/model"),
  );
  const claude = items.find(({ name }) => name === "claude")?.id;
  const price = { currency: "USD", prompt: "4", cache_write: "5", completion: "20" };
  const add = async (body: object) =>
    dataOf(await it.app.owner.call("POST", `/model/${claude}/price`, { body: { ...price, ...body } }));
  it.provider.script(({ call, response }) => {
    const usage = {
      input_tokens: 100,
      cache_creation_input_tokens: 30,
      cache_read_input_tokens: 0,
      cache_creation: { ephemeral_5m_input_tokens: 10, ephemeral_1h_input_tokens: 20 },
      output_tokens: 1,
    };
    const content = [{ type: "text", text: "Hi." }];
    const answer = { id: "m1", type: "message", role: "assistant", model: call.body.model, content };
    response
      .writeHead(200, { "content-type": "application/json" })
      .end(JSON.stringify({ ...answer, stop_reason: "end_turn", usage }));
  });
  await it.post("/v1/messages", {
    model: "claude",
    max_tokens: 9,
    messages: [{ role: "user", content: "hi" }],
  });
  const [before] = await it.records();
  expect(before?.attempts).toMatchObject([{ cache_write_tokens: 30, cache_write_long_tokens: 20 }]);
  await add({ cache_write_long: "8", valid_from: "2021-01-01T00:00:00Z" });
  const from = new Date(Date.now() - 3600_000);
  const to = new Date(Date.now() + 3600_000);
  await reprice({ sql, registry: registryOf(it) }, { from, to, dryRun: false, progress: () => {} });
  const [after] = await it.records();
  // 100 × 4 + 10 × 5 + 20 × 8 + 1 × 20 = 630, of a million
  expect(after).toMatchObject({ currency: "USD", cost: expect.stringMatching(/^0\.000630*$/) });
});

test("books what pricing anew changed to the call's budgets, in their currency, however often it is done", async () => {
  await using it = await startGateway();
  const { sql } = it.app.database;
  const budget = {
    name: "b",
    scope: "app",
    subject_id: it.appId,
    currency: "CNY",
    amount: "1",
    period: "forever",
  };
  const { id } = dataOf(await it.app.owner.call<{ id: string }>("POST", "/budget", { body: budget }));
  dataOf(
    await it.app.owner.call("POST", "/rate", {
      body: { base: "USD", quote: "CNY", value: "7", valid_from: "2020-01-01T00:00:00Z" },
    }),
  );
  await heard(it.app, it.appId);
  await it.post("/v1/chat/completions", { model: "app", messages: [{ role: "user", content: "hi" }] });
  await it.records();
  const { items } = dataOf(
    await it.app.owner.call<{ items: { id: string; name: string }[] }>("GET", "/model"),
  );
  const gpt = items.find(({ name }) => name === "gpt")?.id;
  const from = new Date(Date.now() - 3600_000);
  const to = new Date(Date.now() + 3600_000);
  for (const [place, prompt] of ["10", "30"].entries()) {
    const body = { currency: "USD", prompt, completion: "20", valid_from: `202${place + 1}-01-01T00:00:00Z` };
    dataOf(await it.app.owner.call("POST", `/model/${gpt}/price`, { body }));
    await reprice({ sql, registry: registryOf(it) }, { from, to, dryRun: false, progress: () => {} });
  }
  // 11 × 30 + 7 × 20 = 470 of a million in USD, and seven times that in CNY.
  const { state } = dataOf(await it.app.owner.call<{ state: { used: string } }>("GET", `/budget/${id}`));
  expect(state.used).toBe("0.00329");
  expect(await listLedgerFault(sql as never)).toEqual([]);
});
