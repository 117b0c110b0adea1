import { formatKey, newKey } from "../auth/app-key.ts";
import type { Principal } from "../auth/principal.ts";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import { ConflictError, NotFoundError, ValidateError } from "../errors/app-error.ts";
import { newId, type Uuid } from "../id.ts";
import {
  type AppKey,
  expireAppKey,
  findAppKey,
  findUsableAppKey,
  insertAppKey,
  listAppKey,
  revokeAppKeys,
  touchAppKeys,
} from "../sql/app-key.ts";
import type { Db } from "../sql/db.ts";
import { requireApp } from "./app.ts";
import type { AuditService } from "./audit.ts";
import { type Page, pageOf } from "./page.ts";

export type { AppKey } from "../sql/app-key.ts";

/** What a new key is to be. */
export interface NewAppKey {
  name?: string;
  models?: string[];
  address_ranges?: string[];
  expires_at?: Date;
}

/** A key that has just been made, with its text, which is known this once. */
export interface MadeAppKey {
  key: AppKey;
  text: string;
}

export interface AppKeyServiceOptions {
  sql: Sql;
  clock: Clock;
  /** Keyed hash of a secret. */
  hash: (secret: string) => Uint8Array;
  audit: AuditService;
}

/** Rules of app keys: made, exchanged and revoked by whoever may change the app. */
export type AppKeyService = ReturnType<typeof createAppKeyService>;

/** Creates the service over a pool. */
export function createAppKeyService({ sql, clock, hash, audit }: AppKeyServiceOptions) {
  async function insert(db: Db, principal: Principal, appId: Uuid, fields: NewAppKey): Promise<MadeAppKey> {
    const parts = newKey();
    const now = clock.now();
    const key: AppKey = {
      id: newId(),
      app_id: appId,
      name: fields.name ?? "",
      public_id: parts.publicId,
      secret_hash: hash(parts.secret),
      models: fields.models ?? [],
      address_ranges: fields.address_ranges ?? [],
      expires_at: fields.expires_at ?? null,
      used_at: null,
      revoked_at: null,
      created_by: principal.sessionId === undefined ? null : principal.accountId,
      created_at: now,
      updated_at: now,
    };
    await insertAppKey(db, key);
    return { key, text: formatKey(parts) };
  }

  const record = (
    db: Db,
    { actor }: Principal,
    action: string,
    id: Uuid,
    before: AppKey | null,
    after: AppKey | null,
  ) => audit.record(db, { actor, action, subjectKind: "app_key", subjectId: id, before, after });

  /** A key of an app that `principal` may change, as it is until the commit. */
  async function requireKey(db: Db, principal: Principal, appId: Uuid, id: Uuid): Promise<AppKey> {
    await requireApp(db, { principal, id: appId, need: "change" });
    const key = await findAppKey(db, { id, appId, lock: true });
    if (!key) throw new NotFoundError("key.not_found");
    return key;
  }

  return {
    /** Makes a key. @throws as `requireApp`, and {ValidateError} it would have ended already. */
    create: async (principal: Principal, appId: Uuid, fields: NewAppKey): Promise<MadeAppKey> =>
      sql.begin(async (tx) => {
        await requireApp(tx, { principal, id: appId, need: "change" });
        if (fields.expires_at && fields.expires_at <= clock.now()) {
          throw new ValidateError({ expires_at: [{ key: "validate.future" }] });
        }
        const made = await insert(tx, principal, appId, fields);
        await record(tx, principal, "app_key.create", made.key.id, null, made.key);
        return made;
      }),

    /** A page of an app's keys, newest first. @throws as `requireApp`. */
    async list(
      principal: Principal,
      appId: Uuid,
      { before, limit }: { before?: Uuid; limit: number },
    ): Promise<Page<AppKey>> {
      await requireApp(sql, { principal, id: appId, need: "read" });
      const rows = await listAppKey(sql, { appId, ...(before && { before }), limit: limit + 1 });
      return pageOf(rows, limit);
    },

    /**
     * Makes a key that opens the same, and ends the old one after `overlapSeconds`, or when it would have ended anyway.
     * @throws as `create`, and {ConflictError} the old one is revoked.
     */
    rotate: async (
      principal: Principal,
      appId: Uuid,
      id: Uuid,
      overlapSeconds: number,
    ): Promise<MadeAppKey> =>
      sql.begin(async (tx) => {
        const old = await requireKey(tx, principal, appId, id);
        if (old.revoked_at) throw new ConflictError("key.revoked");
        const at = clock.now();
        const end = new Date(at.getTime() + overlapSeconds * 1000);
        const expiresAt = old.expires_at && old.expires_at < end ? old.expires_at : end;
        await expireAppKey(tx, { id, expiresAt, at });
        const { name, models, address_ranges, expires_at } = old;
        const made = await insert(tx, principal, appId, {
          name,
          models,
          address_ranges,
          ...(expires_at && { expires_at }),
        });
        await record(tx, principal, "app_key.rotate", id, old, { ...old, expires_at: expiresAt });
        await record(tx, principal, "app_key.create", made.key.id, null, made.key);
        return made;
      }),

    /** Revokes a key; a second time changes nothing. @throws as `create`, and {NotFoundError} no such key. */
    revoke: async (principal: Principal, appId: Uuid, id: Uuid): Promise<void> => {
      await sql.begin(async (tx) => {
        const key = await requireKey(tx, principal, appId, id);
        const at = clock.now();
        if ((await revokeAppKeys(tx, { appId, only: id, at })) === 0) return;
        await record(tx, principal, "app_key.revoke", id, key, { ...key, revoked_at: at });
      });
    },

    /** The living key with this public id; its secret still has to be compared. */
    findUsable: async (publicId: string) => findUsableAppKey(sql, { publicId, at: clock.now() }),

    /** Notes when keys were last used. */
    touch: async (uses: readonly { id: Uuid; at: Date }[]): Promise<void> => touchAppKeys(sql, uses),
  };
}
