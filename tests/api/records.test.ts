import { expect, test } from "bun:test";
import { insertRequestMany } from "../../src/sql/request.ts";
import { toRequest } from "../harness/app.ts";
import { callAt } from "../harness/call-record.ts";
import { type GatewayApp, startGateway } from "../harness/gateway.ts";
import { dataOf, startWithPeople } from "../harness/people.ts";
import { plays } from "../harness/provider.ts";

const ask = (it: GatewayApp, model: string, content: string, rest: object = {}) =>
  it.post("/v1/chat/completions", { model, messages: [{ role: "user", content }], ...rest });
const list = async (it: GatewayApp, query: string) =>
  dataOf(
    await it.app.owner.call<{ items: Record<string, unknown>[]; next_cursor: string | null }>(
      "GET",
      `/request${query}`,
    ),
  );

/** Three calls: of one user, of another with 100 % and a quote in it, and one that fails. */
async function startWithCalls() {
  const it = await startGateway();
  await ask(it, "gpt", "你好,世界", { user: "li", metadata: { session_id: "s1" } });
  await ask(it, "claude", '100%_sure "quoted"', { user: "han" });
  it.provider.script(plays.badRequest);
  await ask(it, "gpt", "bad");
  await it.records(3);
  return it;
}

test("finds calls by everything that tells them apart", async () => {
  await using it = await startWithCalls();
  const models = async (query: string) =>
    (await list(it, query)).items.map(({ end_user }) => end_user ?? "-");
  expect(await models("")).toEqual(["-", "han", "li"]);
  expect(await models("?limit=2")).toEqual(["-", "han"]);
  const { next_cursor } = await list(it, "?limit=2");
  expect(await models(`?cursor=${next_cursor}`)).toEqual(["li"]);
  for (const [query, expected] of [
    ["?user=li", ["li"]],
    ["?session=s1", ["li"]],
    ["?model=claude", ["han"]],
    ["?provider=anthropic", ["han"]],
    ["?status=error", ["-"]],
    ["?api=chat", ["-", "han", "li"]],
    ["?api=messages", []],
    [`?app_id=${it.appId}`, ["-", "han", "li"]],
    [`?key_id=${it.appId}`, []],
    ["?cost_min=0.000001&currency=CNY", ["han", "li"]],
    ["?cost_min=1", []],
    ["?duration_ms_min=100000", []],
    ["?from=2020-01-01T00:00:00Z", ["-", "han", "li"]],
    ["?to=2020-01-01T00:00:00Z", []],
    [`?text=${encodeURIComponent("你好")}`, ["han", "li"]], // The model says so, too.
    [`?text=${encodeURIComponent("世界")}`, ["li"]],
    [`?text=${encodeURIComponent("100%_s")}`, ["han"]],
    [`?text=${encodeURIComponent('"QUOTED"')}`, ["han"]],
    [`?text=${encodeURIComponent("1%")}`, []],
  ] as const) {
    expect([query, await models(query)]).toEqual([query, [...expected]]);
  }
  const long = await it.app.owner.call(
    "GET",
    "/request?text=xx&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z",
  );
  expect(long).toMatchObject({ code: "VALIDATE_ERROR", data: { from: [expect.any(String)] } });
});

test("tells a call with its attempts and its content, to those who may see the app", async () => {
  await using it = await startWithCalls();
  const id = String((await list(it, "?user=li")).items[0]?.id);
  const call = dataOf(await it.app.owner.call("GET", `/request/${id}`));
  expect(call).toMatchObject({
    id,
    model: "gpt",
    cost: "0.0001475",
    attempts: [{ provider: "default", model: "model-1", status: "ok" }],
    question: { model: "gpt", messages: [{ role: "user", content: "你好,世界" }] },
    answer: { choices: [{ message: { content: "Hello, wörld 你好。" } }] },
    truncated: false,
  });
  const stranger = await it.app.add("viewer");
  expect((await stranger.call("GET", `/request/${id}`)).code).toBe("NOT_FOUND");
  expect(dataOf(await stranger.call("GET", "/request"))).toEqual({ items: [], next_cursor: null });
  expect(dataOf(await stranger.call("GET", "/usage"))).toEqual({ items: [] });
  const member = { email: stranger.email, role: "viewer" };
  dataOf(await it.app.owner.call("POST", `/app/${it.appId}/member`, { body: member }));
  expect((await stranger.call("GET", `/request/${id}`)).code).toBe("SUCCESS");
});

