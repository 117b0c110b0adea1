import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** What there is once for the whole installation. */
export interface Installation {
  /** Owner of what is made in development mode; no account. */
  development_account_id: Uuid;
}

/** The installation's one row, which the migrations have made. */
export async function findInstallation(db: Db): Promise<Installation | undefined> {
  const [row] = await db<Installation[]>`select development_account_id from installation`;
  return row;
}
