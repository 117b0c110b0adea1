import type { MessageKey } from "../i18n/messages.ts";
import { AppError, type Code } from "./app-error.ts";

/** Why a login with the OpenID provider came to nothing: its code, and the HTTP status of the page that says so. */
const outcomes = {
  state: { code: "UNAUTHORIZED", status: 400 },
  refused: { code: "UNAUTHORIZED", status: 400 },
  answer_invalid: { code: "UNAUTHORIZED", status: 400 },
  email_missing: { code: "FORBIDDEN", status: 403 },
  email_unverified: { code: "FORBIDDEN", status: 403 },
  domain_not_allowed: { code: "FORBIDDEN", status: 403 },
  account_disabled: { code: "FORBIDDEN", status: 403 },
  account_linked: { code: "FORBIDDEN", status: 403 },
  unreachable: { code: "UPSTREAM_ERROR", status: 502 },
} as const satisfies Record<string, { code: Exclude<Code, "SUCCESS">; status: number }>;

/** What went wrong in a login with the OpenID provider; each has a message of its own. */
export type OidcReason = keyof typeof outcomes;

/** Error codes of RFC 6749 (4.1.2.1, 5.2) and OpenID Connect Core (3.1.2.6): these alone are repeated to anybody. */
const publicErrors = new Set([
  "invalid_request",
  "unauthorized_client",
  "access_denied",
  "unsupported_response_type",
  "invalid_scope",
  "server_error",
  "temporarily_unavailable",
  "invalid_client",
  "invalid_grant",
  "unsupported_grant_type",
  "interaction_required",
  "login_required",
  "account_selection_required",
  "consent_required",
  "invalid_request_uri",
  "invalid_request_object",
  "request_not_supported",
  "request_uri_not_supported",
  "registration_not_supported",
]);

/** A login with the OpenID provider that failed. What the provider said beyond a standard error code stays private. */
export class OidcError extends AppError {
  readonly code: Exclude<Code, "SUCCESS">;
  readonly status: number;
  readonly reason: OidcReason;
  override readonly retryable: boolean;

  /** `error` is the provider's error code, for the reason `refused`. */
  constructor(reason: OidcReason, { error, cause }: { error?: string | undefined; cause?: unknown } = {}) {
    const named = error !== undefined && publicErrors.has(error);
    const key: MessageKey = reason === "refused" && named ? "oidc.refused_with" : `oidc.${reason}`;
    super(key, { params: named ? { error } : {}, data: { reason }, cause });
    this.reason = reason;
    this.code = outcomes[reason].code;
    this.status = outcomes[reason].status;
    this.retryable = reason === "unreachable";
  }
}