test("keeps of the content what the app's config says", async () => {
  const mail = "write to li.lei@example.com";
  await using redacted = await startGateway({ config: { content: "redacted" } });
  await ask(redacted, "gpt", mail);
  const [row] = await redacted.records();
  const call = dataOf(await redacted.app.owner.call("GET", `/request/${row?.id}`));
  expect(call).toMatchObject({ question: { messages: [{ content: "write to [email]" }] } });
  await using none = await startGateway({ config: { content: "none" } });
  await ask(none, "gpt", mail);
  const [other] = await none.records();
  expect(dataOf(await none.app.owner.call("GET", `/request/${other?.id}`))).toMatchObject({
    question: null,
    answer: null,
  });
  const [content] = await none.app.database.sql`select count(*)::int as rows from request_content`;
  expect(content?.rows).toBe(0);
});

test("adds up calls, tokens and cost as the records have them, by whom and by what", async () => {
  await using it = await startWithCalls();
  const usage = async (query: string) =>
    dataOf(await it.app.owner.call<{ items: Record<string, unknown>[] }>("GET", `/usage${query}`)).items;
  const [all] = await usage("");
  expect(all).toMatchObject({
    calls: 3,
    errors: 1,
    error_rate: 1 / 3,
    unpriced_calls: 0,
    prompt_tokens: 22,
    cached_tokens: 8,
    completion_tokens: 14,
    costs: [{ currency: "CNY", cost: "0.000295" }],
  });
  expect((await usage("?by=hour&group=model")).map(({ model, calls }) => [model, calls])).toEqual([
    ["claude", 1],
    ["gpt", 2],
  ]);
  expect((await usage("?by=month&group=user,app")).map(({ user, calls }) => [user, calls])).toEqual([
    ["han", 1],
    ["li", 1],
  ]);
  expect(
    (await usage("?group=account&provider=anthropic")).map(({ account_id, calls }) => [account_id, calls]),
  ).toEqual([[it.app.owner.id, 1]]);
  for (const query of ["?group=user,model", "?user=li&model=gpt", "?by=hour&from=2020-01-01T00:00:00Z"]) {
    expect((await it.app.owner.call("GET", `/usage${query}`)).code).toBe("VALIDATE_ERROR");
  }
  expect((await it.app.owner.call("GET", "/usage?group=nonsense")).code).toBe("VALIDATE_ERROR");
});

test("downloads the same as CSV and as JSON lines, and defuses what a spreadsheet would run", async () => {
  await using it = await startGateway();
  await ask(it, "gpt", "hi", { user: '=HYPERLINK("x"),y' });
  await it.records();
  const get = async (path: string) => {
    const response = await it.app.fetch(toRequest("GET", path, { headers: it.app.owner.headers }));
    return { type: response.headers.get("content-type"), text: await response.text() };
  };
  const csv = await get("/request/export");
  expect(csv.type).toBe("text/csv; charset=utf-8");
  const [head, line, end] = csv.text.split("\r\n");
  expect(head).toStartWith("id,created_at,app_id");
  expect(line).toContain(`"'=HYPERLINK(""x""),y"`);
  expect(end).toBe("");
  const [row] = (await list(it, "")).items;
  const jsonl = await get("/request/export?format=jsonl");
  expect(
    jsonl.text
      .trimEnd()
      .split("\n")
      .map((each) => JSON.parse(each)),
  ).toEqual([row]);
  const sums = await get("/usage/export?group=model");
  expect(sums.text.split("\r\n")[1]).toMatch(/^\d{4}-\d\d-\d\dT00:00:00\.000Z,,,gpt,,,,1,0,0,/);
});

