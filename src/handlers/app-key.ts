import type { Principal } from "../auth/principal.ts";
import { type Envelope, success } from "../errors/envelope.ts";
import { type Locale, t } from "../i18n/messages.ts";
import type { Uuid } from "../id.ts";
import type { AppKey, AppKeyService } from "../services/app-key.ts";

interface Needs {
  keys: AppKeyService;
}

interface Caller {
  principal: Principal;
  locale: Locale;
  appId: Uuid;
}

/** A key as callers see it; never its secret, nor the hash of it. */
export type WireAppKey = Pick<
  AppKey,
  "id" | "app_id" | "name" | "public_id" | "models" | "address_ranges"
> & {
  created_at: string;
  expires_at: string | null;
  used_at: string | null;
  revoked_at: string | null;
};

const toWireAppKey = (key: AppKey): WireAppKey => ({
  id: key.id,
  app_id: key.app_id,
  name: key.name,
  public_id: key.public_id,
  models: key.models,
  address_ranges: key.address_ranges,
  created_at: key.created_at.toISOString(),
  expires_at: key.expires_at?.toISOString() ?? null,
  used_at: key.used_at?.toISOString() ?? null,
  revoked_at: key.revoked_at?.toISOString() ?? null,
});

interface NewKey {
  name?: string;
  models?: string[];
  address_ranges?: string[];
  expires_at?: string;
}

/** `POST /app/:id/key` */
export async function createAppKey(
  { keys }: Needs,
  { principal, locale, appId, body: { expires_at, ...fields } }: Caller & { body: NewKey },
): Promise<Envelope<WireAppKey & { key: string }>> {
  const { key, text } = await keys.create(principal, appId, {
    ...fields,
    ...(expires_at !== undefined && { expires_at: new Date(expires_at) }),
  });
  return success(t(locale, "key.created"), { ...toWireAppKey(key), key: text });
}

/** `GET /app/:id/key` */
export async function listAppKeys(
  { keys }: Needs,
  {
    principal,
    appId,
    query: { limit = "20", cursor },
  }: Omit<Caller, "locale"> & { query: { limit?: string; cursor?: string } },
): Promise<Envelope<{ items: WireAppKey[]; next_cursor: string | null }>> {
  const page = await keys.list(principal, appId, {
    ...(cursor !== undefined && { before: cursor }),
    limit: Number(limit),
  });
  return success("", { items: page.items.map(toWireAppKey), next_cursor: page.nextCursor });
}

/** `POST /app/:id/key/:key_id/rotate` */
export async function rotateAppKey(
  { keys }: Needs,
  { principal, locale, appId, id, overlap = 3600 }: Caller & { id: Uuid; overlap: number | undefined },
): Promise<Envelope<WireAppKey & { key: string }>> {
  const { key, text } = await keys.rotate(principal, appId, id, overlap);
  return success(t(locale, "key.rotated", { seconds: overlap }), { ...toWireAppKey(key), key: text });
}

/** `POST /app/:id/key/:key_id/delete` */
export async function revokeAppKey(
  { keys }: Needs,
  { principal, locale, appId, id }: Caller & { id: Uuid },
): Promise<Envelope> {
  await keys.revoke(principal, appId, id);
  return success(t(locale, "key.revoked"), {});
}
