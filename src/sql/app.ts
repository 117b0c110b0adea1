import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";
import { type Viewer, visibleTo } from "./visible.ts";

/** What a person has set for an app: which model answers, told what, with which parameters. */
export interface AppConfig {
  model?: string;
  /** Several models to choose from, instead of `model`. */
  targets?: { model: string; weight?: number }[];
  routing?: "ordered" | "weighted";
  /** Further models that the app's keys may call by name. */
  models?: string[];
  system_prompt?: string;
  parameters?: Record<string, unknown>;
  /** Parameters that callers may not set. */
  locked?: string[];
  /** What is kept of questions and answers; everything without it. */
  content?: "full" | "redacted" | "none";
  /** Answers are made shorter where a budget has too little left for the longest, and not refused. */
  fit_budget?: boolean;
  /** For how long an answer serves the same question again; not at all without it. */
  cache?: { ttl_seconds: number };
}

/** `''` is in use; a disabled app answers nobody, an archived one is out of the way. */
export type AppStatus = "" | "disabled" | "archived";

/** An app as it is stored; a deleted one is never read. */
export interface App {
  id: Uuid;
  account_id: Uuid;
  name: string;
  icon: string;
  description: string;
  status: AppStatus;
  config: AppConfig;
  created_at: Date;
  updated_at: Date;
}

/** What somebody may do with an app: its owner, and whoever manages the installation, everything. */
export type AppAccess = "owner" | "editor" | "viewer";

/** What may be changed of an app; a field that is absent stays as it is. */
export type AppChange = Partial<Pick<App, "name" | "icon" | "description" | "status" | "config">>;

const columns = (db: Db) =>
  db`id, account_id, name, icon, description, status, config, created_at, updated_at`;

/** Stores a new app. */
export async function insertApp(db: Db, app: App): Promise<void> {
  await db`
    insert into app (id, account_id, name, icon, description, status, config, created_at, updated_at)
    values (${app.id}, ${app.account_id}, ${app.name}, ${app.icon}, ${app.description}, ${app.status},
      ${db.json(app.config as never)}, ${app.created_at}, ${app.updated_at})`;
}

/**
 * Finds an app that the viewer may see, and what they may do with it; `undefined` if there is none. Uses the primary
 * keys. The most frequent statement of all, and so written out for both kinds of viewer: the driver joins fragments anew
 * for each call, and each value costs it about as much.
 */
export async function findApp(
  db: Db,
  { id, viewer: { accountId, seesAll } }: { id: Uuid; viewer: Viewer },
): Promise<(App & { access: AppAccess }) | undefined> {
  const [row] = seesAll
    ? await db<(App & { access: AppAccess })[]>`
        select id, account_id, name, icon, description, status, config, created_at, updated_at, 'owner' as access
        from app where id = ${id} and deleted_at is null`
    : await db<(App & { access: AppAccess })[]>`
        select * from (
          select id, account_id, name, icon, description, status, config, created_at, updated_at,
            case when account_id = ${accountId} then 'owner' else (
              select role from app_member where app_id = id and app_member.account_id = ${accountId}) end as access
          from app where id = ${id} and deleted_at is null) found
        where access is not null`;
  return row;
}

/** Keeps an app as it is until the commit. */
export async function lockApp(db: Db, id: Uuid): Promise<void> {
  await db`select from app where id = ${id} for update`;
}

/** What to list: apps before the cursor, newest first. */
export interface AppFilter {
  viewer: Viewer;
  /** Part of the name, in any case; taken literally, so that `%` is a per cent sign. */
  search?: string;
  status?: AppStatus;
  /** The last id of the page before. */
  before?: Uuid;
  limit: number;
}

/** Lists apps that the viewer may see, newest first, by keyset on the id (a UUIDv7). */
export async function listApp(db: Db, { viewer, search, status, before, limit }: AppFilter): Promise<App[]> {
  return db<App[]>`
    select ${columns(db)} from app
    where deleted_at is null and ${visibleTo(db, viewer)}
      ${search === undefined ? db`` : db`and strpos(lower(name), lower(${search})) > 0`}
      ${status === undefined ? db`` : db`and status = ${status}`}
      ${before === undefined ? db`` : db`and id < ${before}`}
    order by id desc
    limit ${limit}`;
}

/** The ids of the apps that somebody owns or holds a role on; deleted ones too, whose records stay. */
export async function listVisibleAppIds(db: Db, accountId: Uuid): Promise<Uuid[]> {
  const rows = await db<{ id: Uuid }[]>`
    select id from app where account_id = ${accountId}
    union select app_id from app_member where account_id = ${accountId}`;
  return rows.map(({ id }) => id);
}

/** Changes the given fields and no others. Whoever calls has found out that the viewer may. */
export async function updateApp(
  db: Db,
  { id, change, at }: { id: Uuid; change: AppChange; at: Date },
): Promise<App | undefined> {
  const { config, ...plain } = change;
  const set = { ...plain, ...(config && { config: db.json(config as never) }), updated_at: at };
  const [row] = await db<App[]>`
    update app set ${db(set)}, version = version + 1 where id = ${id} and deleted_at is null
    returning ${columns(db)}`;
  return row;
}

/** Marks an app as deleted. The row stays, for its records. */
export async function deleteApp(db: Db, { id, at }: { id: Uuid; at: Date }): Promise<void> {
  await db`update app set deleted_at = ${at}, updated_at = ${at} where id = ${id} and deleted_at is null`;
}
