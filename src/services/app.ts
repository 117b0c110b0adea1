import type { Principal } from "../auth/principal.ts";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import { NotFoundError } from "../errors/app-error.ts";
import { newId, type Uuid } from "../id.ts";
import {
  type App,
  type AppChange,
  type AppFilter,
  deleteApp,
  findApp,
  insertApp,
  listApp,
  updateApp,
} from "../sql/app.ts";

export type { App, AppChange, AppStatus } from "../sql/app.ts";

/** What a new app is unless the caller says otherwise. */
const newApp = { name: "bot", icon: "", description: "A simple bot", status: "", config: {} } as const;

/** A page of a list; `nextCursor` is `null` on the last one. */
export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}

/** Rules of apps: who may see which, what a new one looks like, when it changed. */
export type AppService = ReturnType<typeof createAppService>;

/** Creates the service over a pool. */
export function createAppService({ sql, clock }: { sql: Sql; clock: Clock }) {
  const notFound = () => new NotFoundError("app.not_found");

  /** The app with this id. @throws {NotFoundError} none, or not visible to `principal`. */
  async function get(principal: Principal, id: Uuid): Promise<App> {
    const app = await findApp(sql, { id, viewer: principal });
    if (!app) throw notFound();
    return app;
  }

  return {
    get,

    /** Makes an app that belongs to `principal`. */
    async create(principal: Principal, fields: Omit<AppChange, "status">): Promise<App> {
      const now = clock.now();
      const app: App = {
        id: newId(),
        account_id: principal.accountId,
        ...newApp,
        ...fields,
        created_at: now,
        updated_at: now,
      };
      await insertApp(sql, app);
      return app;
    },

    /** A page of the apps that `principal` may see, newest first. */
    async list(principal: Principal, filter: Omit<AppFilter, "viewer">): Promise<Page<App>> {
      const apps = await listApp(sql, { ...filter, viewer: principal, limit: filter.limit + 1 });
      const items = apps.slice(0, filter.limit);
      return { items, nextCursor: apps.length > items.length ? (items.at(-1)?.id ?? null) : null };
    },

    /** Changes the given fields and no others. @throws {NotFoundError} none, or not visible to `principal`. */
    async update(principal: Principal, id: Uuid, change: AppChange): Promise<App> {
      if (Object.keys(change).length === 0) return get(principal, id);
      const app = await updateApp(sql, { id, viewer: principal, change, at: clock.now() });
      if (!app) throw notFound();
      return app;
    },

    /** Deletes an app; its records stay. @throws {NotFoundError} none, or not visible to `principal`. */
    async delete(principal: Principal, id: Uuid): Promise<void> {
      if (!(await deleteApp(sql, { id, viewer: principal, at: clock.now() }))) throw notFound();
    },
  };
}
