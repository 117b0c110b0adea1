import type { Passwords } from "../auth/password.ts";
import { type Actor, atLeast, type Principal, type Role } from "../auth/principal.ts";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import {
  ConflictError,
  ForbiddenError,
  NotFoundError,
  UnauthorizedError,
  ValidateError,
} from "../errors/app-error.ts";
import { newId, type Uuid } from "../id.ts";
import {
  type Account,
  type AccountChange,
  countOwners,
  deleteAccount,
  findAccount,
  findAccountByEmail,
  hasAccount,
  insertAccount,
  listAccount,
  lockAccounts,
  updateAccount,
} from "../sql/account.ts";
import type { Db } from "../sql/db.ts";
import { findIdentity, insertIdentity } from "../sql/oidc.ts";
import { endSessions } from "../sql/session.ts";
import { deleteSetupTokens, insertSetupToken, takeSetupToken } from "../sql/setup-token.ts";
import type { AuditService } from "./audit.ts";
import type { IdentityOutcome, VerifiedIdentity } from "./oidc-identity.ts";
import { type Page, pageOf } from "./page.ts";

export type { Account } from "../sql/account.ts";

/** A new account; without a password its owner logs in elsewhere. */
export interface NewAccount {
  email: string;
  name?: string;
  password?: string;
  role: Role;
}

/** How long a setup link is good for, in milliseconds. */
const setupMs = 30 * 60_000;

export interface AccountServiceOptions {
  sql: Sql;
  clock: Clock;
  passwords: Passwords;
  /** Keyed hash of a secret. */
  hash: (secret: string) => Uint8Array;
  audit: AuditService;
}

/** Rules of accounts: who may make, see, change and delete whom; the first owner; the last one. */
export type AccountService = ReturnType<typeof createAccountService>;

const isDuplicate = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "23505";

