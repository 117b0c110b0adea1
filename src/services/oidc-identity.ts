import { OidcError } from "../errors/oidc-error.ts";
import type { Uuid } from "../id.ts";
import type { MappedRole, Oidc } from "../sql/oidc.ts";
import type { ProviderClaims } from "./oidc-provider.ts";

/** Somebody whom a provider vouches for, as the rules let them in. */
export interface VerifiedIdentity {
  /** Together with `subject` who this is at the provider; the e-mail may change, these do not. */
  issuer: string;
  subject: string;
  /** In lower case, ASCII, and verified by the provider. */
  email: string;
  emailVerified: true;
  /** At most 255 code points; empty where the provider tells none. */
  name: string;
  /** For a new account. */
  role: MappedRole;
  /** Whether the provider decides about roles: `role` then also replaces that of an account there is, an owner's excepted. */
  syncRole: boolean;
}

/** What became of an identity. */
export type IdentityOutcome =
  | { outcome: "found" | "linked" | "created"; accountId: Uuid }
  /** The account may not log in. */
  | { outcome: "disabled" }
  /** The account of this e-mail belongs to another subject of the same issuer. */
  | { outcome: "linked_elsewhere" };

/** Accounts, as a login with a provider needs them. */
export interface IdentityAccounts {
  /**
   * In one transaction: the account of `(issuer, subject)`; else the one with this e-mail, which is linked unless
   * another subject of the issuer has it; else a new one. One that is disabled is neither linked nor changed. With
   * `syncRole` the role becomes `role`, unless the account is an owner's.
   */
  findOrCreateByIdentity(identity: VerifiedIdentity): Promise<IdentityOutcome>;
}

type Claims = Readonly<Record<string, unknown>>;
type Rules = Pick<Oidc, "allowed_domains" | "role_claim" | "role_map" | "default_role">;

/**
 * Printable ASCII with one `@`. Beyond ASCII two addresses can become one in lower case (the Kelvin sign is a `k`
 * there), and one person's account another's.
 */
const emailPattern =
  /^[!#-'*+\-./0-9=?A-Z^_`a-z{|}~]{1,64}@((?:[0-9a-z](?:[0-9a-z-]{0,61}[0-9a-z])?\.)*[0-9a-z](?:[0-9a-z-]{0,61}[0-9a-z])?)$/i;
/** OpenID Connect Core, section 2: at most 255 ASCII characters. */
const subjectPattern = /^[\x20-\x7e]{1,255}$/;
const ranked = ["admin", "editor", "viewer"] as const;
/** Most values of a role claim that are looked at. */
const valuesMax = 1000;

/** Whether a text is an e-mail domain such as `example.com`. */
export const isDomain = (text: string): boolean => text.length <= 253 && emailPattern.test(`a@${text}`);

/** A claim by its name, or by a path such as `realm_access.roles` where no claim has that name. */
function claimAt(claims: Claims | undefined, path: string): unknown {
  if (!claims || Object.hasOwn(claims, path)) return claims?.[path];
  return path.split(".").reduce<unknown>((at, step) => {
    const inside = typeof at === "object" && at !== null && Object.hasOwn(at, step);
    return inside ? (at as Claims)[step] : undefined;
  }, claims);
}

const hasEmail = (claims: Claims): boolean =>
  claims.email !== undefined && claims.email_verified !== undefined;

/** Whether the ID token leaves something open that the UserInfo endpoint may know. */
export const wantsUserInfo =
  ({ role_claim }: Pick<Oidc, "role_claim">) =>
  (idToken: Claims): boolean =>
    !hasEmail(idToken) || (role_claim !== null && claimAt(idToken, role_claim) === undefined);

/** The highest role that the claim's values map to. */
function roleOf({ idToken, userInfo }: ProviderClaims, rules: Rules): MappedRole {
  const { role_claim, role_map, default_role } = rules;
  if (role_claim === null) return default_role;
  const claim = claimAt(idToken, role_claim) ?? claimAt(userInfo, role_claim);
  const values: unknown[] = Array.isArray(claim) ? claim.slice(0, valuesMax) : [claim];
  const mapped = values.map((value) =>
    typeof value === "string" && Object.hasOwn(role_map, value) ? role_map[value] : undefined,
  );
  return ranked.find((role) => mapped.includes(role)) ?? default_role;
}

/** A name that can be stored and shown: without control characters and lone surrogates, cut to length. */
const nameOf = (claim: unknown): string =>
  typeof claim === "string"
    ? [
        ...claim
          .slice(0, 1024)
          .toWellFormed()
          .replaceAll(/\p{Cc}/gu, "")
          .trim(),
      ]
        .slice(0, 255)
        .join("")
    : "";

/**
 * Who this is, if the rules let them in. E-mail and its verification are taken from one document, so that a verified
 * address cannot lend its mark to another.
 * @throws {OidcError} no e-mail, an unverified one, or one of a domain that is not allowed.
 */
export function identityOf(claims: ProviderClaims, issuer: string, rules: Rules): VerifiedIdentity {
  const { idToken, userInfo } = claims;
  if (!subjectPattern.test(idToken.sub)) throw new OidcError("answer_invalid", { cause: "the subject" });
  const { email, email_verified } = hasEmail(idToken) || !userInfo ? idToken : userInfo;
  const domain = typeof email === "string" && email.length <= 254 ? emailPattern.exec(email)?.[1] : undefined;
  if (typeof email !== "string" || domain === undefined) throw new OidcError("email_missing");
  if (email_verified !== true) throw new OidcError("email_unverified");
  const { allowed_domains, role_claim } = rules;
  if (allowed_domains.length > 0 && !allowed_domains.includes(domain.toLowerCase())) {
    throw new OidcError("domain_not_allowed");
  }
  return {
    issuer,
    subject: idToken.sub,
    email: email.toLowerCase(),
    emailVerified: true,
    name: nameOf(idToken.name ?? userInfo?.name),
    role: roleOf(claims, rules),
    syncRole: role_claim !== null,
  };
}
