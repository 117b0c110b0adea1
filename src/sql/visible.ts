import type postgres from "postgres";
import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** Who is looking: an account, or somebody who sees everybody's things. */
export interface Viewer {
  accountId: Uuid;
  seesAll: boolean;
}

/** A condition for `where` on `app`: only apps that the viewer owns or holds a role on. */
export const visibleTo = (db: Db, { accountId, seesAll }: Viewer): postgres.PendingQuery<postgres.Row[]> =>
  seesAll
    ? db`true`
    : db`(account_id = ${accountId} or exists (
        select from app_member where app_id = app.id and app_member.account_id = ${accountId}))`;
