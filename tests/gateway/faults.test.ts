import { describe, expect, test } from "bun:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { type GatewayApp, heard, startGateway } from "../harness/gateway.ts";
import { dataOf } from "../harness/people.ts";
import { type Play, plays } from "../harness/provider.ts";

/** What an unmodified client throws, by its class and status. */
interface Raised {
  name: string;
  status: number | undefined;
}

/** A fault, and what a client sees of it: `begun` is where a stream has begun before it. */
interface Fault {
  what: string;
  play?: Play;
  environment?: Record<string, string>;
  whole?: Raised;
  streamed: Raised | "begun" | "good";
}

const status = (of: number): Raised => ({
  status: of,
  name: { 400: "BadRequestError", 429: "RateLimitError" }[of] ?? "InternalServerError",
});
const quick = { LLMOPS_UPSTREAM_IDLE_TIMEOUT: "0.2", LLMOPS_UPSTREAM_FIRST_BYTE_TIMEOUT: "0.2" };

/** The faults of the documentation's table, in its order. */
const faults: Fault[] = [
  { what: "500s", play: plays.failing, whole: status(502), streamed: status(502) },
  { what: "429 with Retry-After", play: plays.busy, whole: status(429), streamed: status(429) },
  { what: "a used-up account", play: plays.usedUp, whole: status(502), streamed: status(502) },
  { what: "400", play: plays.badRequest, whole: status(400), streamed: status(400) },
  {
    what: "a connection that breaks before the answer",
    play: plays.refuse,
    whole: status(502),
    streamed: status(502),
  },
  {
    what: "silence before the answer",
    play: plays.hang,
    environment: { ...quick, LLMOPS_UPSTREAM_TOTAL_TIMEOUT: "0.4" },
    whole: status(504),
    streamed: status(504),
  },
  { what: "silence in the middle", play: plays.stall, environment: quick, streamed: "begun" },
  { what: "an error event", play: plays.errorEvent, streamed: "begun" },
  { what: "an answer cut off", play: plays.cutWhole, whole: status(502), streamed: status(502) },
  { what: "malformed JSON", play: plays.malformedJson, whole: status(502), streamed: status(502) },
  { what: "a malformed event", play: plays.malformedEvent, streamed: "begun" },
  { what: "an event without an end", play: plays.endless, streamed: "begun" },
  { what: "a gigantic event", play: plays.gigantic, streamed: "good" },
];

