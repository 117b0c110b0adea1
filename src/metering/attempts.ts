import type { AttemptRecord, CallRecord } from "./record.ts";

/** What an attempt is taken to say as its call does, unless it says something else. */
const shared = [
  "provider",
  "status",
  "status_code",
  "error_code",
  "finish_reason",
  "ttft_ms",
  "duration_ms",
  "prompt_tokens",
  "cached_tokens",
  "cache_write_tokens",
  "completion_tokens",
  "reasoning_tokens",
  "usage_source",
] as const;

/** What of a call its attempts say too. */
type Common = Pick<CallRecord, (typeof shared)[number] | "model_used" | "cost" | "currency">;

/** An attempt as the table keeps it: most calls have one, which says little that the call does not say. */
export type StoredAttempt = Partial<AttemptRecord>;

const member = (name: keyof AttemptRecord, value: unknown): string => `,"${name}":${JSON.stringify(value)}`;

function storedJson(attempt: AttemptRecord, call: Common): string {
  let members = "";
  if (attempt.model !== call.model_used) members += member("model", attempt.model);
  if (attempt.started_ms !== 0) members += member("started_ms", attempt.started_ms);
  for (const name of shared) if (attempt[name] !== call[name]) members += member(name, attempt[name]);
  // Neither says anything without the other.
  if (attempt.cost !== call.cost || attempt.currency !== call.currency)
    members += member("cost", attempt.cost) + member("currency", attempt.currency);
  const long = attempt.cache_write_long_tokens;
  if (long !== undefined) members += member("cache_write_long_tokens", long);
  return `{${members.slice(1)}}`;
}

/** The attempts of a call as a JSON text for the table. */
export function attemptsJson(call: Common, attempts: readonly AttemptRecord[]): string {
  let all = "";
  for (const attempt of attempts) all += `${all && ","}${storedJson(attempt, call)}`;
  return `[${all}]`;
}

/** The same, read. */
export const storedAttempts = (call: Common, attempts: readonly AttemptRecord[]): StoredAttempt[] =>
  JSON.parse(attemptsJson(call, attempts));

/** What {@link attemptsJson} has written, whole again. */
export const wholeAttempts = (call: Common, stored: readonly StoredAttempt[]): AttemptRecord[] =>
  stored.map((attempt) => ({
    provider: call.provider ?? "",
    model: call.model_used ?? "",
    started_ms: 0,
    status: call.status,
    status_code: call.status_code,
    error_code: call.error_code,
    finish_reason: call.finish_reason,
    ttft_ms: call.ttft_ms,
    duration_ms: call.duration_ms,
    prompt_tokens: call.prompt_tokens,
    cached_tokens: call.cached_tokens,
    cache_write_tokens: call.cache_write_tokens,
    completion_tokens: call.completion_tokens,
    reasoning_tokens: call.reasoning_tokens,
    usage_source: call.usage_source,
    cost: call.cost,
    currency: call.currency,
    ...attempt,
  }));
