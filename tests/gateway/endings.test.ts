import { describe, expect, test } from "bun:test";
import { formatDecimal, parseDecimal } from "../../src/metering/money.ts";
import { toRequest } from "../harness/app.ts";
import { type GatewayApp, heard, price, startGateway } from "../harness/gateway.ts";
import { dataOf } from "../harness/people.ts";
import { type Call, type Play, pieces, plays } from "../harness/provider.ts";

/** Whom a caller speaks to, in which dialect, and who answers. */
interface Way {
  api: "chat" | "messages" | "completion";
  model: "gpt" | "claude";
}
const ways: Way[] = [
  { api: "chat", model: "gpt" },
  { api: "chat", model: "claude" },
  { api: "messages", model: "claude" },
  { api: "messages", model: "gpt" },
  { api: "completion", model: "gpt" },
];

const question = { role: "user", content: "hi" };
const ask = (
  it: GatewayApp,
  { api, model }: Way,
  stream: boolean,
  signal?: AbortSignal,
): Promise<Response> => {
  const options = signal ? { signal } : {};
  const messages = [question];
  if (api === "chat") return it.post("/v1/chat/completions", { model, messages, stream }, options);
  if (api === "messages")
    return it.post("/v1/messages", { model, max_tokens: 100, messages, stream }, options);
  const { headers } = it.app.owner;
  const request = toRequest("POST", "/app/completion", { body: { query: "hi", stream }, headers });
  return it.app.fetch(signal ? new Request(request, { signal }) : request);
};

const decoder = new TextDecoder();

/** Reads an answer as far as a word of it. */
async function readUntil(answer: Response, word: string) {
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
  let seen = "";
  while (!seen.includes(word)) seen += decoder.decode((await reader.read()).value);
  return { reader, seen };
}

/** What tokens cost, worked out apart from the program, in hundredths of the price's unit. */
const costOf = (prompt: number, cached: number, completion: number): string => {
  const units = (text: string) => parseDecimal(text).units * 10n ** BigInt(2 - parseDecimal(text).scale);
  const total =
    BigInt(prompt - cached) * units(price.prompt) +
    BigInt(cached) * units(price.cached) +
    BigInt(completion) * units(price.completion);
  return formatDecimal({ units: total, scale: 8 });
};

const billed = <T extends { cost: string | null }>(row: T | undefined) =>
  row && { ...row, cost: row.cost && formatDecimal(parseDecimal(row.cost)) };

/** The bill that the provider's own ledger calls for. */
const reportedBill = ({ produced: { prompt, cached, completion } }: Call) => ({
  prompt_tokens: prompt,
  cached_tokens: cached,
  completion_tokens: completion,
  usage_source: "provider",
  cost: costOf(prompt, cached, completion),
});

/** The bill where the provider has told nobody what it counted: by the bytes that went either way. */
const estimatedBill = ({ body, produced }: Call, prompt: number) => {
  expect(prompt).toBeGreaterThan(0);
  expect(prompt).toBeLessThanOrEqual(Math.ceil(JSON.stringify(body).length / 4) + 60);
  const completion = Math.ceil(produced.bytes / 4);
  const cost = costOf(prompt, 0, completion);
  return { prompt_tokens: prompt, completion_tokens: completion, usage_source: "estimate", cost };
};
const nothing = { prompt_tokens: 0, completion_tokens: 0, usage_source: "none", cost: "0" };

interface Expected {
  status: string;
  error?: string;
  bill: "reported" | "estimated" | "nothing";
}
const cut = (error: string): Expected => ({ status: "error", error, bill: "estimated" });

/** Endings of which the caller has no part: what the provider does, and what is on record then. */
const endings: [name: string, stream: boolean, play: Play, expected: Expected][] = [
  ["a good end", true, plays.ok, { status: "ok", bill: "reported" }],
  ["a good whole answer", false, plays.ok, { status: "ok", bill: "reported" }],
  ["a stall in the middle", true, plays.stall, cut("timeout_idle")],
  ["an error event", true, plays.errorEvent, cut("failed")],
  ["no usage", true, plays.noUsage, { status: "ok", bill: "estimated" }],
  ["no usage in a whole answer", false, plays.noUsage, { status: "ok", bill: "estimated" }],
  ["a usage of nothing", true, plays.zeroUsage, { status: "ok", bill: "estimated" }],
  ["usage in the middle of a stream", true, plays.usageInTheMiddle, { status: "ok", bill: "reported" }],
  ["usage twice", true, plays.usageTwice, { status: "ok", bill: "reported" }],
  ["no last event", true, plays.noLastEvent, { status: "ok", bill: "reported" }],
  ["silence before the first piece", true, plays.hang, cut("timeout_first_byte")],
  ["a refusal", false, plays.badRequest, { status: "error", error: "bad_request", bill: "nothing" }],
];

