import type { Principal, Role } from "../auth/principal.ts";
import { type Envelope, success } from "../errors/envelope.ts";
import { type Locale, t } from "../i18n/messages.ts";
import type { Uuid } from "../id.ts";
import type { Account, AccountService } from "../services/account.ts";

interface Needs {
  accounts: AccountService;
}

interface Caller {
  principal: Principal;
  locale: Locale;
}

/** An account as callers see it. */
export type WireAccount = Pick<Account, "id" | "email" | "name" | "role" | "status"> & {
  created_at: string;
  updated_at: string;
};

/** Without what only the login needs to know. */
export const toWireAccount = ({
  id,
  email,
  name,
  role,
  status,
  created_at,
  updated_at,
}: Account): WireAccount => ({
  id,
  email,
  name,
  role,
  status,
  created_at: created_at.toISOString(),
  updated_at: updated_at.toISOString(),
});

/** `GET /account` */
export async function listAccounts(
  { accounts }: Needs,
  { query: { limit = "20", cursor } }: { query: { limit?: string; cursor?: string } },
): Promise<Envelope<{ items: WireAccount[]; next_cursor: string | null }>> {
  const page = await accounts.list({ ...(cursor !== undefined && { before: cursor }), limit: Number(limit) });
  return success("", { items: page.items.map(toWireAccount), next_cursor: page.nextCursor });
}

interface NewAccount {
  email: string;
  name?: string;
  password?: string;
  role: Role;
}

/** `POST /account` */
export async function createAccount(
  { accounts }: Needs,
  { principal, locale, body }: Caller & { body: NewAccount },
): Promise<Envelope<WireAccount>> {
  const account = await accounts.create(principal, body);
  return success(t(locale, "account.created", { email: account.email }), toWireAccount(account));
}

/** `GET /account/:id` */
export async function getAccount(
  { accounts }: Needs,
  { locale, id }: { locale: Locale; id: Uuid },
): Promise<Envelope<WireAccount>> {
  const account = await accounts.get(id);
  return success(t(locale, "account.found", { email: account.email }), toWireAccount(account));
}

/** `POST /account/:id` */
export async function updateAccount(
  { accounts }: Needs,
  {
    principal,
    locale,
    id,
    body,
  }: Caller & { id: Uuid; body: Partial<Pick<Account, "name" | "role" | "status">> },
): Promise<Envelope<WireAccount>> {
  const account = await accounts.update(principal, id, body);
  return success(t(locale, "account.updated", { email: account.email }), toWireAccount(account));
}

/** `POST /account/:id/delete` */
export async function deleteAccount(
  { accounts }: Needs,
  { principal, locale, id }: Caller & { id: Uuid },
): Promise<Envelope> {
  await accounts.delete(principal, id);
  return success(t(locale, "account.deleted"), {});
}
