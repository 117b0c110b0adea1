import { isUuid } from "../id.ts";
import type { Audit } from "../sql/audit.ts";

/** For each kind of subject the fields whose values may be written down. What is not named here is a secret. */
const storable = {
  app: "id account_id name icon description status config created_at updated_at deleted_at",
  app_key:
    "id app_id name public_id models address_ranges expires_at used_at revoked_at created_by created_at updated_at",
  app_member: "app_id account_id email role created_at",
  account: "id email name role status created_at updated_at",
  session: "id account_id address user_agent created_at used_at expires_at ended_at",
  oidc: "issuer client_id client_secret_set scopes allowed_domains role_claim role_map default_role enabled redirect_uri created_at updated_at",
  provider:
    "id name dialect base_url header_names timeouts concurrency_max local status created_at updated_at",
  model:
    "id name provider_id upstream_name parameter_rules targets routing output_tokens_max image_tokens_max status created_at updated_at",
  price:
    "id model_id valid_from above_prompt_tokens currency prompt cached cache_write cache_write_long completion reasoning source created_at",
  rate_limit: "id scope subject end_user requests tokens concurrency created_at updated_at",
  budget:
    "id name scope subject_id end_user period time_zone currency amount hard warn_at status created_at updated_at deleted_at",
  lease: "holder_id leases spent",
  rate: "id base quote value valid_from source created_at",
  secret: "source data_keys",
} as const;

/** What a change may concern. */
export type SubjectKind = keyof typeof storable;

const storableFields = new Map<string, ReadonlySet<string>>(
  Object.entries(storable).map(([kind, fields]) => [kind, new Set(fields.split(" "))]),
);

const mask = "***";
const changedMask = "*** (changed)";

/** Text as PostgreSQL can store it. */
const storableText = (text: string): string => text.toWellFormed().replaceAll("\0", "\ufffd");

/**
 * What may be written down of a subject: the values of fields that are known to hold no secret; all others that are set
 * become `***`. A value is what JSON makes of it, so that it is the same when it comes back from the database.
 */
export function maskSecrets(kind: SubjectKind, value: object | null): Audit["before"] {
  if (value === null) return null;
  const fields = storableFields.get(kind);
  const shown = Object.entries(value).map(([name, each]) =>
    fields?.has(name) || each === null || each === undefined ? [name, each] : [name, mask],
  );
  return JSON.parse(
    JSON.stringify(Object.fromEntries(shown), (_, each) =>
      typeof each === "string" ? storableText(each) : each,
    ),
  );
}

/** Both sides of a change as {@link maskSecrets} has them; a secret that was replaced says so, and no more. */
export function maskChange(
  kind: SubjectKind,
  before: object | null,
  after: object | null,
): Pick<Audit, "before" | "after"> {
  const masked = { before: maskSecrets(kind, before), after: maskSecrets(kind, after) };
  if (!masked.before || !masked.after) return masked;
  const [old, now] = [before, after] as Record<string, unknown>[];
  for (const [name, value] of Object.entries(masked.after)) {
    const hidden = value === mask && masked.before[name] === mask;
    if (hidden && !Bun.deepEquals(old?.[name], now?.[name])) masked.after[name] = changedMask;
  }
  return masked;
}

/** An id or a name as it is stored: UUIDs in lower case, as PostgreSQL prints them. */
export const storedId = (text: string): string => (isUuid(text) ? text.toLowerCase() : storableText(text));

/** An optional text as it is stored. */
export const storedText = (text: string | undefined): string | null =>
  text === undefined ? null : storableText(text);

/** JSON with the keys of every object sorted by their UTF-16 units: equal values are equal texts. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([name, each]) => `${JSON.stringify(name)}:${canonicalJson(each)}`).join(",")}}`;
}

/**
 * The hash of an entry: SHA-256 over the hash of the one before, followed by the entry itself, without its two hashes, as
 * canonical JSON in UTF-8. What anybody can compute from a listing of the table.
 */
export function hashEntry({ hash: _, prev_hash, at, ...rest }: Audit): Buffer {
  const text = canonicalJson({ ...rest, at: at.toISOString() });
  return new Bun.CryptoHasher("sha256").update(prev_hash).update(text).digest();
}
