/**
 * `bun bench/gateway.ts [--rounds N] [--seconds S] [--apart] [--portkey FOLDER]`: the gateway side by side with a bare proxy, and
 * with Portkey's where FOLDER has `node_modules/@portkey-ai/gateway`. With `--apart` the pieces of a stream come one by one.
 * Everything of a system (PostgreSQL too) has one core, the provider and the client have the other. Prints a table; the method and
 * the last results are in README.md of this folder.
 */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { drawPort } from "../tests/harness/port.ts";
import { load, median } from "./load.ts";
import { type Child, start } from "./process.ts";
import { completionPath as path, question, startService } from "./service.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    apart: { type: "boolean", default: false },
    portkey: { type: "string" },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const connections = 64;
/** Until what is measured is compiled code, which takes the longer the more of it there is. */
const warmSeconds = 10;
const executable = join(import.meta.dir, "../dist/llmops");
const folder = await mkdtemp(join(tmpdir(), "llmops-bench-"));
await chmod(folder, 0o711);

const system = ["taskset", "-c", "0"];
const other = ["taskset", "-c", "1"];
Bun.spawnSync([...other.slice(0, 1), "-cp", "1", String(process.pid)]);

/** Somebody who answers chat completions. */
interface Peer {
  name: string;
  url: string;
  headers: Record<string, string>;
  child: Child;
}

async function startPortkey(upstream: string, runtime: string): Promise<Peer | undefined> {
  if (!values.portkey) return undefined;
  const port = drawPort();
  const script = join(values.portkey, "node_modules/@portkey-ai/gateway/build/start-server.js");
  const command = [...system, runtime, script, `--port=${port}`, "--headless"];
  const child = await start(command, { folder, env: { PATH: process.env.PATH ?? "" } });
  const headers = {
    authorization: "Bearer sk-bench",
    "x-portkey-provider": "openai",
    "x-portkey-custom-host": `${upstream}/v1`,
  };
  return { name: `Portkey on ${runtime}`, url: `http://127.0.0.1:${port}`, headers, child };
}

/** What is measured: whole answers, and streams of twenty pieces. */
const kinds = [
  { name: "calls", body: JSON.stringify(question), limits: ["0.60 or more", "3 or more", "15 or more"] },
  { name: "streams", body: JSON.stringify({ ...question, stream: true }), limits: ["-", "-", "-"] },
] as const;
type Kind = (typeof kinds)[number];

const measure = ({ url, headers }: Omit<Peer, "child" | "name">, { body }: Kind, time: number) =>
  load(url + path, { connections, seconds: time, post: { headers, body } });

/** Milliseconds until the first piece of a stream is here, one call after the other. */
async function firstPiece({ url, headers }: Omit<Peer, "child" | "name">, calls: number): Promise<number> {
  const times: number[] = [];
  for (let call = 0; call < calls; call++) {
    const startedAt = performance.now();
    const answer = await fetch(url + path, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify({ ...question, stream: true }),
    });
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    times.push(performance.now() - startedAt);
    while (!(await reader.read()).done);
  }
  return median(times);
}

const report: [what: string, result: string, limit: string][] = [];
try {
  const provider = [join(import.meta.dir, "upstream.ts"), "20", values.apart ? "apart" : "together"];
  await using upstream = await start([...other, process.execPath, ...provider], { folder });
  const bareChild = await start(
    [...system, process.execPath, join(import.meta.dir, "pass-through.ts"), upstream.url],
    {
      folder,
    },
  );
  await using bare = Object.assign(bareChild, { name: "the bare proxy", headers: {}, child: bareChild });
  const service = await startService([...system, executable], { folder, upstream: upstream.url });
  const ours: Peer = { name: "llmops", ...service };
  await using _ = ours.child;
  const onBun = await startPortkey(upstream.url, "bun");
  await using __ = onBun?.child;
  const onNode = await startPortkey(upstream.url, "node");
  await using ___ = onNode?.child;
  const peers = [bare, ours, onBun, onNode].filter((peer) => peer !== undefined);

  const direct = { url: upstream.url, headers: {} };
  const compare = async (kind: Kind) => {
    console.log(
      `${kind.name}: the provider itself ${(await measure(direct, kind, 1)).perSecond.toFixed(0)}/s`,
    );
    const cpuPerCall = new Map(peers.map(({ name }) => [name, [] as number[]]));
    const perSecond = new Map(peers.map(({ name }) => [name, [] as number[]]));
    const failed = new Map<string, number>();
    for (const peer of peers) await measure(peer, kind, warmSeconds);
    for (let round = 0; round < rounds; round++) {
      // Each goes first in its turn, so that a machine that slows down favours none.
      for (let turn = 0; turn < peers.length; turn++) {
        const peer = peers[(turn + round) % peers.length] as Peer;
        const cpuBefore = await peer.child.cpuMs();
        const result = await measure(peer, kind, seconds);
        // What is written after the answer belongs to it.
        await Bun.sleep(500);
        const cpuUs = ((await peer.child.cpuMs()) - cpuBefore) * 1000;
        cpuPerCall.get(peer.name)?.push(cpuUs / (result.perSecond * seconds));
        if (result.errors > 0 && peer === ours) throw new Error(`${result.errors} errors`);
        failed.set(peer.name, (failed.get(peer.name) ?? 0) + result.errors);
        perSecond.get(peer.name)?.push(result.perSecond);
        console.log(
          `round ${round + 1}: ${peer.name} ${result.perSecond.toFixed(0)}/s, p50 ${result.p50Ms.toFixed(1)} ms, p99 ${result.p99Ms.toFixed(1)} ms`,
        );
      }
    }
    for (const [name, values] of cpuPerCall) {
      console.log(`${kind.name}: CPU of one, all processes: ${name} ${median(values).toFixed(0)} µs`);
    }
    for (const [name, errors] of failed) if (errors > 0) console.log(`${name} failed ${errors} times`);
    const of = (name: string) => median(perSecond.get(name) ?? []);
    // In the order of their limits.
    for (const [place, peer] of [bare, onBun, onNode].entries()) {
      if (!peer || failed.get(peer.name)) continue;
      const times = (of(ours.name) / of(peer.name)).toFixed(peer === bare ? 2 : 1);
      report.push([`${kind.name} per second against ${peer.name}`, times, kind.limits[place] as string]);
    }
  };

  await compare(kinds[0]);
  const memory = async () => `${(await ours.child.memoryMib()).toFixed(0)} MiB`;
  report.push(["memory of the service at the end of that", await memory(), "-"]);
  // By then what the load has left behind is collected.
  await Bun.sleep(10_000);
  report.push(["memory of the service 10 s later", await memory(), "150 MiB"]);

  await compare(kinds[1]);
  const added: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const [none, least, mine] = [
      await firstPiece(direct, 200),
      await firstPiece(bare, 200),
      await firstPiece(ours, 200),
    ];
    added.push((mine - none) / (least - none));
    console.log(
      `first piece: ${none.toFixed(3)} ms direct, ${least.toFixed(3)} through the bare proxy, ${mine.toFixed(3)} through llmops`,
    );
  }
  report.push([
    "added time to the first piece against the bare proxy's",
    median(added).toFixed(2),
    "2 or less",
  ]);
} finally {
  await rm(folder, { recursive: true, force: true });
}

console.log();
for (const [what, result, limit] of report)
  console.log(`${what.padEnd(56)} ${result.padStart(8)}   limit ${limit}`);
process.exit(0);
