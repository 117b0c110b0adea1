import { expect, test } from "bun:test";
import { toRequest } from "../harness/app.ts";
import { heard } from "../harness/gateway.ts";
import { question, startLimited } from "./setup.ts";

const chat = "/v1/chat/completions";
const minute = /^(1m0s|59(\.\d)?s|5\d(\.\d)?s)$/;

test("as many calls as the key's limit are let in, each told what is left; the next one hears when to come back", async () => {
  await using it = await startLimited({
    limits: ({ keyId }) => [{ scope: "key", subject: keyId, requests: 3 }],
  });
  for (const left of ["2", "1", "0"]) {
    const answer = await it.post(chat, question);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-ratelimit-limit-requests")).toBe("3");
    expect(answer.headers.get("x-ratelimit-remaining-requests")).toBe(left);
    expect(answer.headers.get("x-ratelimit-reset-requests")).toMatch(minute);
    expect(answer.headers.get("x-ratelimit-limit-tokens")).toBe("600000000");
  }
  const refused = await it.post(chat, question);
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get("retry-after"))).toBeWithin(1, 62);
  expect(refused.headers.get("x-ratelimit-remaining-requests")).toBe("0");
  expect(refused.headers.get("x-should-retry")).toBeNull();
  const { error } = (await refused.json()) as { error: Record<string, unknown> };
  expect(error).toMatchObject({ type: "rate_limit_error", code: "rate_limit_exceeded" });
  expect(it.provider.calls).toHaveLength(3);

  const record = (await it.records(4)).at(-1);
  expect(record).toMatchObject({
    status: "error",
    status_code: 429,
    error_code: "limit.requests",
    attempts: [],
  });
  expect(record?.refusal).toMatchObject({
    limit: "requests",
    scope: "key",
    subject: it.keyId,
    bound: "3",
    used: "3",
    asked: "1",
    allowed: "0",
    window_seconds: 60,
  });
});

test("a refusal is told in Anthropic's dialect to those who speak it", async () => {
  await using it = await startLimited({
    limits: ({ appId }) => [{ scope: "app", subject: appId, requests: 1 }],
  });
  expect((await it.post("/v1/messages", question)).status).toBe(200);
  const refused = await it.post("/v1/messages", question);
  expect(refused.status).toBe(429);
  expect(await refused.json()).toMatchObject({ type: "error", error: { type: "rate_limit_error" } });
});

test("every answer to a key says what is left, an error and a list of models too", async () => {
  await using it = await startLimited({
    limits: ({ keyId }) => [{ scope: "key", subject: keyId, requests: 5 }],
  });
  await it.post(chat, question);
  const bad = await it.post(chat, { model: "nobody" });
  expect(bad.status).toBe(400);
  expect(bad.headers.get("x-ratelimit-remaining-requests")).toBe("4");
  const headers = { authorization: `Bearer ${it.key}` };
  const models = await it.app.fetch(toRequest("GET", "/v1/models", { headers }));
  expect(models.status).toBe(200);
  expect(models.headers.get("x-ratelimit-remaining-requests")).toBe("4");
});

test("tokens are kept back by what a call may need, and set right by what it used", async () => {
  const bytes = Buffer.byteLength(JSON.stringify(question));
  // The provider counts 18 tokens; kept back are the bytes of the question and 10 for the answer.
  const bound = bytes + 10 + 18;
  await using it = await startLimited({
    limits: ({ appId }) => [{ scope: "app", subject: appId, tokens: bound }],
  });
  for (const left of [bound - 18, bound - 36]) {
    const answer = await it.post(chat, question);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-ratelimit-remaining-tokens")).toBe(String(left));
  }
  const refused = await it.post(chat, question);
  expect(refused.status).toBe(429);
  const record = (await it.records(3)).at(-1);
  expect(record?.refusal).toMatchObject({
    limit: "tokens",
    used: "36",
    asked: String(bytes + 10),
    allowed: String(bound - 36),
  });
});

test("only so many calls are under way at once; each that ends makes room, however it ends", async () => {
  await using it = await startLimited({
    limits: ({ accountId }) => [{ scope: "account", subject: accountId, concurrency: 1 }],
  });
  for (const end of ["finish", "destroy"] as const) {
    let open: (() => void) | undefined;
    it.provider.script(({ begin, finish, call }) => {
      begin();
      open = end === "finish" ? () => finish() : () => call.destroy();
    });
    const first = await it.post(chat, { ...question, stream: true });
    expect(first.status).toBe(200);
    const second = await it.post(chat, question);
    expect(second.status).toBe(429);
    expect(second.headers.get("retry-after")).toBe("1");
    open?.();
    await first.text();
  }
  it.provider.script(({ whole }) => whole());
  expect((await it.post(chat, question)).status).toBe(200);
});

