import { randomBytes } from "node:crypto";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import { newId, type Uuid } from "../id.ts";
import type { Log } from "../log.ts";
import {
  type DataKey,
  type DataKeyPurpose,
  insertDataKey,
  listDataKey,
  lockDataKeys,
} from "../sql/data-key.ts";
import type { Db } from "../sql/db.ts";
import { decrypt, encrypt } from "./aes.ts";
import { isHalfRotated, type OpenedKey, openDataKeys } from "./data-keys.ts";
import { loadSecret, type SecretOptions } from "./secret.ts";
import { promoteNextSecret } from "./secret-file.ts";
import { uuidBytes, wrapKey } from "./wrap.ts";

/** What the installation signs, hashes and seals with. Rotating the secret changes none of it. */
export interface Keyring {
  /** 256 bits for HMAC signatures of tokens (HS256). */
  readonly signKey: Uint8Array;
  /**
   * HMAC-SHA256 of `text`, 32 bytes; synchronous, about half a microsecond. Equal texts under different labels, such as
   * `app_key` and `refresh_token`, have different hashes.
   */
  hash(text: string, label: string): Uint8Array;
  /** Encrypts `plaintext` (AES-256-GCM) so that it opens only for the same `context`, such as `oidc.client_secret`. */
  seal(plaintext: string, context: string): Uint8Array;
  /** What was sealed. @throws {Error} altered, sealed for another context or elsewhere; says nothing of the content. */
  open(sealed: Uint8Array, context: string): string;
}

export interface KeyringOptions {
  sql: Sql;
  secret: SecretOptions;
  clock: Clock;
  log: Log;
}

const purposes: readonly DataKeyPurpose[] = ["sign", "hash", "seal"];
const dataKeyBytes = 32;

/**
 * Opens the data keys with the installation's secret; the first instance to start makes keys and, where no setting has
 * one, the secret. Instances that start together wait for each other and agree. What a rotation left half done is done.
 * @throws {StartupError} the secret does not open them, is too short or cannot be kept, and what to do.
 */
export async function openKeyring({ sql, secret: options, clock, log }: KeyringOptions): Promise<Keyring> {
  const keys = await sql.begin(async (tx) => {
    await lockDataKeys(tx);
    const rows = await listDataKey(tx);
    const secret = loadSecret(options, { generate: rows.length === 0 });
    const found = openDataKeys(rows, secret);
    if (isHalfRotated(found)) promoteNextSecret(options.dataDir);
    const wrapping = found[0]?.secret ?? secret.candidates[0]?.text ?? "";
    return [...found, ...(await addMissing(tx, { found, wrapping, at: clock.now() }))];
  });
  if (keys.some(({ by }) => by === "previous")) {
    log.warn(
      "the data keys are still wrapped by the previous secret: run 'llmops secret rotate' once all instances have the new one",
    );
  }
  return createKeyring(keys);
}

/** Makes the keys that are not there, wrapped by the secret that opens the others. */
async function addMissing(
  tx: Db,
  { found, wrapping, at }: { found: readonly OpenedKey[]; wrapping: string; at: Date },
): Promise<OpenedKey[]> {
  const made: OpenedKey[] = [];
  for (const purpose of purposes) {
    if (found.some((key) => key.purpose === purpose && key.retired_at === null)) continue;
    const bytes = randomBytes(dataKeyBytes);
    const id = newId();
    const row: DataKey = {
      id,
      purpose,
      ...wrapKey(wrapping, { id, purpose }, bytes),
      created_at: at,
      retired_at: null,
    };
    await insertDataKey(tx, row);
    made.push({ ...row, bytes, by: "current", secret: wrapping });
  }
  return made;
}

/** The first byte of a sealed value; the id of its key follows. */
const sealVersion = 1;
const sealHeadBytes = 1 + 16;

function createKeyring(keys: readonly Pick<OpenedKey, "id" | "purpose" | "bytes" | "retired_at">[]): Keyring {
  const active = (purpose: DataKeyPurpose) => {
    const key = keys.find((each) => each.purpose === purpose && each.retired_at === null);
    if (!key) throw new Error(`there is no data key to ${purpose} with`);
    return key;
  };
  const sealing = active("seal");
  const hasher = new Bun.CryptoHasher("sha256", active("hash").bytes);
  const opening = new Map(
    keys
      .filter(({ purpose }) => purpose === "seal")
      .map(({ id, bytes }) => [headOf(id).toString("hex"), bytes]),
  );

  return {
    signKey: active("sign").bytes,
    // The label's length keeps the two apart: no other label and text run together into the same input.
    hash: (text, label) => hasher.copy().update(`${label.length}:${label}:${text}`).digest(),
    seal(plaintext, context) {
      const head = headOf(sealing.id);
      return Buffer.concat([head, encrypt(sealing.bytes, Buffer.from(plaintext), contextOf(head, context))]);
    },
    open(sealed, context) {
      const head = Buffer.from(sealed.subarray(0, sealHeadBytes));
      const key = opening.get(head.toString("hex"));
      const plaintext = key && decrypt(key, sealed.subarray(sealHeadBytes), contextOf(head, context));
      if (!plaintext)
        throw new Error("a sealed value does not open: altered, or sealed elsewhere or for something else");
      return plaintext.toString();
    },
  };
}

const headOf = (id: Uuid): Buffer => Buffer.concat([Buffer.of(sealVersion), uuidBytes(id)]);
const contextOf = (head: Uint8Array, context: string): Buffer => Buffer.concat([head, Buffer.from(context)]);
