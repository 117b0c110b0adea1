/**
 * `bun bench/faults.ts [--stalled N] [--dropped N]`: clients that stop reading, and clients that leave, in front of streams
 * without an end. Prints how much memory the service takes for them, and what is left open at the provider.
 */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { start } from "./process.ts";

const { values } = parseArgs({
  options: { stalled: { type: "string", default: "200" }, dropped: { type: "string", default: "4000" } },
});
const folder = await mkdtemp(join(tmpdir(), "llmops-faults-"));
await chmod(folder, 0o711);

/** Until then the service's memory falls in steps after a load, in milliseconds. */
const settleMs = 30_000;

/** A provider whose streams have 100 MB, and which knows how many are open. */
const open = new Set<unknown>();
const event = `data: ${JSON.stringify({ id: "x", choices: [{ index: 0, delta: { content: "x".repeat(10_000) } }] })}\n\n`;
const upstream = createServer((request, response) => {
  request.resume();
  open.add(response);
  response.once("close", () => open.delete(response));
  response.writeHead(200, { "content-type": "text/event-stream" });
  let left = 10_000;
  const more = () => {
    while (left-- > 0) if (!response.write(event)) return response.once("drain", more);
    response.end("data: [DONE]\n\n");
  };
  more();
});
upstream.listen(0, "127.0.0.1");
await new Promise((resolve) => upstream.once("listening", resolve));
const { port } = upstream.address() as AddressInfo;

const report: [what: string, result: string, limit: string][] = [];
try {
  const env = {
    OPEN_API_BASE: `http://127.0.0.1:${port}/v1`,
    OPEN_API_KEY: "sk-bench",
    OPEN_API_MODEL: "bench",
  };
  const executable = join(import.meta.dir, "../dist/llmops");
  await using service = await start([executable, "serve", "--dev", "--port", "0"], { folder, env });
  const post = async (to: string, body: object) => {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(service.url + to, { method: "POST", headers, body: JSON.stringify(body) });
    return ((await answer.json()) as { data: { id: string; key: string } }).data;
  };
  const { id } = await post("/app", { config: { model: "bench", content: "none" } });
  const { key } = await post(`/app/${id}/key`, {});
  const { hostname, port: own } = new URL(service.url);
  const body = JSON.stringify({ model: "bench", stream: true, messages: [{ role: "user", content: "hi" }] });
  const request =
    `POST /v1/chat/completions HTTP/1.1\r\nHost: ${hostname}:${own}\r\nAuthorization: Bearer ${key}\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

  /** A client that reads the head of its answer, and then no more. */
  const client = () =>
    new Promise<ReturnType<typeof connect>>((resolve, reject) => {
      const socket = connect(Number(own), hostname, () => socket.write(request));
      socket.once("data", () => {
        socket.pause();
        resolve(socket);
      });
      socket.once("error", reject);
    });
  const drop = async (times: number) => {
    for (let done = 0; done < times; done += 50) {
      const sockets = await Promise.all(Array.from({ length: 50 }, client));
      for (const socket of sockets) socket.destroy();
    }
  };
  /** Memory once nothing is open, and garbage has been collected and given back. */
  const settled = async (): Promise<number> => {
    for (let waited = 0; open.size > 0 && waited < 10_000; waited += 100) await Bun.sleep(100);
    await Bun.sleep(settleMs);
    return service.memoryMib();
  };

  await drop(500);
  const idle = await settled();
  const stalled = await Promise.all(Array.from({ length: Number(values.stalled) }, client));
  await Bun.sleep(5000);
  const held = await service.memoryMib();
  report.push([
    `growth with ${stalled.length} clients that stopped reading`,
    `${(held - idle).toFixed(0)} MiB`,
    "150 MiB",
  ]);
  for (const socket of stalled) socket.destroy();
  const before = await settled();
  await drop(Number(values.dropped));
  const once = await settled();
  report.push([
    `growth after ${values.dropped} dropped streams`,
    `${(once - before).toFixed(0)} MiB`,
    "32 MiB",
  ]);
  await drop(Number(values.dropped));
  const twice = await settled();
  report.push(["growth after as many again", `${(twice - once).toFixed(0)} MiB`, "4 MiB"]);
  report.push(["connections left open at the provider", String(open.size), "0"]);
} finally {
  upstream.closeAllConnections();
  upstream.close();
  await rm(folder, { recursive: true, force: true });
}
for (const [what, result, limit] of report)
  console.log(`${what.padEnd(56)} ${result.padStart(8)}   limit ${limit}`);
process.exit(0);
