import { expect, test } from "bun:test";
import { createDatabase } from "../harness/database.ts";
import { callFleet, type Fleet, startFleet, startWriter, type Tenant } from "../harness/fleet.ts";
import { until } from "../harness/people.ts";

/** Asks on and on, from `clients` at once over all processes, until nothing has been let in for a while. */
async function exhaust(fleet: Fleet, tenant: Tenant, { clients = 24, maxTokens = 1024 } = {}) {
  let lastAt = performance.now();
  let failed = 0;
  const one = async (client: number) => {
    while (performance.now() - lastAt < 1500) {
      const url = fleet.urls[client % fleet.urls.length] ?? "";
      const { status } = await callFleet(url, { key: tenant.key, user: "u", maxTokens }).catch(() => ({
        status: 0,
      }));
      if (status === 200) lastAt = performance.now();
      else if (status !== 429) failed++;
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, client) => one(client)));
  return failed;
}

test("budgets on four levels over two processes are spent to the end and not one token further, and the books agree", async () => {
  await using database = await createDatabase();
  await using writer = startWriter({ delayMs: 5 });
  await using fleet = await startFleet({ database, baseUrl: writer.baseUrl, processes: 2 });
  const tenant = await fleet.tenant({ fit_budget: true });
  const amount = "12000";
  await fleet.budget({ scope: "key", subject_id: tenant.keyId, amount: "90000" });
  await fleet.budget({ scope: "account", subject_id: tenant.accountId, amount: "80000" });
  await fleet.budget({ scope: "user", subject_id: tenant.appId, amount: "70000" });
  const appBudget = await fleet.budget({ scope: "app", subject_id: tenant.appId, amount });
  await fleet.heard(tenant.appId);
  expect(await exhaust(fleet, tenant)).toBe(0);
  const used = writer.tokens.get("u") ?? 0;
  expect(used).toBeLessThanOrEqual(12_000);
  expect(used).toBeGreaterThanOrEqual(12_000 * 0.987);
  for (const place of [0, 1]) await fleet.stop(place);
  const sums = await database.sql`
    select budget_id, spent::float8 as spent, (select sum(amount)::float8 from ledger l where l.budget_id = p.budget_id) as booked
    from budget_period p`;
  expect(sums.map(({ spent, booked }) => [spent, booked])).toEqual(Array(4).fill([used, used]));
  expect(sums.some(({ budget_id }) => budget_id === appBudget)).toBe(true);
  expect(await database.sql`select from budget_lease`).toHaveLength(0);
  const doctor = await fleet.run(["doctor"]);
  expect(doctor.stdout).toContain("ok    ledger");
}, 120_000);

test("what a killed process held stays booked until its journal is brought in, and then nothing is held", async () => {
  await using database = await createDatabase();
  await using writer = startWriter({ delayMs: 20 });
  await using fleet = await startFleet({ database, baseUrl: writer.baseUrl, processes: 2 });
  const tenant = await fleet.tenant({ fit_budget: true });
  await fleet.budget({ subject_id: tenant.appId, amount: "20000" });
  await fleet.heard(tenant.appId);
  const load = exhaust(fleet, tenant);
  await until(() => (writer.tokens.get("u") ?? 0) > 6000);
  await fleet.kill(0);
  const { sql } = database;
  const held = async () =>
    Number((await sql`select coalesce(sum(amount), 0)::float8 as held from budget_lease`)[0]?.held);
  const afterKill = await held();
  expect(afterKill).toBeGreaterThan(0);
  await load;
  expect(writer.tokens.get("u") ?? 0).toBeLessThanOrEqual(20_000);
  await fleet.restart(0);
  await exhaust(fleet, tenant);
  for (const place of [0, 1]) await fleet.stop(place);
  const used = writer.tokens.get("u") ?? 0;
  expect(used).toBeLessThanOrEqual(20_000);
  expect(await held()).toBe(0);
  const doctor = await fleet.run(["doctor"]);
  expect(doctor.stdout).toContain("ok    ledger");
}, 120_000);

test("what is held by a process whose folder is lost stays held, doctor names it, and somebody can write it off", async () => {
  await using database = await createDatabase();
  await using writer = startWriter({ delayMs: 20 });
  await using fleet = await startFleet({ database, baseUrl: writer.baseUrl, processes: 1 });
  const tenant = await fleet.tenant();
  await fleet.budget({ name: "lost", subject_id: tenant.appId, amount: "100000" });
  await fleet.heard(tenant.appId);
  expect((await callFleet(fleet.urls[0] ?? "", { key: tenant.key, user: "u" })).status).toBe(200);
  await fleet.kill(0);
  const { sql } = database;
  // A minute later, as far as anybody can tell.
  await sql`update lease_holder set expires_at = now() - interval '1 minute', slots_until = now() - interval '1 minute'`;
  await fleet.restart(0, { lost: true });
  const [lease] = await sql<{ holder_id: string; amount: string }[]>`
    select holder_id, trim_scale(amount)::text as amount from budget_lease where amount <> 0`;
  expect(Number(lease?.amount)).toBeGreaterThan(0);
  const doctor = await fleet.run(["doctor"]);
  expect(doctor.stdout).toContain(`llmops lease settle ${lease?.holder_id}`);
  const listed = await fleet.run(["lease", "list"]);
  expect(listed.stdout).toContain(`${lease?.amount} XTS of budget "lost"`);
  const settled = await fleet.run(["lease", "settle", lease?.holder_id ?? "", "--spent", "100"]);
  expect([settled.code, settled.stderr.includes("error")]).toEqual([0, false]);
  const [after] = await sql`
    select spent::float8 as spent, (select sum(amount)::float8 from budget_lease) as held from budget_period`;
  expect(after).toEqual({ spent: 100, held: 0 } as never);
  const audited = await sql`select after from audit where action = 'lease.settle'`;
  expect(audited.map(({ after }) => after)).toEqual([{ holder_id: lease?.holder_id, spent: "100" }] as never);
  expect((await fleet.run(["doctor"])).stdout).not.toContain("lease settle");
}, 120_000);
