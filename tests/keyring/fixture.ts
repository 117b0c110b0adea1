import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/clock.ts";
import type { Sql } from "../../src/database/pool.ts";
import { type Keyring, openKeyring } from "../../src/keyring/keyring.ts";
import { createLog } from "../../src/log.ts";

/** Two secrets as a person would set them. */
export const one = "first-secret-of-the-tests-0123456789";
export const two = "second-secret-of-the-tests-0123456789";

/** A data folder of a test's own, not made yet. */
export function newDataDir(): { dataDir: string } & Disposable {
  const parent = mkdtempSync(join(tmpdir(), "llmops-keyring-"));
  return {
    dataDir: join(parent, "data"),
    [Symbol.dispose]: () => rmSync(parent, { recursive: true, force: true }),
  };
}

/** Opens a keyring; `lines` takes what is logged. */
export function open(
  sql: Sql,
  { key, previous, dataDir = "/nonexistent" }: { key?: string; previous?: string; dataDir?: string },
  lines: string[] = [],
): Promise<Keyring> {
  const log = createLog({ level: "debug", format: "json", write: (line) => lines.push(line) });
  return openKeyring({ sql, secret: { key, previous, dataDir }, clock: systemClock, log });
}

/** The message of what `work` fails with. */
export async function failure(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof Error)) throw new Error("it did not fail");
  return error.message;
}
