import { expect, test } from "bun:test";
import OpenAI, { AuthenticationError, NotFoundError } from "openai";
import { createDrain } from "../../src/drain.ts";
import { silentLog } from "../../src/log.ts";
import { startServer } from "../../src/server.ts";
import { type PeopledApp, startWithPeople } from "../harness/people.ts";

/** OpenAI's own client, over a real connection; only its address and key are set. */
function serve(app: PeopledApp) {
  const server = startServer(app, { host: "127.0.0.1", port: 0, drain: createDrain(), log: silentLog });
  return {
    client: (apiKey: string) => new OpenAI({ baseURL: `${server.url}/v1`, apiKey, maxRetries: 0 }),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

const idsOf = async (client: OpenAI): Promise<string[]> => {
  const ids: string[] = [];
  for await (const { id } of client.models.list()) ids.push(id);
  return ids;
};

const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "no failure",
    (error: unknown) => error,
  );

test("lists the app by either name, and the model of its config, to an unmodified client", async () => {
  await using app = await startWithPeople();
  await using server = serve(app);
  const { appId, key } = await app.addKey(app.owner);
  const client = server.client(key);
  expect(await idsOf(client)).toEqual(["app", appId]);
  await app.owner.call("POST", `/app/${appId}`, { body: { config: { model: "kimi-k2.5" } } });
  const made = await app.owner.call<{ key: string }>("POST", `/app/${appId}/key`);
  expect(await idsOf(server.client(made.data.key))).toEqual(["app", appId, "kimi-k2.5"]);
  expect(await client.models.retrieve(appId)).toEqual({
    ...{ id: appId, object: "model", created: 0, owned_by: "llmops" },
  });
});

test("lists what a key is narrowed to, and of that only what its app may", async () => {
  await using app = await startWithPeople();
  await using server = serve(app);
  const { key } = await app.addKey(app.owner, { models: ["app", "gpt-4"] });
  const client = server.client(key);
  expect(await idsOf(client)).toEqual(["app"]);
  expect(await client.models.retrieve("app")).toMatchObject({ id: "app" });
  for (const model of ["gpt-4", "APP", "app%00", "../app", "你好", "__proto__"]) {
    const error = await failureOf(client.models.retrieve(model));
    expect([model, error]).toEqual([model, expect.any(NotFoundError)]);
  }
});

test("raises the client's own errors: no such model, and no good key", async () => {
  await using app = await startWithPeople();
  await using server = serve(app);
  const { key } = await app.addKey(app.owner);
  const missing = await failureOf(server.client(key).models.retrieve("gpt-4"));
  expect(missing).toBeInstanceOf(NotFoundError);
  expect(missing).toMatchObject({ status: 404, code: "model_not_found", type: "invalid_request_error" });
  for (const bad of [`${key.slice(0, -4)}AAAA`, "sk-x", app.owner.accessToken]) {
    const refused = await failureOf(server.client(bad).models.list());
    expect(refused).toBeInstanceOf(AuthenticationError);
    expect(refused).toMatchObject({ status: 401, code: "invalid_api_key" });
    expect((refused as Error).message).not.toContain(bad);
  }
});

test("shows another app's id to nobody", async () => {
  await using app = await startWithPeople();
  await using server = serve(app);
  const [mine, theirs] = [await app.addKey(app.owner), await app.addKey(app.owner)];
  const error = await failureOf(server.client(mine.key).models.retrieve(theirs.appId));
  expect(error).toBeInstanceOf(NotFoundError);
});