/** Creates the service over a pool. */
export function createAccountService({ sql, clock, passwords, hash, audit }: AccountServiceOptions) {
  const notFound = () => new NotFoundError("account.not_found");

  /** Nobody gives or changes a role above their own, and nobody but an owner touches an owner. */
  const mayManage = (principal: Principal, role: Role) => {
    if (!atLeast(principal.role, role)) throw new ForbiddenError("account.above");
  };

  async function insert(
    db: Db,
    { email, name = "", password, role }: NewAccount,
    actor: Actor,
  ): Promise<Account> {
    const now = clock.now();
    const account: Account = {
      id: newId(),
      email: email.toLowerCase(),
      name,
      role,
      status: "",
      password_hash: password === undefined ? null : await passwords.hash(password),
      created_at: now,
      updated_at: now,
    };
    try {
      await insertAccount(db, account);
    } catch (error) {
      if (isDuplicate(error)) throw new ConflictError("account.exists");
      throw error;
    }
    await audit.record(db, {
      actor,
      action: "account.create",
      subjectKind: "account",
      subjectId: account.id,
      before: null,
      after: account,
    });
    return account;
  }

  /** Runs a change under the lock on all accounts, and undoes it where no owner who can log in would be left. */
  async function keepingAnOwner<T>(change: (tx: Db) => Promise<T>): Promise<T> {
    return sql.begin(async (tx) => {
      await lockAccounts(tx);
      const before = await countOwners(tx);
      const result = await change(tx);
      if (before > 0 && (await countOwners(tx)) === 0) throw new ConflictError("account.last_owner");
      return result;
    }) as Promise<T>;
  }

  async function update(db: Db, before: Account, change: AccountChange, actor: Actor): Promise<Account> {
    const account = await updateAccount(db, { id: before.id, change, at: clock.now() });
    if (!account) throw notFound();
    if (change.status === "disabled" || change.password_hash !== undefined) {
      await endSessions(db, { accountId: account.id, at: clock.now() });
    }
    await audit.record(db, {
      actor,
      action: "account.update",
      subjectKind: "account",
      subjectId: account.id,
      before,
      after: account,
    });
    return account;
  }

  return {
    /** A page of all accounts, newest first. */
    async list({ before, limit }: { before?: Uuid; limit: number }): Promise<Page<Account>> {
      const rows = await listAccount(sql, { ...(before && { before }), limit: limit + 1 });
      return pageOf(rows, limit);
    },

    /** The account with this id. @throws {NotFoundError} none. */
    async get(id: Uuid): Promise<Account> {
      const account = await findAccount(sql, id);
      if (!account) throw notFound();
      return account;
    },

    /** Makes an account. @throws {ForbiddenError} a role above the caller's. @throws {ConflictError} the e-mail is taken. */
    async create(principal: Principal, fields: NewAccount): Promise<Account> {
      mayManage(principal, fields.role);
      if (fields.password !== undefined) checkPassword(fields.email, { password: fields.password });
      return sql.begin((tx) => insert(tx, fields, principal.actor));
    },

    /** Changes an account; a disabled one is logged out everywhere. @throws as `create`, and {ConflictError} the last owner. */
    async update(
      principal: Principal,
      id: Uuid,
      change: Pick<AccountChange, "name" | "role" | "status">,
    ): Promise<Account> {
      return keepingAnOwner(async (tx) => {
        const account = await findAccount(tx, id, { lock: true });
        if (!account) throw notFound();
        mayManage(principal, account.role);
        if (change.role) mayManage(principal, change.role);
        return Object.keys(change).length === 0 ? account : update(tx, account, change, principal.actor);
      });
    },

    /** Deletes an account; its apps stay. @throws as `update`. */
    async delete(principal: Principal, id: Uuid): Promise<void> {
      await keepingAnOwner(async (tx) => {
        const account = await findAccount(tx, id, { lock: true });
        if (!account) throw notFound();
        mayManage(principal, account.role);
        await deleteAccount(tx, id);
        await audit.record(tx, {
          actor: principal.actor,
          action: "account.delete",
          subjectKind: "account",
          subjectId: id,
          before: account,
          after: null,
        });
      });
    },

    /**
     * Changes the caller's own password, and ends all their sessions.
     * @throws {UnauthorizedError} the present one is wrong.
     */
    async changePassword(
      principal: Principal,
      { current, next }: { current: string; next: string },
    ): Promise<void> {
      const account = await findAccount(sql, principal.accountId);
      if (account) checkPassword(account.email, { next });
      if (!account || !(await passwords.verify(current, account.password_hash))) {
        throw new UnauthorizedError("auth.bad_password");
      }
      const password_hash = await passwords.hash(next);
      await sql.begin((tx) => update(tx, account, { password_hash }, principal.actor));
    },

    /** Sets a password from the command line, and ends all sessions. @throws {NotFoundError} no such e-mail. */
    async resetPassword(
      { email, password }: { email: string; password: string },
      actor: Actor,
    ): Promise<Account> {
      const account = await findAccountByEmail(sql, email.toLowerCase());
      if (!account) throw notFound();
      const password_hash = await passwords.hash(password);
      return sql.begin((tx) => update(tx, account, { password_hash }, actor));
    },

    /** Makes an account from the command line, whatever its role. @throws {ConflictError} the e-mail is taken. */
    createByCommand: async (fields: NewAccount, actor: Actor): Promise<Account> =>
      sql.begin((tx) => insert(tx, fields, actor)),

    /** The first owner, where there is no account yet; `undefined` where there is. */
    async ensureFirst(fields: Omit<NewAccount, "role">): Promise<Account | undefined> {
      return sql.begin(async (tx) => {
        await lockAccounts(tx);
        if (await hasAccount(tx)) return undefined;
        return insert(tx, { ...fields, role: "owner" }, { kind: "system", name: "settings" });
      });
    },

    /** See {@link IdentityAccounts}. */
    findOrCreateByIdentity: async (identity: VerifiedIdentity): Promise<IdentityOutcome> =>
      sql.begin(async (tx) => {
        const actor: Actor = { kind: "system", name: `oidc ${identity.issuer}` };
        let link = await findIdentity(tx, identity);
        if (!link) {
          // Of two first logins at the same moment the second finds what the first has made.
          await lockAccounts(tx);
          link = await findIdentity(tx, identity);
        }
        const found = link
          ? await findAccount(tx, link.account_id, { lock: true })
          : await findAccountByEmail(tx, identity.email);
        if (found?.status === "disabled") return { outcome: "disabled" };
        const account = found ?? (await insert(tx, identity, actor));
        if (!link) {
          const at = { issuer: identity.issuer, subject: identity.subject };
          const linked = await insertIdentity(tx, { ...at, account_id: account.id, created_at: clock.now() });
          if (!linked) return { outcome: "linked_elsewhere" };
        }
        if (found && identity.syncRole && found.role !== "owner" && found.role !== identity.role) {
          await update(tx, found, { role: identity.role }, actor);
        }
        return { outcome: link ? "found" : found ? "linked" : "created", accountId: account.id };
      }) as Promise<IdentityOutcome>,

    /** A token that makes the first owner, good for 30 minutes; `undefined` where there is an account already. */
    async offerSetup(): Promise<string | undefined> {
      if (await hasAccount(sql)) return undefined;
      const token = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url");
      await insertSetupToken(sql, {
        hash: hash(token),
        expiresAt: new Date(clock.now().getTime() + setupMs),
      });
      return token;
    },

    /**
     * Makes the first owner by a setup token, which is then worth nothing, like all others.
     * @throws {UnauthorizedError} the token is not good, or somebody was first.
     */
    async setUp(
      { token, ...fields }: { token: string; email: string; password: string; name?: string },
      actor: Actor,
    ): Promise<Account> {
      checkPassword(fields.email, { password: fields.password });
      return sql.begin(async (tx) => {
        await lockAccounts(tx);
        const good = await takeSetupToken(tx, { hash: hash(token), at: clock.now() });
        if (!good || (await hasAccount(tx))) throw new UnauthorizedError("auth.bad_setup");
        await deleteSetupTokens(tx);
        return insert(tx, { ...fields, role: "owner" }, { ...actor, name: fields.email });
      });
    },
  };
}

/** Refuses a password that is the e-mail itself, by the name of its field. @throws {ValidateError} */
function checkPassword(email: string, field: Readonly<Record<string, string>>): void {
  for (const [name, password] of Object.entries(field)) {
    if (password.toLowerCase() === email.toLowerCase()) {
      throw new ValidateError({ [name]: [{ key: "validate.password" }] });
    }
  }
}
