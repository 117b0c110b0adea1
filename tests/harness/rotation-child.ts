/**
 * A process that opens the keyring, or rotates the secret and kills itself on the way, for tests of both:
 * `bun rotation-child.ts '{"url":"…","dataDir":"…","until":"committed"}'`. Without `until` it prints the hash of `x` in hex.
 */

import { systemClock } from "../../src/clock.ts";
import { createPool } from "../../src/database/pool.ts";
import { openKeyring } from "../../src/keyring/keyring.ts";
import { type RotationStep, rotateSecret } from "../../src/keyring/rotate.ts";
import { silentLog } from "../../src/log.ts";

/** What the process is told. */
export interface RotationChildOptions {
  url: string;
  dataDir: string;
  key?: string;
  previous?: string;
  until?: RotationStep;
}

/** Runs the process to its end; what it printed, and the signal that ended it. */
export async function runRotationChild(
  options: RotationChildOptions,
): Promise<{ printed: string; signal: Bun.Subprocess["signalCode"] }> {
  const child = Bun.spawn([process.execPath, import.meta.path, JSON.stringify(options)], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const printed = await new Response(child.stdout).text();
  await child.exited;
  return { printed, signal: child.signalCode };
}

if (import.meta.main) {
  const options: RotationChildOptions = JSON.parse(process.argv[2] ?? "{}");
  const sql = createPool(options.url, { size: 1 });
  const secret = { key: options.key, previous: options.previous, dataDir: options.dataDir };
  if (options.until === undefined) {
    const keyring = await openKeyring({ sql, secret, clock: systemClock, log: silentLog });
    process.stdout.write(Buffer.from(keyring.hash("x", "test")).toString("hex"));
  } else {
    await rotateSecret({
      sql,
      secret,
      record: async () => {},
      reached: (step) => {
        if (step === options.until) process.kill(process.pid, "SIGKILL");
      },
    });
  }
  await sql.end();
}
