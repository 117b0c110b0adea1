import { expect, test } from "bun:test";
import { startGateway } from "../harness/gateway.ts";
import { dataOf, startWithPeople, until } from "../harness/people.ts";

interface Wire {
  id: string;
  name: string;
}
const messages = [{ role: "user", content: "hi" }];

test("registers a model whose rules and names count in a call within a moment", async () => {
  await using it = await startGateway({ config: { models: ["alias", "claude"] } });
  const body = {
    name: "alias",
    upstream_name: "real-name",
    parameter_rules: {
      drop: ["temperature"],
      rename: { max_tokens: "max_completion_tokens" },
      keep: ["top_p"],
      thinking: "adaptive",
    },
  };
  const { id } = dataOf(await it.app.owner.call<Wire>("POST", "/model", { body }));
  await until(
    async () =>
      (await it.post("/v1/chat/completions", { model: "alias", messages, temperature: 1, max_tokens: 9 }))
        .status === 200,
  );
  expect(it.provider.calls.at(-1)?.body).toEqual({ model: "real-name", messages, max_completion_tokens: 9 });
  dataOf(await it.app.owner.call("POST", `/model/${id}`, { body: { status: "disabled" } }));
  await until(
    async () => (await it.post("/v1/chat/completions", { model: "alias", messages })).status === 404,
  );
});

test("refuses what a model must not be, and to delete what a list names", async () => {
  await using app = await startWithPeople();
  const make = (body: object) => app.owner.call<Wire>("POST", "/model", { body });
  const one = dataOf(await make({ name: "one", upstream_name: "x" }));
  expect((await make({ name: "one", upstream_name: "x" })).code).toBe("CONFLICT");
  const list = dataOf(
    await make({ name: "list", targets: [{ model: "one" }, { model: "echo", weight: 2 }] }),
  );
  for (const [body, field] of [
    [{ name: "neither" }, "upstream_name"],
    [{ name: "both", upstream_name: "x", targets: [{ model: "one" }] }, "upstream_name"],
    [{ name: "nested", targets: [{ model: "list" }] }, "targets"],
    [{ name: "unknown", targets: [{ model: "nobody" }] }, "targets"],
    [
      { name: "odd", upstream_name: "x", parameter_rules: { thinking: "enabled" } },
      "parameter_rules.thinking",
    ],
    [{ name: "odd", upstream_name: "x", parameter_rules: { keep: [""] } }, "parameter_rules.keep.0"],
  ] as const) {
    const { code, data } = await make(body);
    expect([code, Object.keys(data)]).toEqual(["VALIDATE_ERROR", [field]]);
  }
  expect((await app.owner.call("POST", `/model/${one.id}/delete`)).code).toBe("CONFLICT");
  expect((await app.owner.call("POST", `/model/${one.id}`, { body: { name: "other" } })).code).toBe(
    "CONFLICT",
  );
  dataOf(await app.owner.call("POST", `/model/${list.id}/delete`));
  dataOf(await app.owner.call("POST", `/model/${one.id}/delete`));
});

test("asks a model for a word, and the call is on record", async () => {
  await using it = await startGateway();
  const { items } = dataOf(await it.app.owner.call<{ items: Wire[] }>("GET", "/model"));
  const gpt = items.find(({ name }) => name === "gpt");
  const answer = await it.app.owner.call("POST", `/model/${gpt?.id}/test`);
  expect(answer).toMatchObject({ code: "SUCCESS", data: { content: "Hello, wörld 你好。" } });
  const [row] = await it.records();
  expect(row).toMatchObject({ api: "completion", model: "gpt", status: "ok", cost: "0.000147500000000000" });
});

test("makes prices in versions that are never changed", async () => {
  await using app = await startWithPeople();
  const { id } = dataOf(
    await app.owner.call<Wire>("POST", "/model", { body: { name: "m", upstream_name: "x" } }),
  );
  const path = `/model/${id}/price`;
  const body = {
    currency: "CNY",
    prompt: "4.00",
    cached: "0.7",
    completion: "21",
    valid_from: "2026-01-01T00:00:00Z",
  };
  const made = dataOf(await app.owner.call<Wire>("POST", path, { body }));
  expect(made).toMatchObject({ prompt: "4.00", cached: "0.7", reasoning: null, above_prompt_tokens: 0 });
  expect((await app.owner.call("POST", path, { body })).code).toBe("CONFLICT");
  const next = { ...body, valid_from: "2026-02-01T00:00:00Z", prompt: "0.000000000001" };
  dataOf(await app.owner.call("POST", path, { body: next }));
  const { items } = dataOf(await app.owner.call<{ items: { prompt: string }[] }>("GET", path));
  expect(items.map(({ prompt }) => prompt)).toEqual(["0.000000000001", "4"]);
  dataOf(await app.owner.call("POST", `${path}/${made.id}/delete`));
  expect((await app.owner.call("POST", `${path}/${made.id}/delete`)).code).toBe("NOT_FOUND");
});