const raised = async (work: () => Promise<unknown>): Promise<unknown> => {
  try {
    await work();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was raised");
};

const nameOf = (error: unknown): Raised => {
  const thrown = error as { constructor: { name: string }; status?: number };
  // Anthropic's client has a class of its own for 504.
  return { name: thrown.constructor.name.replace("GatewayTimeout", "InternalServer"), status: thrown.status };
};

/** The clients, each in its own words. */
const clients = {
  openai: (it: GatewayApp, model: string) => {
    const client = new OpenAI({ baseURL: `${it.url()}/v1`, apiKey: it.key, maxRetries: 0 });
    const request = { model, messages: [{ role: "user" as const, content: "hi" }] };
    return {
      base: OpenAI.APIError as unknown as new () => Error,
      whole: () => client.chat.completions.create(request),
      stream: async () => {
        for await (const _ of await client.chat.completions.create({ ...request, stream: true }));
      },
    };
  },
  anthropic: (it: GatewayApp, model: string) => {
    const client = new Anthropic({ baseURL: it.url(), apiKey: it.key, maxRetries: 0 });
    const request = { model, max_tokens: 100, messages: [{ role: "user" as const, content: "hi" }] };
    return {
      base: Anthropic.APIError as unknown as new () => Error,
      whole: () => client.messages.create(request),
      stream: async () => {
        for await (const _ of await client.messages.create({ ...request, stream: true }));
      },
    };
  },
};

for (const [name, client] of Object.entries(clients)) {
  for (const model of ["gpt", "claude"]) {
    describe(`the ${name} client, answered by ${model}`, () => {
      for (const { what, play, environment = {}, whole, streamed } of faults) {
        test(`raises its typed error for ${what}`, async () => {
          await using it = await startGateway({ environment });
          if (play) it.provider.script(play);
          const calls = client(it, model);
          if (whole) expect(nameOf(await raised(calls.whole))).toEqual(whole);
          if (streamed === "good") return await calls.stream();
          const error = await raised(calls.stream);
          expect(error).toBeInstanceOf(calls.base);
          if (streamed === "begun") expect(nameOf(error).status).toBeUndefined();
          // A provider that asks for patience is left alone meanwhile: the answer is the same.
          else expect(nameOf(error)).toEqual(streamed);
        });
      }

      test("raises its typed error where nobody listens at the provider's address", async () => {
        await using it = await startGateway();
        const calls = client(it, model);
        await it.provider[Symbol.asyncDispose]();
        expect(nameOf(await raised(calls.whole))).toEqual(status(502));
        expect(nameOf(await raised(calls.stream))).toEqual(status(502));
      });
    });
  }
}

test("a slow first piece is waited for", async () => {
  await using it = await startGateway();
  const { promise, resolve } = Promise.withResolvers<void>();
  it.provider.script(async (exchange) => {
    await promise;
    await plays.ok(exchange);
  });
  const client = clients.openai(it, "gpt");
  const answer = client.stream();
  await it.provider.call(0);
  resolve();
  await answer;
});

test("tells a caller of /v1 what the provider finds wrong with the request, and hides the provider's key", async () => {
  await using it = await startGateway();
  it.provider.script(({ response }) => {
    const message = "max_tokens is too large for key sk-of-the-provider";
    response
      .writeHead(400, { "content-type": "application/json" })
      .end(JSON.stringify({ error: { message } }));
  });
  const answer = await it.post("/v1/chat/completions", {
    model: "gpt",
    messages: [{ role: "user", content: "hi" }],
  });
  expect(answer.status).toBe(400);
  expect(await answer.json()).toMatchObject({
    error: {
      message: expect.stringContaining("max_tokens is too large for key ***"),
      type: "invalid_request_error",
    },
  });
});

test("falls back to the next target before the first piece, and not after it", async () => {
  const config = { model: undefined, targets: [{ model: "gpt" }, { model: "claude" }] };
  await using it = await startGateway({ config });
  const failing: Play = (exchange) =>
    exchange.call.dialect === "openai" ? plays.failing(exchange) : plays.ok(exchange);
  it.provider.script(failing);
  const body = { model: "app", messages: [{ role: "user", content: "hi" }] };
  const answer = await it.post("/v1/chat/completions", body);
  expect([answer.status, answer.headers.get("x-llmops-model")]).toEqual([200, "claude"]);
  const [row] = await it.records();
  // Three tries at the one, then the other.
  expect(row?.attempts.map(({ provider, status, status_code }) => [provider, status, status_code])).toEqual([
    ["default", "error", 500],
    ["default", "error", 500],
    ["default", "error", 500],
    ["anthropic", "ok", 200],
  ]);
  expect(row).toMatchObject({ status: "ok", model: "app", model_used: "claude", provider: "anthropic" });

  it.provider.script((exchange) =>
    exchange.call.dialect === "openai" ? plays.errorEvent(exchange) : plays.ok(exchange),
  );
  const streamed = await (await it.post("/v1/chat/completions", { ...body, stream: true })).text();
  expect(streamed).toContain('"error":{');
  expect(streamed).not.toContain("[DONE]");
});

test("falls back at once from an account that is used up, which is no fault of the caller's", async () => {
  const config = { model: undefined, targets: [{ model: "claude" }, { model: "gpt" }] };
  await using it = await startGateway({ config });
  it.provider.script((exchange) =>
    exchange.call.dialect === "anthropic" ? plays.usedUp(exchange) : plays.ok(exchange),
  );
  const body = { model: "app", messages: [{ role: "user", content: "hi" }] };
  const answer = await it.post("/v1/chat/completions", body);
  expect([answer.status, answer.headers.get("x-llmops-model")]).toEqual([200, "gpt"]);
  const [row] = await it.records();
  expect(row?.attempts.map(({ provider, error_code, cost }) => [provider, error_code, cost])).toMatchObject([
    ["anthropic", "no_credit", "0"],
    ["default", null, expect.any(String)],
  ]);
});

test("a caller who leaves before the answer, and one who waits for another try, give their place to the next", async () => {
  await using it = await startGateway();
  const { items } = dataOf(
    await it.app.owner.call<{ items: { id: string; name: string }[] }>("GET", "/provider"),
  );
  const anthropic = items.find(({ name }) => name === "anthropic");
  dataOf(await it.app.owner.call("POST", `/provider/${anthropic?.id}`, { body: { concurrency_max: 1 } }));
  await heard(it.app, it.appId);
  it.provider.script(plays.hang, plays.ok, plays.failing, plays.ok);
  const body = { model: "claude", max_tokens: 9, messages: [{ role: "user", content: "hi" }] };
  for (const index of [0, 2]) {
    const leaving = new AbortController();
    const answer = it.post("/v1/messages", body, { signal: leaving.signal });
    await it.provider.call(index);
    leaving.abort();
    await answer;
    expect((await it.post("/v1/messages", body)).status).toBe(200);
  }
});

test("what breaks off without a line's end, or ends without one, is still an event of its own", async () => {
  await using it = await startGateway();
  const chunk = (finish_reason: string | null) =>
    `data: ${JSON.stringify({ id: "c", choices: [{ index: 0, delta: { content: "hi" }, finish_reason }] })}`;
  const body = { model: "gpt", messages: [{ role: "user", content: "hi" }], stream: true };
  const events = async (text: string) => {
    it.provider.script(({ response }) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).end(text);
    });
    return (await (await it.post("/v1/chat/completions", body)).text()).trim().split(/\n{2,}/);
  };
  const [first, second] = [chunk(null), chunk("stop")];
  for (const end of ["", "\n"]) {
    expect(await events(`${first}\n\n${second}${end}`)).toEqual([first, second, "data: [DONE]"]);
    const broken = await events(`${first}\n\n${first}${end}`);
    expect(broken).toEqual([first, first, expect.stringContaining('"code":"upstream_cut"')]);
  }
});
