import { expect, test } from "bun:test";
import { createDatabase } from "../harness/database.ts";
import { startGateway } from "../harness/gateway.ts";
import { until } from "../harness/people.ts";
import { startTcpProxy } from "../harness/tcp-proxy.ts";

const chat = "/v1/chat/completions";
const question = { model: "app", messages: [{ role: "user", content: "hi" }] };
const times = (text: string, part: string) => text.split(part).length - 1;

test("records are written again after a database that fell silent in the middle of a write, and was never heard of again", async () => {
  await using database = await createDatabase();
  await using proxy = await startTcpProxy(database.url);
  await using it = await startGateway({ database, environment: { DATABASE_URL: proxy.url } });
  let calling = true;
  const callers = Array.from({ length: 8 }, async () => {
    while (calling) await (await it.post(chat, question)).text();
  });
  for (let silence = 1; silence <= 2; silence++) {
    const before = it.provider.calls.length;
    await until(() => it.provider.calls.length > before + 50);
    proxy.stall();
    await until(() => times(it.app.logged(), "database cannot be reached") === silence);
    proxy.restore({ forget: true });
    await until(() => times(it.app.logged(), "database is back") === silence);
  }
  calling = false;
  await Promise.all(callers);
  const { length } = it.provider.calls;
  await until(async () => {
    const [row] = await database.sql`select count(*)::int as calls from request`;
    return row?.calls === length;
  });
  expect(length).toBeGreaterThan(100);
}, 60_000);
