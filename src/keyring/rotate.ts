import type { Sql } from "../database/pool.ts";
import { StartupError } from "../errors/startup.ts";
import { listDataKey, lockDataKeys, updateDataKey } from "../sql/data-key.ts";
import type { Db } from "../sql/db.ts";
import { isHalfRotated, openDataKeys } from "./data-keys.ts";
import { loadSecret, type Secret, type SecretOptions } from "./secret.ts";
import { promoteNextSecret, writeNextSecret } from "./secret-file.ts";
import { wrapKey } from "./wrap.ts";

/** Where a rotation has come to. A process that ends at any of them leaves data keys that the next start opens. */
export type RotationStep = "next written" | "re-wrapped" | "committed" | "done";

export interface RotationOptions {
  sql: Sql;
  secret: SecretOptions;
  /** Written down in the transaction that re-wraps the keys. */
  record: (tx: Db) => Promise<unknown>;
  /** Called after each step; a test's place to end the process. */
  reached?: (step: RotationStep) => void;
}

/** What a rotation has done; no key is re-wrapped where the present secret wraps them all already. */
export interface Rotation {
  rewrapped: number;
  source: Secret["source"];
}

/**
 * Wraps the data keys by another secret: a new one, which is put into the data folder's file; or, where the setting
 * LLMOPS_SECRET_KEY is used, by that one, with LLMOPS_SECRET_KEY_PREVIOUS opening them. The data keys themselves stay,
 * so running instances and everything signed, hashed and sealed are not touched.
 *
 * The new secret is in `secret.next` before the first key is wrapped by it, and in `secret` only after all of them are:
 * one of the two files opens the keys at any moment, and whoever holds the lock next finishes what was begun.
 * @throws {StartupError} no secret opens the keys, or there is no other one to wrap them by.
 */
export async function rotateSecret({
  sql,
  secret: options,
  record,
  reached = () => {},
}: RotationOptions): Promise<Rotation> {
  const rotation = await sql.begin(async (tx): Promise<Rotation> => {
    await lockDataKeys(tx);
    const secret = loadSecret(options, { generate: false });
    const keys = openDataKeys(await listDataKey(tx), secret);
    if (isHalfRotated(keys)) promoteNextSecret(options.dataDir);
    if ("setting" in secret.source && keys.every(({ by }) => by === "current")) {
      if (options.previous !== undefined) return { rewrapped: 0, source: secret.source };
      throw new StartupError(
        "LLMOPS_SECRET_KEY wraps the data keys already: set it to a new secret and LLMOPS_SECRET_KEY_PREVIOUS to the one it has now, then run this again",
      );
    }
    const next = options.key ?? writeNextSecret(options.dataDir);
    reached("next written");
    for (const { id, purpose, bytes } of keys) {
      await updateDataKey(tx, { id, ...wrapKey(next, { id, purpose }, bytes) });
    }
    await record(tx);
    reached("re-wrapped");
    return { rewrapped: keys.length, source: secret.source };
  });
  reached("committed");
  if ("file" in rotation.source) await finish(sql, options);
  reached("done");
  return rotation;
}

/** The last step, under the lock again: another rotation may have begun, and would have done it first. */
async function finish(sql: Sql, options: SecretOptions): Promise<void> {
  await sql.begin(async (tx) => {
    await lockDataKeys(tx);
    const keys = openDataKeys(await listDataKey(tx), loadSecret(options, { generate: false }));
    if (isHalfRotated(keys)) promoteNextSecret(options.dataDir);
  });
}
