import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** A role that a provider's claim may give; an owner is made by an owner alone. */
export type MappedRole = "admin" | "editor" | "viewer";

/** How people log in with an OpenID provider; there is one for the installation. */
export interface Oidc {
  /** Exactly as the provider's discovery document spells it. */
  issuer: string;
  client_id: string;
  /** Encrypted; `null` for a public client. */
  client_secret_sealed: Uint8Array | null;
  /** Separated by spaces; always with `openid`. */
  scopes: string;
  /** E-mail domains in lower case; empty for any. */
  allowed_domains: string[];
  /** The claim that holds roles; `null` where the provider knows of none. */
  role_claim: string | null;
  /** Value of the claim -> role. */
  role_map: Record<string, MappedRole>;
  /** For who has no mapped role. */
  default_role: "editor" | "viewer";
  enabled: boolean;
  created_at: Date;
  updated_at: Date;
}

/** The settings, if there are any; `lock` keeps them as they are until the commit. */
export async function findOidc(db: Db, { lock = false } = {}): Promise<Oidc | undefined> {
  const [row] = await db<Oidc[]>`
    select issuer, client_id, client_secret_sealed, scopes, allowed_domains, role_claim, role_map, default_role,
      enabled, created_at, updated_at
    from oidc ${lock ? db`for update` : db``}`;
  return row;
}

/** Stores the settings in place of those there were, whose time of making stays. */
export async function insertOidc(db: Db, { role_map, ...plain }: Oidc): Promise<void> {
  const { created_at: _, ...change } = { ...plain, role_map: db.json(role_map) };
  await db`
    insert into oidc ${db({ ...change, created_at: plain.created_at })}
    on conflict (singleton) do update set ${db(change)}`;
}

/** Who somebody is at a provider, and which account that is here. */
export interface AccountIdentity {
  issuer: string;
  subject: string;
  account_id: Uuid;
  created_at: Date;
}

/** The account of a provider's subject; `undefined` if it has none yet. Uses the primary key. */
export async function findIdentity(
  db: Db,
  { issuer, subject }: { issuer: string; subject: string },
): Promise<AccountIdentity | undefined> {
  const [row] = await db<AccountIdentity[]>`
    select issuer, subject, account_id, created_at from account_identity
    where issuer = ${issuer} and subject = ${subject}`;
  return row;
}

/**
 * Links a provider's subject to an account; `false` where either is linked already, also by somebody who came at the
 * same moment.
 */
export async function insertIdentity(db: Db, identity: AccountIdentity): Promise<boolean> {
  const { count } = await db`
    insert into account_identity ${db({ ...identity })} on conflict do nothing`;
  return count > 0;
}