/** For those that wait for a limit; a busy machine must not meet it in the others. */
const impatient = { LLMOPS_UPSTREAM_IDLE_TIMEOUT: "0.2", LLMOPS_UPSTREAM_FIRST_BYTE_TIMEOUT: "0.3" };

for (const way of ways) {
  describe(`${way.api} answered by ${way.model}`, () => {
    for (const [name, stream, play, expected] of endings) {
      test(`is billed for what the provider produced after ${name}`, async () => {
        const environment = expected.error?.startsWith("timeout") ? impatient : {};
        await using it = await startGateway({ environment });
        it.provider.script(play);
        await (await ask(it, way, stream)).text();
        const [row] = await it.records();
        const call = await it.provider.call(0);
        expect(it.provider.calls).toHaveLength(1);
        const bill = {
          reported: () => reportedBill(call),
          estimated: () => estimatedBill(call, row?.prompt_tokens ?? 0),
          nothing: () => nothing,
        }[expected.bill]();
        expect(billed(row)).toMatchObject({
          ...bill,
          status: expected.status,
          error_code: expected.error ?? null,
          api: way.api,
          model_used: way.model,
          currency: "CNY",
          stream,
        });
        expect(row?.attempts).toHaveLength(1);
        expect(row?.attempts[0]).toMatchObject({ status: expected.status, usage_source: bill.usage_source });
      });
    }

    test("is billed by estimate where the connection breaks off in the middle, which the caller is told", async () => {
      await using it = await startGateway();
      it.provider.script(plays.stall);
      const { reader, seen } = await readUntil(await ask(it, way, true), "Hello");
      const call = await it.provider.call(0);
      call.destroy();
      let text = seen;
      for (let next = await reader.read(); !next.done; next = await reader.read())
        text += decoder.decode(next.value);
      expect(text).toMatch(/error/);
      const [row] = await it.records();
      const bill = estimatedBill(call, row?.prompt_tokens ?? 0);
      expect(billed(row)).toMatchObject({ ...bill, status: "error", error_code: "cut" });
      expect(it.provider.calls).toHaveLength(1);
    });

    for (const stream of [true, false]) {
      test(`is billed by estimate where the caller leaves ${stream ? "a stream before its first piece" : "a whole answer"}`, async () => {
        await using it = await startGateway();
        it.provider.script(plays.hang);
        const caller = new AbortController();
        const answer = ask(it, way, stream, caller.signal).catch(() => undefined);
        const call = await it.provider.call(0);
        caller.abort();
        await call.aborted;
        await answer;
        const [row] = await it.records();
        const bill = estimatedBill(call, row?.prompt_tokens ?? 0);
        expect(billed(row)).toMatchObject({ ...bill, status: "cancelled", status_code: 499 });
      });
    }

    test("is billed by estimate where the caller leaves in the middle, and the provider's call ends", async () => {
      await using it = await startGateway();
      it.provider.script(plays.stall);
      const { reader } = await readUntil(await ask(it, way, true), "Hello");
      await reader.cancel();
      const call = await it.provider.call(0);
      await call.aborted;
      const [row] = await it.records();
      const bill = estimatedBill(call, row?.prompt_tokens ?? 0);
      expect(billed(row)).toMatchObject({ ...bill, status: "cancelled", status_code: 499 });
      expect(call.produced.bytes).toBe(Buffer.byteLength(pieces[0] ?? ""));
    });

    test("is billed for both attempts where the first broke off and the second answered", async () => {
      await using it = await startGateway();
      it.provider.script(plays.cutWhole, plays.ok);
      expect((await ask(it, way, false)).status).toBe(200);
      const [row] = await it.records();
      const [one, two] = row?.attempts ?? [];
      const partial = { status: "error", error_code: "cut", usage_source: "estimate", completion_tokens: 0 };
      expect(one).toMatchObject(partial);
      const bill = reportedBill(await it.provider.call(1));
      expect(billed(two)).toMatchObject(bill);
      const prompt = (one?.prompt_tokens ?? 0) + bill.prompt_tokens;
      expect(billed(row)).toMatchObject({
        status: "ok",
        prompt_tokens: prompt,
        completion_tokens: bill.completion_tokens,
        usage_source: "estimate",
        cost: costOf(prompt, bill.cached_tokens, bill.completion_tokens),
      });
    });
  });
}