/** The pieces of a download as they come, each asked for when the one before was there. */
async function piecesOf(app: Awaited<ReturnType<typeof startWithPeople>>, path: string): Promise<string[]> {
  const response = await app.fetch(toRequest("GET", path, { headers: app.owner.headers }));
  expect(response.status).toBe(200);
  const decoder = new TextDecoder();
  const pieces: string[] = [];
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read())
    pieces.push(decoder.decode(read.value));
  return pieces;
}
const linesOf = (pieces: readonly string[]) => pieces.join("").split(/\r?\n/).slice(0, -1);

test("downloads everything there is, in pieces of a page each, and ends where there is nothing", async () => {
  await using app = await startWithPeople();
  const { sql } = app.database;
  const start = Date.UTC(2026, 0, 5);
  const calls = Array.from({ length: 1234 }, (_, n) => callAt(new Date(start + n * 1000)));
  await insertRequestMany(sql, JSON.stringify(calls));
  await sql`
    insert into usage (grain, starts_at, cut, app_id, key_id, model, provider, end_user, currency, calls, ttft)
    select 'day', day, 'user', gen_random_uuid(), gen_random_uuid(), '', '', 'user-' || n, 'CNY', n, 1e1404
    from generate_series(1, 5200) n, generate_series('2026-01-05'::timestamptz, '2026-01-06', interval '1 day') day`;
  const times = "from=2026-01-01T00:00:00Z&to=2026-01-31T00:00:00Z";
  const users = Array.from({ length: 5200 }, (_, n) => `user-${n + 1}`).sort();
  for (const format of ["csv", "jsonl"]) {
    const head = format === "csv" ? 1 : 0;
    const requests = await piecesOf(app, `/request/export?${times}&format=${format}`);
    expect(requests.map((piece) => linesOf([piece]).length)).toEqual([500 + head, 500, 234]);
    const ids = linesOf(requests)
      .slice(head)
      .map((line) => /[0-9a-f-]{36}/.exec(line)?.[0]);
    expect(ids).toEqual(calls.map(({ id }) => id).reverse());

    const usage = await piecesOf(app, `/usage/export?${times}&group=user&format=${format}`);
    expect(Math.max(...usage.map((piece) => linesOf([piece]).length))).toBeLessThanOrEqual(500 + head);
    const named = linesOf(usage)
      .slice(head)
      .map((line) => /user-\d+/.exec(line)?.[0] ?? "");
    expect(named).toEqual([...users, ...users]);

    for (const path of ["/request/export?user=nobody&", "/usage/export?user=nobody&"])
      expect(linesOf(await piecesOf(app, `${path}${times}&format=${format}`))).toHaveLength(head);
  }
  const list = await app.owner.call("GET", `/usage?${times}&group=user`);
  expect(list).toMatchObject({ code: "VALIDATE_ERROR", data: { group: [expect.any(String)] } });
});

test("keeps texts that no database can, but for what it cannot", async () => {
  await using it = await startGateway();
  const odd = 'a\u0000b\ud800c \\u0000 "d" 🙂';
  it.provider.script(({ response, call }) => {
    const choices = [{ index: 0, message: { role: "assistant", content: odd }, finish_reason: odd }];
    const body = JSON.stringify({ id: "x", model: call.body.model, choices });
    response.writeHead(200, { "content-type": "application/json" }).end(body);
  });
  const answer = await ask(it, "gpt", odd, { user: odd });
  expect(await answer.json()).toMatchObject({ choices: [{ message: { content: odd } }] });
  const [row] = await it.records();
  const shown = 'a\ufffdb\ufffdc \\u0000 "d" 🙂';
  expect(row).toMatchObject({ end_user: shown, finish_reason: shown });
  expect(dataOf(await it.app.owner.call("GET", `/request/${row?.id}`))).toMatchObject({
    question: { messages: [{ content: shown }] },
    answer: { choices: [{ message: { content: shown } }] },
  });
});
