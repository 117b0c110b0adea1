import { t } from "../i18n/messages.ts";
import { AppError, LimitError, type LimitReason, UpstreamError, ValidateError } from "./app-error.ts";
import type { RenderOptions } from "./envelope.ts";

/** OpenAI's `type` by HTTP status. */
const types: Readonly<Record<number, string>> = {
  403: "permission_error",
  429: "rate_limit_error",
};

/** OpenAI's `code` by our message key, where its clients look for one. */
const codes: Readonly<Record<string, string>> = {
  "key.bad": "invalid_api_key",
  "model.not_found": "model_not_found",
  "upstream.model_not_found": "model_not_found",
  "upstream.rate_limited": "rate_limit_exceeded",
  "upstream.bad_request": "invalid_request",
};

/** What an error says to a caller of `/v1`, in whatever dialect. */
export interface PublicError {
  status: number;
  /** In English: these clients print it to developers, and it is what the wire speaks. */
  message: string;
  code: string | null;
  /** The member of the body that is wrong. */
  param: string | null;
  headers: Record<string, string>;
}

/** OpenAI has one code for all rates. */
const limitCodes: Readonly<Record<LimitReason, string>> = {
  requests: "rate_limit_exceeded",
  tokens: "rate_limit_exceeded",
  concurrency: "rate_limit_exceeded",
  budget_exceeded: "budget_exceeded",
  model_unpriced: "model_unpriced",
  currency_mismatch: "currency_mismatch",
  unavailable: "limits_unavailable",
};

const codeOf = (error: AppError): string | null => {
  if (error instanceof LimitError) return limitCodes[error.reason];
  return codes[error.key] ?? (error instanceof UpstreamError ? `upstream_${error.reason}` : null);
};

/** The public side of an error. One that nobody foresaw says no more than its request id. */
export function publicError(error: unknown, { requestId }: Pick<RenderOptions, "requestId">): PublicError {
  const headers: Record<string, string> = { "cache-control": "no-store" };
  if (!(error instanceof AppError)) {
    return {
      status: 500,
      message: t("en", "internal.failed", { requestId }),
      code: null,
      param: null,
      headers,
    };
  }
  const after = error.data.retry_after;
  if (typeof after === "number") headers["retry-after"] = String(after);
  // What will not be there in a moment is not worth another try, which OpenAI's clients make of a 429 by themselves.
  if (error instanceof LimitError && !error.retryable) headers["x-should-retry"] = "false";
  const { status } = error;
  if (error instanceof ValidateError) {
    const [[param, problems] = [null, []]] = Object.entries(error.problems);
    const said = problems.map(({ key, params }) => t("en", key, params)).join("; ");
    return { status, message: `${param} ${said}`, code: "invalid_request", param, headers };
  }
  const detail = error instanceof UpstreamError && error.detail ? `: ${error.detail}` : "";
  return {
    status,
    message: t("en", error.key, error.params) + detail,
    code: codeOf(error),
    param: null,
    headers,
  };
}

const bodyOf = (error: unknown, options: RenderOptions) => {
  const { status, message, code, param, headers } = publicError(error, options);
  const type = types[status] ?? (status >= 500 ? "server_error" : "invalid_request_error");
  return { status, headers, body: { error: { message, type, param, code } } };
};

/** An error as OpenAI's clients understand it, with its real HTTP status. */
export function openAiErrorResponse(error: unknown, options: RenderOptions): Response {
  const { status, headers, body } = bodyOf(error, options);
  return Response.json(body, { status, headers });
}

/** The same within a stream that has begun. */
export const openAiErrorEvent = (error: unknown, options: RenderOptions): string =>
  `data: ${JSON.stringify(bodyOf(error, options).body)}\n\n`;
