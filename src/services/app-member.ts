import type { Principal } from "../auth/principal.ts";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import { ConflictError, NotFoundError } from "../errors/app-error.ts";
import type { Uuid } from "../id.ts";
import { findAccountByEmail } from "../sql/account.ts";
import {
  type AppMember,
  deleteAppMember,
  findAppMember,
  listAppMember,
  upsertAppMember,
} from "../sql/app-member.ts";
import { requireApp } from "./app.ts";
import type { AuditService } from "./audit.ts";

export type { AppMember } from "../sql/app-member.ts";

/** Most members that a list shows. */
const membersMax = 1000;

/** Rules of an app's members: decided by its owner, and by whoever manages the installation. */
export type AppMemberService = ReturnType<typeof createAppMemberService>;

/** Creates the service over a pool. */
export function createAppMemberService({
  sql,
  clock,
  audit,
}: {
  sql: Sql;
  clock: Clock;
  audit: AuditService;
}) {
  const record = (
    tx: Parameters<AuditService["record"]>[0],
    { actor }: Principal,
    action: string,
    appId: Uuid,
    before: AppMember | null,
    after: AppMember | null,
  ) => audit.record(tx, { actor, action, subjectKind: "app_member", subjectId: appId, before, after });

  return {
    /** The members of an app, by e-mail. @throws as `requireApp`. */
    async list(principal: Principal, appId: Uuid): Promise<AppMember[]> {
      await requireApp(sql, { principal, id: appId, need: "read" });
      return listAppMember(sql, { appId, limit: membersMax });
    },

    /**
     * Gives somebody a role on an app, in the place of the one they have.
     * @throws as `requireApp`; {NotFoundError} no account has this e-mail; {ConflictError} it is the owner's.
     */
    set: async (
      principal: Principal,
      appId: Uuid,
      { email, role }: Pick<AppMember, "email" | "role">,
    ): Promise<AppMember> =>
      sql.begin(async (tx) => {
        const app = await requireApp(tx, { principal, id: appId, need: "manage" });
        const account = await findAccountByEmail(tx, email.toLowerCase());
        if (!account) throw new NotFoundError("account.not_found");
        if (account.id === app.account_id) throw new ConflictError("member.owner");
        const at = { appId, accountId: account.id };
        const before = (await findAppMember(tx, at)) ?? null;
        await upsertAppMember(tx, { ...at, role, at: clock.now() });
        const after = await findAppMember(tx, at);
        if (!after) throw new NotFoundError("account.not_found");
        await record(tx, principal, "app_member.set", appId, before, after);
        return after;
      }),

    /** Takes a role away. @throws as `requireApp`; {NotFoundError} they have none. */
    delete: async (principal: Principal, appId: Uuid, accountId: Uuid): Promise<void> => {
      await sql.begin(async (tx) => {
        await requireApp(tx, { principal, id: appId, need: "manage" });
        const before = await findAppMember(tx, { appId, accountId });
        if (!before || !(await deleteAppMember(tx, { appId, accountId })))
          throw new NotFoundError("member.not_found");
        await record(tx, principal, "app_member.delete", appId, before, null);
      });
    },
  };
}
