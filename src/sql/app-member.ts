import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** A person's role on one app that is not theirs. */
export interface AppMember {
  app_id: Uuid;
  account_id: Uuid;
  email: string;
  role: "editor" | "viewer";
  created_at: Date;
}

/** Gives an account a role on an app, in the place of the one it has. */
export async function upsertAppMember(
  db: Db,
  { appId, accountId, role, at }: { appId: Uuid; accountId: Uuid; role: AppMember["role"]; at: Date },
): Promise<void> {
  await db`
    insert into app_member (app_id, account_id, role, created_at) values (${appId}, ${accountId}, ${role}, ${at})
    on conflict (app_id, account_id) do update set role = excluded.role`;
}

/** One member; `undefined` if there is none. */
export async function findAppMember(
  db: Db,
  { appId, accountId }: { appId: Uuid; accountId: Uuid },
): Promise<AppMember | undefined> {
  const [row] = await db<AppMember[]>`
    select app_id, account_id, email, app_member.role, app_member.created_at
    from app_member join account on account.id = account_id
    where app_id = ${appId} and account_id = ${accountId}`;
  return row;
}

/** Lists the members of an app by e-mail, at most `limit`. */
export async function listAppMember(
  db: Db,
  { appId, limit }: { appId: Uuid; limit: number },
): Promise<AppMember[]> {
  return db<AppMember[]>`
    select app_id, account_id, email, app_member.role, app_member.created_at
    from app_member join account on account.id = account_id
    where app_id = ${appId} order by email limit ${limit}`;
}

/** Takes a role on an app away; `false` if there was none. */
export async function deleteAppMember(
  db: Db,
  { appId, accountId }: { appId: Uuid; accountId: Uuid },
): Promise<boolean> {
  const { count } = await db`delete from app_member where app_id = ${appId} and account_id = ${accountId}`;
  return count > 0;
}
