import { APIError } from "openai";
import { UpstreamError, type UpstreamReason } from "../errors/app-error.ts";
import { describe } from "./openai-answer.ts";

/**
 * Seconds that an answer asks to wait, rounded up, at most a day: `Retry-After` (a number or an HTTP date), or
 * OpenAI's `retry-after-ms`, which the SDK prefers. `undefined` without.
 */
export const retryAfterOf = (headers: Headers): number | undefined => {
  const exact = headers.get("retry-after-ms");
  const value = exact ? String(Number(exact) / 1000) : headers.get("retry-after");
  if (!value) return undefined;
  const seconds = Number.isNaN(Number(value)) ? (Date.parse(value) - Date.now()) / 1000 : Number(value);
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(Math.ceil(seconds), 0), 86_400);
};

/**
 * Whether a refusal means that the model does not exist for this key. OpenAI and Qwen say so in the code (404, and
 * 403 where a project lacks it), Moonshot in the type with 404, vLLM and Ollama in the text with 404, DeepSeek in
 * the text with 400 ("Model Not Exist").
 */
const isAboutModel = ({ status, code, type, message }: APIError, model: string): boolean => {
  if (code === "model_not_found" || type === "resource_not_found_error" || code === "resource_not_found")
    return true;
  if (status === 404) return message.includes(model) && !message.includes("<");
  return status === 400 && /\bmodel (?:does )?not exist\b/i.test(message);
};

const reasonOf = (error: APIError, model: string | undefined): UpstreamReason => {
  const { status } = error;
  // The SDK gives no status to what it found inside a 200 stream.
  if (status === undefined || status >= 500 || status === 408) return "failed";
  if (model !== undefined && isAboutModel(error, model)) return "model_not_found";
  if (status === 401 || status === 403) return "unauthorized";
  // 402 is DeepSeek's and OpenRouter's word for a used-up balance.
  if (status === 429 || status === 402) return "rate_limited";
  // A redirect is not followed; both mean that the base URL is not the right one.
  if (status === 404 || status < 400) return "not_found";
  return "bad_request";
};

/** Anything on the chain of causes that already knows its reason: the limits and the reading of answers do. */
const knownReason = (error: unknown): UpstreamError | undefined => {
  for (let each = error, depth = 0; each instanceof Error && depth < 5; each = each.cause, depth++) {
    if (each instanceof UpstreamError) return each;
  }
  return undefined;
};

/**
 * What the SDK threw, as an error of this house. The provider's own words become the private `cause`, cut to 500
 * characters and without `apiKey`, which some providers repeat.
 */
export const toUpstreamError = (
  error: unknown,
  { model, apiKey }: { model?: string; apiKey: string },
): UpstreamError => {
  const known = knownReason(error);
  if (known) return known;
  if (error instanceof SyntaxError) return new UpstreamError("malformed", { cause: error });
  // Without headers it is no answer: the SDK could not connect.
  if (!(error instanceof APIError) || error.headers === undefined) {
    return new UpstreamError("unreachable", { cause: error });
  }
  const reason = reasonOf(error, model);
  const mayPass = reason === "rate_limited" || reason === "failed";
  const retryAfter = mayPass ? retryAfterOf(error.headers) : undefined;
  return new UpstreamError(reason, {
    ...(reason === "model_not_found" && { params: { asked: model ?? "-", available: "-" } }),
    ...(retryAfter !== undefined && { retryAfter }),
    cause: new Error(describe(error).replaceAll(apiKey, "***")),
  });
};
