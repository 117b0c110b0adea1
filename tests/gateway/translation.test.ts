import { expect, test } from "bun:test";
import { startGateway } from "../harness/gateway.ts";

test("what a target's dialect cannot say goes to the next target, and is refused where there is none", async () => {
  const targets = [{ model: "claude" }, { model: "gpt" }];
  await using it = await startGateway({ config: { model: undefined, targets } });
  const question = { input: "x" };
  const answer = await it.post("/v1/embeddings", { ...question, model: "app" });
  expect([answer.status, answer.headers.get("x-llmops-model")]).toEqual([200, "gpt"]);
  expect(it.provider.calls.map(({ path }) => path)).toEqual(["/v1/embeddings"]);
  const refused = await it.post("/v1/embeddings", { ...question, model: "claude" });
  expect(refused.status).toBe(400);
});
