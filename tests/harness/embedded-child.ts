/**
 * A process that uses an embedded database, for tests to kill and to ask:
 * `bun embedded-child.ts '{"dataDir":"…","archive":"…","role":"serve"}'`. It prints one line of JSON, `{ url, ms, rssMb }` or
 * `{ error }`, and stops the database when its standard input ends.
 */

import { type EmbeddedOptions, startEmbedded } from "../../src/database/embedded.ts";
import { StartupError } from "../../src/errors/startup.ts";
import { createLog } from "../../src/log.ts";

const options: Omit<EmbeddedOptions, "log"> = JSON.parse(process.argv[2] ?? "{}");
const log = createLog({ level: "debug", format: "json", write: (lines) => process.stderr.write(lines) });
const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);
const started = performance.now();
try {
  await using database = await startEmbedded({ ...options, log });
  const ms = Math.round(performance.now() - started);
  say({ url: database.url, ms, rssMb: Math.round(process.memoryUsage.rss() / 1e6) });
  for await (const _ of Bun.stdin.stream());
} catch (error) {
  if (!(error instanceof StartupError)) throw error;
  say({ error: error.message });
  process.exitCode = error.exitCode;
}
