import { StartupError } from "../errors/startup.ts";
import type { DataKey } from "../sql/data-key.ts";
import type { Secret, SecretPlace } from "./secret.ts";
import { fingerprintOf, unwrapKey } from "./wrap.ts";

/** A data key with its bytes, and which of the secrets opened it. */
export interface OpenedKey extends DataKey {
  bytes: Uint8Array;
  by: SecretPlace;
  /** The secret that opened it. */
  secret: string;
}

/**
 * Opens all data keys with whichever of the secrets wrapped each.
 * @throws {StartupError} none of them did, and what to set; or a key was altered.
 */
export function openDataKeys(rows: readonly DataKey[], secret: Secret): OpenedKey[] {
  return rows.map((row) => {
    const found = secret.candidates.find(({ text }) => fingerprintOf(text, row.id) === row.wrapped_by);
    if (!found) throw foreignSecret(secret);
    const bytes = unwrapKey(found.text, row);
    if (!bytes) {
      throw new StartupError(
        `the data key ${row.id} in the database was altered or damaged: put the database back from a backup`,
      );
    }
    return { ...row, bytes, by: found.place, secret: found.text };
  });
}

function foreignSecret({ source, candidates }: Secret): StartupError {
  if ("setting" in source) {
    return new StartupError(
      `LLMOPS_SECRET_KEY is not the secret of this installation: it does not open the data keys in the database. Set it to the right one (without it, the one in the data folder's file 'secret' is used); during a rotation, set LLMOPS_SECRET_KEY_PREVIOUS to the one before`,
    );
  }
  const what = candidates.some(({ place }) => place === "current")
    ? `the secret in ${source.file} is not that of this installation`
    : `the database has data keys already, and there is no secret in ${source.file}`;
  return new StartupError(
    `${what}: set LLMOPS_SECRET_KEY to the secret of this installation, or copy its file 'secret' there; during a rotation, set LLMOPS_SECRET_KEY_PREVIOUS to the one before`,
  );
}

/**
 * Whether an earlier rotation came as far as the database, but not to its last step: only the secret in the file
 * `secret.next` opens the data keys. The caller holds the lock on them.
 */
export const isHalfRotated = (keys: readonly OpenedKey[]): boolean =>
  keys.length > 0 && keys.every(({ by }) => by === "next");
