import { type Problem, ValidateError } from "../errors/app-error.ts";
import type { MappedRole, Oidc } from "../sql/oidc.ts";
import { isDomain } from "./oidc-identity.ts";
import { isSafeUrl } from "./oidc-provider.ts";

/** The settings as people see them: of the client secret only whether there is one. */
export interface OidcSettings extends Omit<Oidc, "client_secret_sealed"> {
  client_secret_set: boolean;
  /** What to register at the provider, to the letter. */
  redirect_uri: string;
}

/** A change of the settings; a field that is absent stays as it is. */
export interface OidcChange {
  issuer?: string;
  client_id?: string;
  /** Empty keeps the one there is. */
  client_secret?: string;
  scopes?: string;
  allowed_domains?: readonly string[];
  /** Empty for none. */
  role_claim?: string;
  role_map?: Readonly<Record<string, MappedRole>>;
  default_role?: Oidc["default_role"];
  enabled?: boolean;
}

/** What the settings are before anybody has said anything. */
const initial = {
  issuer: "",
  client_id: "",
  scopes: "openid email profile",
  allowed_domains: [],
  role_claim: null,
  role_map: {},
  default_role: "viewer",
  enabled: true,
} as const;

/** Settings without what is not a person's to choose. */
export type OidcChoice = Omit<Oidc, "client_secret_sealed" | "created_at" | "updated_at">;

const isIssuer = (text: string): boolean => {
  const url = URL.parse(text);
  if (!url || !isSafeUrl(url)) return false;
  return !/[?#]/.test(text) && !url.username && !url.password && !url.pathname.includes("/.well-known/");
};

/** Whether two issuers are one, as the provider's discovery document is found by them. */
export const isSameIssuer = (one: string, other: string): boolean =>
  URL.parse(one)?.href === URL.parse(other)?.href;

/** Scope tokens of RFC 6749, section 3.3, of which one is `openid`. */
const areScopes = (text: string): boolean =>
  /^[!#-[\]-~]+( [!#-[\]-~]+)*$/.test(text) && text.split(" ").includes("openid");

/**
 * The settings after a change.
 * @throws {ValidateError} naming the fields: something is missing or wrong, or the secret would go to another issuer.
 */
export function applyChange(before: Oidc | undefined, change: OidcChange): OidcChoice {
  const { client_secret, role_claim, allowed_domains, role_map, ...plain } = change;
  const { client_secret_sealed, created_at: _, updated_at: __, ...kept } = before ?? {};
  const after: OidcChoice = {
    ...initial,
    allowed_domains: [],
    role_map: {},
    ...kept,
    ...plain,
    ...(role_claim !== undefined && { role_claim: role_claim === "" ? null : role_claim }),
    ...(allowed_domains && { allowed_domains: allowed_domains.map((domain) => domain.toLowerCase()) }),
    ...(role_map && { role_map: { ...role_map } }),
  };
  const problems: Record<string, Problem[]> = {};
  const check = (field: keyof OidcChange, holds: boolean, key: Problem["key"]) => {
    if (!holds) problems[field] ??= [{ key }];
  };
  check("issuer", after.issuer !== "", "validate.required");
  check("issuer", isIssuer(after.issuer), "oidc.issuer_invalid");
  check("client_id", after.client_id !== "", "validate.required");
  check("scopes", areScopes(after.scopes), "oidc.scopes_invalid");
  check("allowed_domains", after.allowed_domains.every(isDomain), "oidc.domain_invalid");
  // The secret was given for one provider: nobody sends it to another without knowing it.
  const moved = before !== undefined && !isSameIssuer(before.issuer, after.issuer);
  check("client_secret", !moved || !client_secret_sealed || Boolean(client_secret), "oidc.secret_again");
  if (Object.keys(problems).length > 0) throw new ValidateError(problems);
  return after;
}

/** The settings as people see them. */
export const masked = ({ client_secret_sealed, ...settings }: Oidc, redirectUri: string): OidcSettings => ({
  ...settings,
  client_secret_set: client_secret_sealed !== null,
  redirect_uri: redirectUri,
});
