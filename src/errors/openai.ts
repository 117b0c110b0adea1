import { t } from "../i18n/messages.ts";
import { AppError } from "./app-error.ts";
import type { RenderOptions } from "./envelope.ts";

/** OpenAI's `type` by HTTP status. */
const types: Readonly<Record<number, string>> = {
  401: "invalid_request_error",
  403: "permission_error",
  404: "invalid_request_error",
  429: "rate_limit_error",
};

/** OpenAI's `code` by our message key, where its clients look for one. */
const codes: Readonly<Record<string, string>> = {
  "key.bad": "invalid_api_key",
  "model.not_found": "model_not_found",
};

/**
 * An error as OpenAI's clients understand it, with its real HTTP status. In English: these clients print it to
 * developers, and it is what the wire speaks. An unknown error says no more than its request id.
 */
export function openAiErrorResponse(error: unknown, { requestId }: RenderOptions): Response {
  const known = error instanceof AppError ? error : undefined;
  const status = known?.status ?? 500;
  const message = known ? t("en", known.key, known.params) : t("en", "internal.failed", { requestId });
  return Response.json(
    {
      error: {
        message,
        type: types[status] ?? (status >= 500 ? "server_error" : "invalid_request_error"),
        param: null,
        code: known ? (codes[known.key] ?? null) : null,
      },
    },
    { status, headers: { "cache-control": "no-store" } },
  );
}