test("a limit that is lowered holds at once, whatever a process had on lease of the higher one", async () => {
  await using it = await startLimited({
    limits: ({ keyId }) => [{ scope: "key", subject: keyId, requests: 100_000, tokens: 100_000_000 }],
  });
  expect((await it.post(chat, question)).status).toBe(200);
  const [limit] = await it.app.database.sql`select id from rate_limit`;
  await it.app.owner.call("POST", `/rate-limit/${limit?.id}`, { body: { requests: 2 } });
  await heard(it.app, it.appId);
  const statuses: number[] = [];
  for (let call = 0; call < 3; call++) statuses.push((await it.post(chat, question)).status);
  expect(statuses).toEqual([200, 429, 429]);
});

test("a call that asks for more than the whole limit is not told to come back", async () => {
  await using it = await startLimited({
    limits: ({ keyId }) => [{ scope: "key", subject: keyId, tokens: 200 }],
  });
  const refused = await it.post(chat, { ...question, max_tokens: 1000 });
  expect(refused.status).toBe(429);
  expect(refused.headers.get("retry-after")).toBeNull();
  expect(refused.headers.get("x-should-retry")).toBe("false");
  const [record] = await it.records();
  expect(record?.refusal).toMatchObject({ bound: "200", allowed: "200", resets_at: null });
  expect((await it.post(chat, question)).status).toBe(200);
});

test("who is refused by a limit of users is told what that has left, and when there is more", async () => {
  await using it = await startLimited({
    limits: ({ appId }) => [{ scope: "user", subject: appId, requests: 1, tokens: 5000 }],
  });
  const asked = { ...question, user: "a" };
  expect((await it.post(chat, asked)).status).toBe(200);
  const refused = await it.post(chat, asked);
  expect(refused.status).toBe(429);
  expect(refused.headers.get("x-ratelimit-limit-requests")).toBe("1");
  expect(refused.headers.get("x-ratelimit-remaining-requests")).toBe("0");
  expect(refused.headers.get("x-ratelimit-reset-requests")).toMatch(minute);
  expect(refused.headers.get("x-ratelimit-limit-tokens")).toBe("5000");
});

test("where the model has the least left, the headers tell of its limit", async () => {
  await using it = await startLimited({
    limits: () => [{ scope: "model", subject: "gpt", requests: 2, tokens: 100_000 }],
  });
  for (const [status, left] of [
    [200, "1"],
    [200, "0"],
    [429, "0"],
  ] as const) {
    const answer = await it.post(chat, question);
    expect(answer.status).toBe(status);
    expect(answer.headers.get("x-ratelimit-limit-requests")).toBe("2");
    expect(answer.headers.get("x-ratelimit-remaining-requests")).toBe(left);
    expect(answer.headers.get("x-ratelimit-limit-tokens")).toBe("100000");
  }
});

test("a call that takes no tokens is told how many are left, though nobody has taken any here before", async () => {
  await using it = await startLimited({
    limits: ({ appId }) => [{ scope: "user", subject: appId, tokens: 5000 }],
  });
  const answer = await it.post("/v1/messages/count_tokens", { ...question, user: "a" });
  expect(answer.status).toBe(200);
  expect(answer.headers.get("x-ratelimit-remaining-tokens")).toBe("5000");
});

test("a model's own limit sends the call to the next target, and refuses where there is none", async () => {
  await using it = await startLimited(
    { limits: () => [{ scope: "model", subject: "gpt", requests: 1 }] },
    { config: { targets: [{ model: "gpt" }, { model: "claude" }], model: undefined } },
  );
  const models: (string | null)[] = [];
  for (let call = 0; call < 2; call++) {
    models.push((await it.post(chat, question)).headers.get("x-llmops-model"));
  }
  expect(models).toEqual(["gpt", "claude"]);
  expect((await it.post(chat, { ...question, model: "claude" })).status).toBe(200);
});

test("a call that is tried again is one of its model's calls at once, and not two", async () => {
  await using it = await startLimited({
    limits: () => [{ scope: "model", subject: "gpt", concurrency: 1 }],
  });
  it.provider.script(
    ({ response }) => response.writeHead(200, { "content-type": "text/event-stream" }).end(),
    ({ begin, finish }) => {
      begin();
      finish();
    },
  );
  const answer = await it.post(chat, { ...question, stream: true });
  expect(answer.status).toBe(200);
  await answer.text();
  expect((await it.records())[0]?.attempts.map(({ error_code }) => error_code)).toEqual(["cut", null]);
});

test("each of an app's users has the limit of users, and one of them another", async () => {
  await using it = await startLimited({
    limits: ({ appId }) => [
      { scope: "user", subject: appId, requests: 1 },
      { scope: "user", subject: appId, end_user: "vip", requests: 2 },
    ],
  });
  const status = async (user: string) => (await it.post(chat, { ...question, user })).status;
  expect([await status("a"), await status("a"), await status("b"), await status("b")]).toEqual([
    200, 429, 200, 429,
  ]);
  expect([await status("vip"), await status("vip"), await status("vip")]).toEqual([200, 200, 429]);
});
