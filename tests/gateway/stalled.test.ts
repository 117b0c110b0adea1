import { heapStats } from "bun:jsc";
import { expect, test } from "bun:test";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type GatewayApp, startGateway } from "../harness/gateway.ts";
import { until } from "../harness/people.ts";
import type { Exchange } from "../harness/provider.ts";

const mebibyte = 1024 * 1024;

/** A stream of 100 MB, which goes on as fast as it is taken; `written` is told what the system took. */
const endless =
  (written: (bytes: number) => void) =>
  ({ begin, response }: Exchange) => {
    begin();
    const chunk = { id: "x", choices: [{ index: 0, delta: { content: "x".repeat(10_000) } }] };
    const event = `data: ${JSON.stringify(chunk)}\n\n`;
    let left = 10_000;
    const more = () => {
      while (left-- > 0) {
        written(event.length);
        if (!response.write(event)) return response.once("drain", more);
      }
    };
    more();
  };

/** A client that reads the head of its streamed answer, and then no more. */
async function stalledClient(it: GatewayApp): Promise<Socket> {
  const { hostname, port } = new URL(it.url());
  const body = JSON.stringify({ model: "gpt", stream: true, messages: [{ role: "user", content: "hi" }] });
  const socket = connect(Number(port), hostname);
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: ${hostname}:${port}\r\nAuthorization: Bearer ${it.key}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  await once(socket, "data");
  socket.pause();
  return socket;
}

const memory = () => {
  Bun.gc(true);
  return heapStats().heapSize;
};

test("a caller that stops reading holds little memory, and nothing is left of it when it leaves", async () => {
  await using it = await startGateway({ config: { content: "none" } });
  let written = 0;
  it.provider.script(endless((bytes) => (written += bytes)));
  const clients = [await stalledClient(it)];
  // Nothing moves any more, however much else goes on.
  const still = () =>
    until(async () => {
      const before = written;
      for (let calls = 0; calls < 20; calls++) await fetch(`${it.url()}/ping`);
      return written === before;
    });
  await still();
  const before = memory();
  for (let count = 0; count < 20; count++) clients.push(await stalledClient(it));
  await still();
  // 1.2 measured, both ends of the connections included; 2.7 where the answer is collected and the upstream read ahead.
  expect((memory() - before) / 20 / mebibyte).toBeLessThan(1.8);
  expect(it.provider.calls).toHaveLength(21);
  for (const client of clients) client.destroy();
  await Promise.all(it.provider.calls.map(({ aborted }) => aborted));
});

test("streams whose callers leave are given up at the provider, each of them", async () => {
  await using it = await startGateway({ config: { content: "none" } });
  it.provider.script(endless(() => {}));
  for (let round = 0; round < 5; round++) {
    const clients = await Promise.all(Array.from({ length: 20 }, () => stalledClient(it)));
    for (const client of clients) client.destroy();
  }
  expect(it.provider.calls).toHaveLength(100);
  await Promise.all(it.provider.calls.map(({ aborted }) => aborted));
});
