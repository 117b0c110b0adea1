import { hkdfSync } from "node:crypto";
import type { Uuid } from "../id.ts";
import type { DataKey } from "../sql/data-key.ts";
import { decrypt, encrypt } from "./aes.ts";

/** The first byte of a wrapped key, so that another way of wrapping can be told from this one. */
const version = 1;

/** A UUID as its 16 bytes. */
export const uuidBytes = (id: Uuid): Buffer => Buffer.from(id.replaceAll("-", ""), "hex");

/** The data key's id is the salt: equal secrets show nowhere as equal values. */
const derive = (secret: string, id: Uuid, info: string, bytes: number): Buffer =>
  Buffer.from(hkdfSync("sha256", secret, uuidBytes(id), `llmops ${info} v1`, bytes));

const contextOf = ({ id, purpose }: Pick<DataKey, "id" | "purpose">): Buffer =>
  Buffer.from(`llmops data key v1 ${id} ${purpose}`);

/**
 * Tells whether `secret` is the one that wrapped the data key `id`, without opening it. Derived apart from the wrapping
 * key, so that it helps to find neither; a guessed secret can be checked with it as well as with the wrapped key itself,
 * so a secret must not be guessable.
 */
export const fingerprintOf = (secret: string, id: Uuid): string =>
  derive(secret, id, "fingerprint", 12).toString("base64url");

/** Wraps `key` by the secret (HKDF-SHA256, AES-256-GCM): version, nonce, ciphertext, tag. */
export function wrapKey(
  secret: string,
  row: Pick<DataKey, "id" | "purpose">,
  key: Uint8Array,
): Pick<DataKey, "wrapped" | "wrapped_by"> {
  const box = encrypt(derive(secret, row.id, "key wrapping", 32), key, contextOf(row));
  return {
    wrapped: Buffer.concat([Buffer.of(version), box]),
    wrapped_by: fingerprintOf(secret, row.id),
  };
}

/** The key that `row` wraps; `undefined` where the secret is another one, or the row was altered. */
export function unwrapKey(secret: string, row: DataKey): Uint8Array | undefined {
  if (row.wrapped[0] !== version) return undefined;
  return decrypt(derive(secret, row.id, "key wrapping", 32), row.wrapped.subarray(1), contextOf(row));
}
