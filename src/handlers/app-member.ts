import type { Principal } from "../auth/principal.ts";
import { type Envelope, success } from "../errors/envelope.ts";
import { type Locale, t } from "../i18n/messages.ts";
import type { Uuid } from "../id.ts";
import type { AppMember, AppMemberService } from "../services/app-member.ts";

interface Needs {
  members: AppMemberService;
}

interface Caller {
  principal: Principal;
  locale: Locale;
  appId: Uuid;
}

/** A member of an app as callers see it. */
export type WireAppMember = Pick<AppMember, "account_id" | "email" | "role"> & { created_at: string };

const toWireAppMember = ({ account_id, email, role, created_at }: AppMember): WireAppMember => ({
  account_id,
  email,
  role,
  created_at: created_at.toISOString(),
});

/** `GET /app/:id/member` */
export async function listAppMembers(
  { members }: Needs,
  { principal, appId }: Omit<Caller, "locale">,
): Promise<Envelope<{ items: WireAppMember[] }>> {
  const items = await members.list(principal, appId);
  return success("", { items: items.map(toWireAppMember) });
}

/** `POST /app/:id/member` */
export async function setAppMember(
  { members }: Needs,
  { principal, locale, appId, body }: Caller & { body: Pick<AppMember, "email" | "role"> },
): Promise<Envelope<WireAppMember>> {
  const member = await members.set(principal, appId, body);
  return success(
    t(locale, "member.set", { email: member.email, role: member.role }),
    toWireAppMember(member),
  );
}

/** `POST /app/:id/member/:account_id/delete` */
export async function deleteAppMember(
  { members }: Needs,
  { principal, locale, appId, accountId }: Caller & { accountId: Uuid },
): Promise<Envelope> {
  await members.delete(principal, appId, accountId);
  return success(t(locale, "member.removed"), {});
}
