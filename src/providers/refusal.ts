import { UpstreamError, type UpstreamReason } from "../errors/app-error.ts";
import { isObject } from "./json.ts";

/** An answer that is no answer. */
export interface Refusal {
  status: number;
  headers: Headers;
  /** Text, of any kind. */
  body: string;
}

/** Longest text of a provider's that is kept, in characters. */
const wordsMax = 500;

/**
 * Seconds that an answer asks to wait, rounded up, at most a day: `Retry-After` (a number or an HTTP date), or
 * OpenAI's `retry-after-ms`, which is more exact. `undefined` without.
 */
export const retryAfterOf = (headers: Headers): number | undefined => {
  const exact = headers.get("retry-after-ms");
  const value = exact ? String(Number(exact) / 1000) : headers.get("retry-after");
  if (!value) return undefined;
  const seconds = Number.isNaN(Number(value)) ? (Date.parse(value) - Date.now()) / 1000 : Number(value);
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(Math.ceil(seconds), 0), 86_400);
};

/** What a body says of its error: providers put it in `error`, or at the top; `undefined` where it is no JSON. */
const errorOf = (body: string): Record<string, unknown> => {
  try {
    const parsed: unknown = JSON.parse(body);
    const error = isObject(parsed) ? (parsed.error ?? parsed) : parsed;
    return isObject(error) ? error : { message: typeof error === "string" ? error : body };
  } catch {
    return { message: body };
  }
};

/** Whether a text speaks of a model, and not of a path that has its name in it (`POST /v1/chat/completions`). */
function names(message: string, model: string): boolean {
  for (let at = message.indexOf(model); at !== -1; at = message.indexOf(model, at + 1)) {
    const before = message.slice(0, at);
    const after = message.slice(at + model.length);
    // Gemini says `models/…` of its models.
    if ((/(?:^|[^\w/.-])$/.test(before) || before.endsWith("models/")) && /^(?:$|[^\w/-])/.test(after))
      return true;
  }
  return false;
}

/**
 * Whether a refusal means that the model does not exist for this key. OpenAI and Qwen say so in the code (404, and
 * 403 where a project lacks it), Moonshot in the type with 404, Anthropic in the type with the name in the text, vLLM and
 * Ollama in the text with 404, DeepSeek in the text with 400 ("Model Not Exist"). Where no model was asked for none is missing.
 */
const isAboutModel = (status: number, error: Record<string, unknown>, model: string): boolean => {
  if (model === "") return false;
  const { code, type } = error;
  if (code === "model_not_found" || type === "resource_not_found_error" || code === "resource_not_found")
    return true;
  const message = String(error.message ?? "");
  if (status === 404) return !message.includes("<") && names(message, model);
  return status === 400 && /\bmodel (?:does )?not exist\b/i.test(message);
};

/** How providers say in a code or a type that the account has nothing left, whatever the status. */
const usedUp = new Set([
  // OpenAI, with 429 or 400 (developers.openai.com, "Error codes").
  "insufficient_quota",
  "credit_balance_exhausted",
  "billing_hard_limit_reached",
  "billing_not_active",
  // DashScope, with 400 (help.aliyun.com/en/model-studio/error-code).
  "Arrearage",
  // Moonshot, with 429; Volcano Engine, with 403; Zhipu, with 429; SiliconFlow, with 403.
  "exceeded_current_quota_error",
  "AccountOverdueError",
  "1113",
  "30001",
]);

/**
 * Whether a refusal means that the account is used up: nothing that its caller could mend, or that another try would. Anthropic
 * has only the text for it ("Your credit balance is too low to access the Anthropic API", 400, `invalid_request_error`). 402 is
 * DeepSeek's and OpenRouter's word for it.
 */
const isUsedUp = (status: number, { code, type, message }: Record<string, unknown>): boolean =>
  status === 402 ||
  usedUp.has(String(code)) ||
  usedUp.has(String(type)) ||
  (status === 400 && String(message).startsWith("Your credit balance is too low"));

const reasonOf = (status: number, error: Record<string, unknown>, model: string): UpstreamReason => {
  if (status >= 500 || status === 408) return "failed";
  if (isUsedUp(status, error)) return "no_credit";
  if (isAboutModel(status, error, model)) return "model_not_found";
  if (status === 401 || status === 403) return "unauthorized";
  if (status === 429) return "rate_limited";
  // A redirect is not followed; both mean that the base URL is not the right one.
  if (status === 404 || status < 400) return "not_found";
  return "bad_request";
};

/** A provider's words as they may be shown: without its key, which some repeat, and without control characters. */
const words = (text: unknown, apiKey: string | undefined): string => {
  const plain = typeof text === "string" ? text : (JSON.stringify(text) ?? "");
  const masked = apiKey ? plain.replaceAll(apiKey, "***") : plain;
  return masked.replace(/\p{C}/gu, " ").slice(0, wordsMax);
};

/**
 * What a refusal means. The provider's own words become the private `cause`; where the request itself is wrong, they are
 * its sender's to read as well.
 */
export function refusalError(
  { status, headers, body }: Refusal,
  { model, apiKey }: { model: string; apiKey: string | undefined },
): UpstreamError {
  const error = errorOf(body);
  const reason = reasonOf(status, error, model);
  const said = words(error.message ?? error, apiKey);
  const retryAfter = reason === "rate_limited" || reason === "failed" ? retryAfterOf(headers) : undefined;
  return new UpstreamError(reason, {
    ...(reason === "model_not_found" && { params: { asked: model, available: "-" } }),
    ...(reason === "bad_request" && {
      detail: said,
      status: status === 413 || status === 422 ? status : 400,
    }),
    ...(retryAfter !== undefined && { retryAfter }),
    cause: new Error(`${status} ${said}`),
  });
}
