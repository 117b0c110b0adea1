/**
 * `bun bench/objects.ts [--stream]`: how many objects of each kind the service makes for a chat completion, or for one that is streamed
 * in twenty pieces. Unlike time, that hardly depends on the machine, and is much of what can be done about the time.
 */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { load } from "./load.ts";
import { start } from "./process.ts";
import { completionPath, question, startService } from "./service.ts";

const { values } = parseArgs({ options: { stream: { type: "boolean", default: false } } });
/** Until all code is compiled. */
const warmSeconds = 8;
/** So few that nothing is collected meanwhile, and enough to tell what belongs to each of them. */
const countedCalls = values.stream ? 250 : 600;
/** What is made less often than this, for each call, is not shown. */
const shownMin = 0.5;

const folder = await mkdtemp(join(tmpdir(), "llmops-objects-"));
await chmod(folder, 0o711);
const file = join(folder, "objects.json");
try {
  await using upstream = await start([process.execPath, join(import.meta.dir, "upstream.ts")], { folder });
  const preload = join(import.meta.dir, "objects-count.ts");
  const main = join(import.meta.dir, "../src/main.ts");
  const service = await startService([process.execPath, "--preload", preload, main], {
    folder,
    upstream: upstream.url,
    env: { OBJECTS_FILE: file },
  });
  await using child = service.child;

  const count = async (signal: "SIGUSR1" | "SIGUSR2"): Promise<Record<string, number>> => {
    await rm(file, { force: true });
    process.kill(child.pid, signal);
    while (!(await Bun.file(file).exists())) await Bun.sleep(20);
    await Bun.sleep(500);
    return await Bun.file(file).json();
  };
  const post = { headers: service.headers, body: JSON.stringify({ ...question, stream: values.stream }) };
  const measure = (seconds: number) => load(service.url + completionPath, { connections: 64, seconds, post });

  const { perSecond } = await measure(warmSeconds);
  const before = await count("SIGUSR2");
  const { calls } = await measure(countedCalls / perSecond);
  const after = await count("SIGUSR1");
  const made = Object.entries(after)
    .map(([kind, number]) => [kind, (number - (before[kind] ?? 0)) / calls] as const)
    .filter(([, number]) => number >= shownMin)
    .sort(([, a], [, b]) => b - a);
  const requests = ((after.Request ?? 0) - (before.Request ?? 0)) / calls;
  if (requests < 0.99) throw new Error("garbage was collected meanwhile: nothing can be told");
  console.log(`objects a call, of ${calls} calls:`);
  for (const [kind, number] of made) console.log(`${number.toFixed(1).padStart(8)}  ${kind}`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
process.exit(0);