for (const way of ways.filter(({ api }) => api !== "completion")) {
  for (const stream of [false, true]) {
    test(`${way.api} answered by ${way.model}${stream ? " as a stream" : ""} comes from the cache the second time, and costs nothing`, async () => {
      await using it = await startGateway({ config: { cache: { ttl_seconds: 60 } } });
      const first = await ask(it, way, stream);
      const text = await first.text();
      const second = await ask(it, way, stream);
      expect(await second.text()).toBe(text);
      expect(second.headers.get("content-type")).toBe(first.headers.get("content-type"));
      expect([first, second].map(({ headers }) => headers.get("x-llmops-cache"))).toEqual(["miss", "hit"]);
      expect(it.provider.calls).toHaveLength(1);
      const [paid, free] = await it.records(2);
      expect(paid).toMatchObject({ cache_hit: false, usage_source: "provider" });
      expect(billed(free)).toMatchObject({ ...nothing, cache_hit: true, status: "ok", attempts: [] });
    });
  }
}

test("numbers that are too long to be told apart once read are two questions", async () => {
  await using it = await startGateway({ config: { cache: { ttl_seconds: 60 } } });
  const said = async (seed: string) => {
    const body = `{"model":"gpt","messages":[{"role":"user","content":"hi"}],"seed":${seed}}`;
    const answer = await it.post("/v1/chat/completions", body as unknown as object);
    await answer.text();
    return answer.headers.get("x-llmops-cache");
  };
  const long = "9007199254740993";
  expect([await said(long), await said(long), await said("9007199254740992")]).toEqual([
    "miss",
    "hit",
    "miss",
  ]);
});

test("an answer of another model under the same name does not come from the cache", async () => {
  await using it = await startGateway({ config: { cache: { ttl_seconds: 60 } } });
  const way: Way = { api: "chat", model: "gpt" };
  await (await ask(it, way, false)).text();
  const { items } = dataOf(
    await it.app.owner.call<{ items: { id: string; name: string }[] }>("GET", "/model"),
  );
  const gpt = items.find(({ name }) => name === "gpt");
  dataOf(await it.app.owner.call("POST", `/model/${gpt?.id}`, { body: { upstream_name: "model-3" } }));
  await heard(it.app, it.appId);
  const second = await ask(it, way, false);
  expect([second.headers.get("x-llmops-cache"), await second.json()]).toMatchObject([
    "miss",
    { model: "model-3" },
  ]);
});

test("several calls of tools in a whole answer to who asked for a stream stay apart, in either dialect", async () => {
  await using it = await startGateway();
  const tool_calls = ["a", "b"].map((name) => ({
    id: `call_${name}`,
    type: "function",
    function: { name, arguments: "{}" },
  }));
  const choices = [{ index: 0, message: { role: "assistant", tool_calls }, finish_reason: "tool_calls" }];
  it.provider.script(({ response }) => {
    response
      .writeHead(200, { "content-type": "application/json" })
      .end(JSON.stringify({ id: "c", model: "model-1", choices }));
  });
  const chat = await (await ask(it, { api: "chat", model: "gpt" }, true)).text();
  const [chunk] = chat.split("\n\n");
  expect(JSON.parse(chunk?.slice("data: ".length) ?? "").choices[0].delta.tool_calls).toEqual(
    tool_calls.map((call, index) => ({ index, ...call })),
  );
  const messages = await (await ask(it, { api: "messages", model: "gpt" }, true)).text();
  expect(messages.match(/"type":"tool_use"/g)).toHaveLength(2);
});
