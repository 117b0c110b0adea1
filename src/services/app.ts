import { atLeast, type Principal } from "../auth/principal.ts";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import { ForbiddenError, NotFoundError } from "../errors/app-error.ts";
import { newId, type Uuid } from "../id.ts";
import {
  type App,
  type AppAccess,
  type AppChange,
  type AppFilter,
  deleteApp,
  findApp,
  insertApp,
  listApp,
  lockApp,
  updateApp,
} from "../sql/app.ts";
import { revokeAppKeys } from "../sql/app-key.ts";
import type { Db } from "../sql/db.ts";
import type { AuditService } from "./audit.ts";
import { type Page, pageOf } from "./page.ts";

export type { App, AppChange, AppStatus } from "../sql/app.ts";

/** What a new app is unless the caller says otherwise. */
const newApp = { name: "bot", icon: "", description: "A simple bot", status: "", config: {} } as const;

/** What somebody wants to do with an app: look at it, change it and its keys, or decide who else may and delete it. */
export type AppNeed = "read" | "change" | "manage";

const allowed: Record<AppNeed, readonly AppAccess[]> = {
  read: ["owner", "editor", "viewer"],
  change: ["owner", "editor"],
  manage: ["owner"],
};

/**
 * The app, if `principal` may do with it what they need; inside a transaction it stays as it is until the commit.
 * @throws {NotFoundError} none, or not visible. @throws {ForbiddenError} visible, but no more than that.
 */
export async function requireApp(
  db: Db,
  { principal, id, need }: { principal: Principal; id: Uuid; need: AppNeed },
): Promise<App> {
  if (need !== "read") await lockApp(db, id);
  const found = await findApp(db, { id, viewer: principal });
  if (!found) throw new NotFoundError("app.not_found");
  const { access, ...app } = found;
  if (!allowed[need].includes(access) || (need !== "read" && !atLeast(principal.role, "editor"))) {
    throw new ForbiddenError("auth.forbidden");
  }
  return app;
}

/** Rules of apps: who may see which, what a new one looks like, when it changed. */
export type AppService = ReturnType<typeof createAppService>;

/** Creates the service over a pool. */
export function createAppService({ sql, clock, audit }: { sql: Sql; clock: Clock; audit: AuditService }) {
  return {
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
      await sql.begin(async (tx) => {
        await insertApp(tx, app);
        await audit.record(tx, {
          actor: principal.actor,
          action: "app.create",
          subjectKind: "app",
          subjectId: app.id,
          before: null,
          after: app,
        });
      });
      return app;
    },

    /** The app with this id. @throws {NotFoundError} none, or not visible to `principal`. */
    get: async (principal: Principal, id: Uuid): Promise<App> =>
      requireApp(sql, { principal, id, need: "read" }),

    /** A page of the apps that `principal` may see, newest first. */
    async list(principal: Principal, filter: Omit<AppFilter, "viewer">): Promise<Page<App>> {
      const apps = await listApp(sql, { ...filter, viewer: principal, limit: filter.limit + 1 });
      return pageOf(apps, filter.limit);
    },

    /** Changes the given fields and no others. @throws as {@link requireApp}. */
    update: async (principal: Principal, id: Uuid, change: AppChange): Promise<App> =>
      sql.begin(async (tx) => {
        const before = await requireApp(tx, { principal, id, need: "change" });
        if (Object.keys(change).length === 0) return before;
        const after = await updateApp(tx, { id, change, at: clock.now() });
        if (!after) throw new NotFoundError("app.not_found");
        await audit.record(tx, {
          actor: principal.actor,
          action: "app.update",
          subjectKind: "app",
          subjectId: id,
          before,
          after,
        });
        return after;
      }),

    /** Deletes an app and revokes its keys; its records stay. @throws as {@link requireApp}. */
    delete: async (principal: Principal, id: Uuid): Promise<void> => {
      await sql.begin(async (tx) => {
        const before = await requireApp(tx, { principal, id, need: "manage" });
        const at = clock.now();
        await deleteApp(tx, { id, at });
        await revokeAppKeys(tx, { appId: id, at });
        await audit.record(tx, {
          actor: principal.actor,
          action: "app.delete",
          subjectKind: "app",
          subjectId: id,
          before,
          after: null,
        });
      });
    },
  };
}
