import type { Principal } from "../auth/principal.ts";
import { type Envelope, success } from "../errors/envelope.ts";
import { type Locale, t } from "../i18n/messages.ts";
import type { Uuid } from "../id.ts";
import type { App, AppChange, AppService, AppStatus } from "../services/app.ts";

/** What every handler of this file needs. */
interface Needs {
  apps: AppService;
}

interface Caller {
  principal: Principal;
  locale: Locale;
}

/** An app as callers see it. */
export type WireApp = Omit<App, "created_at" | "updated_at"> & { created_at: string; updated_at: string };

const toWireApp = ({ created_at, updated_at, ...app }: App): WireApp => ({
  ...app,
  created_at: created_at.toISOString(),
  updated_at: updated_at.toISOString(),
});

/** `POST /app` */
export async function createApp(
  { apps }: Needs,
  { principal, locale, body }: Caller & { body: Omit<AppChange, "status"> },
): Promise<Envelope<WireApp>> {
  const app = await apps.create(principal, body);
  return success(t(locale, "app.created", { id: app.id }), toWireApp(app));
}

/** `GET /app/:id` */
export async function getApp(
  { apps }: Needs,
  { principal, locale, id }: Caller & { id: Uuid },
): Promise<Envelope<WireApp>> {
  const app = await apps.get(principal, id);
  return success(t(locale, "app.found", { name: app.name }), toWireApp(app));
}

interface ListQuery {
  limit?: string;
  cursor?: string;
  search?: string;
  status?: AppStatus;
}

/** `GET /app` */
export async function listApps(
  { apps }: Needs,
  { principal, query: { limit = "20", cursor, ...filter } }: { principal: Principal; query: ListQuery },
): Promise<Envelope<{ items: WireApp[]; next_cursor: string | null }>> {
  const page = await apps.list(principal, {
    ...filter,
    ...(cursor !== undefined && { before: cursor }),
    limit: Number(limit),
  });
  return success("", { items: page.items.map(toWireApp), next_cursor: page.nextCursor });
}

/** `POST /app/:id` */
export async function updateApp(
  { apps }: Needs,
  { principal, locale, id, body }: Caller & { id: Uuid; body: AppChange },
): Promise<Envelope<WireApp>> {
  const app = await apps.update(principal, id, body);
  return success(t(locale, "app.updated", { name: app.name }), toWireApp(app));
}

/** `POST /app/:id/delete` */
export async function deleteApp(
  { apps }: Needs,
  { principal, locale, id }: Caller & { id: Uuid },
): Promise<Envelope<Record<string, never>>> {
  await apps.delete(principal, id);
  return success(t(locale, "app.deleted", { id }), {});
}
