import { expect, test } from "bun:test";
import { listLedgerFault } from "../../src/sql/ledger.ts";
import { createDatabase } from "../harness/database.ts";
import { until } from "../harness/people.ts";
import { startTcpProxy } from "../harness/tcp-proxy.ts";
import { question, startLimited } from "./setup.ts";

const chat = "/v1/chat/completions";
/** More calls than any lease holds here. */
const many = 400;

test("without the database, calls go on while the lease lasts, then none does; nothing is counted twice afterwards", async () => {
  await using database = await createDatabase();
  await using proxy = await startTcpProxy(database.url);
  await using it = await startLimited(
    { budgets: () => [{ amount: "1" }] },
    { database, environment: { DATABASE_URL: proxy.url } },
  );
  expect((await it.post(chat, question)).status).toBe(200);
  proxy.cut();
  let passed = 0;
  let refused: Response | undefined;
  for (let call = 0; call < many && !refused; call++) {
    const answer = await it.post(chat, question);
    if (answer.status === 200) passed++;
    else refused = answer;
  }
  expect(passed).toBeGreaterThan(5);
  expect(refused?.status).toBe(503);
  expect(await refused?.json()).toMatchObject({
    error: { type: "server_error", code: "limits_unavailable" },
  });
  proxy.restore();
  await until(async () => (await it.post(chat, question)).status === 200);
  const calls = it.provider.calls.length;
  await until(async () => {
    const [row] = await database.sql`select count(*)::int as calls from ledger`;
    return row?.calls === calls;
  });
  expect(await listLedgerFault(database.sql as never)).toEqual([]);
});

test("without the database, calls go on unchecked where the settings say so, and the log says which budget is meant", async () => {
  await using database = await createDatabase();
  await using proxy = await startTcpProxy(database.url);
  await using it = await startLimited(
    { budgets: () => [{ amount: "1" }] },
    { database, environment: { DATABASE_URL: proxy.url, LLMOPS_LIMITS_WITHOUT_DATABASE: "allow" } },
  );
  expect((await it.post(chat, question)).status).toBe(200);
  proxy.cut();
  for (let call = 0; call < 60; call++) expect((await it.post(chat, question)).status).toBe(200);
  expect(it.app.logged()).toContain("a budget was not checked");
  proxy.restore();
  await until(async () => {
    const [row] = await database.sql`select count(*)::int as calls from ledger`;
    return row?.calls === it.provider.calls.length;
  });
  expect(await listLedgerFault(database.sql as never)).toEqual([]);
  // Nothing was kept back for those that went on unchecked: they have exceeded nothing.
  const [{ exceeded } = {}] = await database.sql`
    select count(*)::int as exceeded from ledger where bound_exceeded`;
  expect(exceeded).toBe(0);
});

test("limits that nobody has set stop nobody while the database is away", async () => {
  await using database = await createDatabase();
  await using proxy = await startTcpProxy(database.url);
  await using it = await startLimited({}, { database, environment: { DATABASE_URL: proxy.url } });
  expect((await it.post(chat, question)).status).toBe(200);
  proxy.cut();
  for (let call = 0; call < 60; call++) expect((await it.post(chat, question)).status).toBe(200);
  proxy.restore();
  await it.records(61);
});

test("a call that nobody was asked for, since its budget could not be checked, does not count as one of its minute", async () => {
  await using database = await createDatabase();
  await using proxy = await startTcpProxy(database.url);
  await using it = await startLimited(
    {
      budgets: () => [{ amount: "0.05" }],
      limits: ({ keyId }) => [{ scope: "key", subject: keyId, requests: 100_000 }],
    },
    { database, environment: { DATABASE_URL: proxy.url } },
  );
  for (let call = 0; call < 20; call++) expect((await it.post(chat, question)).status).toBe(200);
  proxy.cut();
  let refused = 0;
  for (let call = 0; call < many && refused < 5; call++) {
    if ((await it.post(chat, question)).status === 503) refused++;
  }
  expect(refused).toBe(5);
  proxy.restore();
  await until(async () => (await it.post(chat, question)).status === 200);
  const counted = async () => {
    const [row] = await database.sql`
      select coalesce(sum(each), 0)::int as counted from rate_counter, unnest(amounts) each where name like 'requests key %'`;
    return row?.counted;
  };
  await until(async () => (await counted()) >= it.provider.calls.length);
  expect(await counted()).toBe(it.provider.calls.length);
}, 30_000);
