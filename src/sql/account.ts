import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** A person who may log in. */
export interface Account {
  id: Uuid;
  /** In lower case; one account each. */
  email: string;
  name: string;
  role: "owner" | "admin" | "editor" | "viewer";
  status: "" | "disabled";
  /** Argon2id in PHC form; `null` for somebody who logs in elsewhere. */
  password_hash: string | null;
  created_at: Date;
  updated_at: Date;
}

/** What may be changed of an account; a field that is absent stays as it is. */
export type AccountChange = Partial<Pick<Account, "name" | "role" | "status" | "password_hash">>;

const columns = (db: Db) => db`id, email, name, role, status, password_hash, created_at, updated_at`;

/** Serialises what must see all accounts at once: the first owner, the last owner. Held until the commit. */
export async function lockAccounts(db: Db): Promise<void> {
  await db`select pg_advisory_xact_lock(5706271846)`;
}

/** Stores a new account. A second one of the same e-mail fails with PostgreSQL's 23505. */
export async function insertAccount(db: Db, account: Account): Promise<void> {
  await db`insert into account ${db({ ...account })}`;
}

/** The account with this id; `lock` keeps it as it is until the commit. */
export async function findAccount(db: Db, id: Uuid, { lock = false } = {}): Promise<Account | undefined> {
  const [row] = await db<Account[]>`
    select ${columns(db)} from account where id = ${id} ${lock ? db`for update` : db``}`;
  return row;
}

/** The account with this e-mail, which must be in lower case. */
export async function findAccountByEmail(db: Db, email: string): Promise<Account | undefined> {
  const [row] = await db<Account[]>`select ${columns(db)} from account where email = ${email}`;
  return row;
}

/** Lists accounts, newest first, by keyset on the id. */
export async function listAccount(
  db: Db,
  { before, limit }: { before?: Uuid; limit: number },
): Promise<Account[]> {
  return db<Account[]>`
    select ${columns(db)} from account
    ${before === undefined ? db`` : db`where id < ${before}`}
    order by id desc limit ${limit}`;
}

/** How many owners may log in, at most two: whether there is one is all that matters. */
export async function countOwners(db: Db): Promise<number> {
  const rows = await db`select 1 from account where role = 'owner' and status = '' limit 2`;
  return rows.length;
}

/** Whether there is any account. */
export async function hasAccount(db: Db): Promise<boolean> {
  const rows = await db`select 1 from account limit 1`;
  return rows.length > 0;
}

/** Changes the given fields; `undefined` if there is no such account. */
export async function updateAccount(
  db: Db,
  { id, change, at }: { id: Uuid; change: AccountChange; at: Date },
): Promise<Account | undefined> {
  const [row] = await db<Account[]>`
    update account set ${db({ ...change, updated_at: at })} where id = ${id} returning ${columns(db)}`;
  return row;
}

/** Deletes an account with its sessions; what it owns stays, and owners and admins still see it. */
export async function deleteAccount(db: Db, id: Uuid): Promise<void> {
  await db`delete from account where id = ${id}`;
}
