import type { RenderOptions } from "./envelope.ts";
import { publicError } from "./openai.ts";

/** Anthropic's `type` by HTTP status (docs.anthropic.com, "Errors"). */
const types: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  422: "invalid_request_error",
  429: "rate_limit_error",
  503: "overloaded_error",
  504: "timeout_error",
};

const bodyOf = (error: unknown, options: RenderOptions) => {
  const { status, message } = publicError(error, options);
  return {
    status,
    body: {
      type: "error",
      error: { type: types[status] ?? "api_error", message },
      request_id: options.requestId,
    },
  };
};

/** An error as Anthropic's clients understand it, with its real HTTP status; in English, like OpenAI's. */
export function anthropicErrorResponse(error: unknown, options: RenderOptions): Response {
  const { status, body } = bodyOf(error, options);
  return Response.json(body, { status, headers: publicError(error, options).headers });
}

/** The same within a stream that has begun. */
export const anthropicErrorEvent = (error: unknown, options: RenderOptions): string =>
  `event: error\ndata: ${JSON.stringify(bodyOf(error, options).body)}\n\n`;
