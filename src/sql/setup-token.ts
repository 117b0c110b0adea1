import type { Db } from "./db.ts";

/** Stores the hash of a token that makes the first owner. */
export async function insertSetupToken(
  db: Db,
  { hash, expiresAt }: { hash: Uint8Array; expiresAt: Date },
): Promise<void> {
  await db`insert into setup_token (hash, expires_at) values (${hash}, ${expiresAt})`;
}

/** Takes a token that has not expired out of the table; `false` if there is none. */
export async function takeSetupToken(db: Db, { hash, at }: { hash: Uint8Array; at: Date }): Promise<boolean> {
  const { count } = await db`delete from setup_token where hash = ${hash} and expires_at > ${at}`;
  return count > 0;
}

/** Makes every token worthless: there is an owner now. */
export async function deleteSetupTokens(db: Db): Promise<void> {
  await db`delete from setup_token`;
}
