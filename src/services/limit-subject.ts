import { type Problem, ValidateError } from "../errors/app-error.ts";
import { isUuid, nilUuid, type Uuid } from "../id.ts";
import { findAccount } from "../sql/account.ts";
import { findApp } from "../sql/app.ts";
import { hasAppKey } from "../sql/app-key.ts";
import type { Db } from "../sql/db.ts";
import { findInstallation } from "../sql/installation.ts";

/** Whom limits and budgets are about; `user` is about the users of an app. */
export type LimitScope = "key" | "app" | "account" | "user";

const unknown: Readonly<Record<LimitScope, Problem["key"]>> = {
  key: "key.not_found",
  app: "app.not_found",
  account: "account.not_found",
  user: "app.not_found",
};

async function exists(db: Db, scope: LimitScope, id: Uuid): Promise<boolean> {
  if (scope === "key") return hasAppKey(db, id);
  if (scope !== "account") {
    return (await findApp(db, { id, viewer: { accountId: nilUuid, seesAll: true } })) !== undefined;
  }
  // In development mode apps belong to somebody who is no account.
  return (
    (await findAccount(db, id)) !== undefined || (await findInstallation(db))?.development_account_id === id
  );
}

/**
 * The id of what a limit is about, as it is stored.
 * @throws {ValidateError} naming `field`: it is no id, or this installation has nothing of it.
 */
export async function requireSubject(
  db: Db,
  { scope, subject, field }: { scope: LimitScope; subject: string; field: string },
): Promise<Uuid> {
  if (!isUuid(subject)) throw new ValidateError({ [field]: [{ key: "validate.uuid" }] });
  const id = subject.toLowerCase();
  if (!(await exists(db, scope, id))) throw new ValidateError({ [field]: [{ key: unknown[scope] }] });
  return id;
}
