import type postgres from "postgres";
import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** Who is looking: the account whose things may be seen, or somebody who sees everybody's. */
export interface Viewer {
  accountId: Uuid;
  seesAll: boolean;
}

/** A condition for `where`: only rows whose `account_id` the viewer may see. */
export const visibleTo = (db: Db, { accountId, seesAll }: Viewer): postgres.PendingQuery<postgres.Row[]> =>
  seesAll ? db`true` : db`account_id = ${accountId}`;
