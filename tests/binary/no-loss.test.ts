import { expect, test } from "bun:test";
import { createDatabase } from "../harness/database.ts";
import { startLoadedService } from "../harness/no-loss.ts";
import { until } from "../harness/people.ts";
import { startTcpProxy } from "../harness/tcp-proxy.ts";

const concurrency = 8;

test("loses no call and records none twice over kills under load", async () => {
  await using database = await createDatabase();
  await using it = await startLoadedService({ database, concurrency });
  const kills = 2;
  for (let kill = 0; kill < kills; kill++) {
    await it.after(300);
    await it.kill();
  }
  await it.after(100);
  const { seen, recorded, summed, missing, doubled, unseen } = await it.finish();
  expect(seen).toBeGreaterThan(700);
  expect({ missing, doubled }).toEqual({ missing: [], doubled: [] });
  // An attempt is written down before it is made: at a kill, the last thing that was.
  expect(unseen.filter((status) => status !== "interrupted")).toEqual([]);
  expect(unseen.length).toBeLessThanOrEqual(concurrency * kills);
  // The sums tell of as many calls as the records, each once.
  expect(summed).toBe(recorded);
}, 120_000);

test("loses no call and records none twice while the database is away", async () => {
  await using database = await createDatabase();
  await using proxy = await startTcpProxy(database.url);
  await using it = await startLoadedService({ database, url: proxy.url, concurrency });
  await it.after(100);
  proxy.cut();
  const cutAt = performance.now();
  await it.after(300);
  await until(() => performance.now() - cutAt > 3000);
  proxy.restore();
  await it.after(300);
  const { missing, doubled, unseen } = await it.finish();
  expect({ missing, doubled, unseen }).toEqual({ missing: [], doubled: [], unseen: [] });
}, 120_000);
