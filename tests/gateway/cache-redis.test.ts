import { expect } from "bun:test";
import { RedisClient } from "bun";
import { createRedisCache } from "../../src/gateway/cache-redis.ts";
import { createLog } from "../../src/log.ts";
import { until } from "../harness/people.ts";
import { drawPort } from "../harness/port.ts";
import { redisServer, testWithRedis } from "../harness/require.ts";

const answer = {
  contentType: "text/event-stream; charset=utf-8",
  body: new TextEncoder().encode('data: {"你":"好"}\n\ndata: [DONE]\n\n'),
  model: "m",
  provider: "p",
  finishReason: "stop",
};

/** A Redis of the test's own, in memory alone. */
async function startRedis(port: number) {
  const child = Bun.spawn([redisServer ?? "", "--port", String(port), "--save", "", "--bind", "127.0.0.1"], {
    stdout: "ignore",
    stderr: "ignore",
  });
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

testWithRedis(
  "an answer is shared through Redis; while Redis is away everything is a miss, and nothing waits",
  async () => {
    const port = drawPort();
    const lines: string[] = [];
    const log = createLog({ level: "info", format: "json", write: (line) => lines.push(line) });
    const url = `redis://127.0.0.1:${port}`;
    const first = await startRedis(port);
    await using one = createRedisCache({ url, log });
    await using other = createRedisCache({ url, log });
    await until(async () => {
      one.set("k", answer, 60_000);
      return (await other.get("k")) !== undefined;
    });
    const found = await other.get("k");
    expect(found && { ...found, body: new Uint8Array(found.body) }).toEqual(answer);
    expect(await other.get("another")).toBeUndefined();
    const foreign = new RedisClient(url);
    await foreign.set("llmops:cache:broken", '{"body":');
    foreign.close();
    expect(await other.get("broken")).toBeUndefined();

    await first[Symbol.asyncDispose]();
    await until(async () => (await other.get("k")) === undefined);
    one.set("k", answer, 60_000);
    expect(await one.get("k")).toBeUndefined();
    expect(lines.filter((line) => line.includes("cannot be used")).length).toBeGreaterThan(0);

    await using _ = await startRedis(port);
    await until(async () => {
      one.set("k", answer, 60_000);
      return (await other.get("k")) !== undefined;
    });
  },
);
