import type { MessageKey, MessageParams } from "../i18n/messages.ts";

/** Outcome of a management call, in the envelope's `code`. */
export type Code =
  | "SUCCESS"
  | "FAIL"
  | "VALIDATE_ERROR"
  | "NOT_FOUND"
  | "UNAUTHORIZED"
  | "FORBIDDEN"
  | "CONFLICT"
  | "RATE_LIMITED"
  | "BUDGET_EXCEEDED"
  | "UPSTREAM_ERROR";

/** One thing wrong with one field. */
export interface Problem {
  key: MessageKey;
  params?: MessageParams;
}

/** Field name, dotted for nested ones (`config.parameters.top_p`) -> what is wrong with it. */
export type Problems = Readonly<Record<string, readonly Problem[]>>;

/** Everything an error says in public, beside its code. */
interface Public {
  /** Filled into the message. */
  params?: MessageParams;
  /** For the envelope's `data`: what to do next. */
  data?: Readonly<Record<string, unknown>>;
  /** Private: only ever logged. */
  cause?: unknown;
}

/**
 * An outcome that is not success. `key` names the public message; whatever is private goes into `cause`, which
 * is logged and never answered. `status` is the HTTP status outside the envelope (inside it is always 200);
 * `retryable` says whether the same call may succeed later.
 */
export abstract class AppError extends Error {
  abstract readonly code: Exclude<Code, "SUCCESS">;
  abstract readonly status: number;
  readonly retryable: boolean = false;
  readonly key: MessageKey;
  readonly params: MessageParams;
  readonly data: Readonly<Record<string, unknown>>;

  constructor(key: MessageKey, { params = {}, data = {}, cause }: Public = {}) {
    super(key, { cause });
    this.key = key;
    this.params = params;
    this.data = data;
  }
}

/** No such thing, or not the caller's. */
export class NotFoundError extends AppError {
  readonly code = "NOT_FOUND";
  readonly status = 404;
}

/** Who is calling is not known: no login, a bad one, or one that has expired. */
export class UnauthorizedError extends AppError {
  readonly code = "UNAUTHORIZED";
  readonly status = 401;
}

/** The caller is known, but may not do this. */
export class ForbiddenError extends AppError {
  readonly code = "FORBIDDEN";
  readonly status = 403;
}

/** Somebody else has changed it, it exists already, or it would leave things in a state that must not be. */
export class ConflictError extends AppError {
  readonly code = "CONFLICT";
  readonly status = 409;
}

/** Too many calls; `retryAfter` is in seconds. */
export class RateLimitedError extends AppError {
  readonly code = "RATE_LIMITED";
  readonly status = 429;
  override readonly retryable = true;

  constructor(key: MessageKey, { retryAfter }: { retryAfter: number }) {
    super(key, { params: { seconds: retryAfter }, data: { retry_after: retryAfter } });
  }
}

/** Bad input. Says which fields are wrong and why, and never repeats what was sent. */
export class ValidateError extends AppError {
  readonly code = "VALIDATE_ERROR";
  readonly status = 400;
  readonly problems: Problems;

  constructor(problems: Problems, { cause }: { cause?: unknown } = {}) {
    super("validate.failed", { cause });
    this.problems = problems;
  }
}

/** A body beyond the limit of `/v1`. */
export class TooLargeError extends AppError {
  readonly code = "VALIDATE_ERROR";
  readonly status = 413;
}

/** The service itself could not do it: the database is away, or it is stopping. */
export class FailError extends AppError {
  readonly code = "FAIL";
  readonly status = 503;
  override readonly retryable = true;
}

/**
 * A limit that somebody has set does not let a call in. `reason` is told to callers of `/v1`; `refusal` is for the record.
 */
export class LimitError extends AppError {
  readonly code: "RATE_LIMITED" | "BUDGET_EXCEEDED" | "FAIL";
  readonly status: number;
  override readonly retryable: boolean;
  readonly reason: LimitReason;
  readonly refusal: object | undefined;

  /** `retryAfter` is in seconds; `never` where another try would meet the same. */
  constructor(
    reason: LimitReason,
    {
      params,
      data,
      retryAfter,
      never = false,
      refusal,
      cause,
    }: {
      params?: MessageParams;
      data?: Readonly<Record<string, unknown>>;
      retryAfter?: number;
      never?: boolean;
      refusal?: object;
      cause?: unknown;
    } = {},
  ) {
    const after = retryAfter === undefined ? {} : { retry_after: retryAfter };
    super(`limit.${reason}`, { ...(params && { params }), data: { reason, ...data, ...after }, cause });
    const { code, status, retryable } = limitReasons[reason];
    this.reason = reason;
    this.code = code;
    this.status = status;
    this.retryable = retryable && !never;
    this.refusal = refusal;
  }
}

/** Which limit it is that a call meets: one of rates or of calls at once, a budget, what a budget needs, or nobody knows. */
export type LimitReason =
  | "requests"
  | "tokens"
  | "concurrency"
  | "budget_exceeded"
  | "model_unpriced"
  | "currency_mismatch"
  | "unavailable";

const rateLimited = { code: "RATE_LIMITED", status: 429, retryable: true } as const;
const overBudget = { code: "BUDGET_EXCEEDED", status: 429, retryable: false } as const;
const limitReasons = {
  requests: rateLimited,
  tokens: rateLimited,
  concurrency: rateLimited,
  budget_exceeded: overBudget,
  model_unpriced: { ...overBudget, status: 400 },
  currency_mismatch: { ...overBudget, status: 400 },
  unavailable: { code: "FAIL", status: 503, retryable: true },
} as const;

/** What went wrong between this service and a model provider; each has a message of its own. */
export type UpstreamReason =
  | "no_key"
  | "unauthorized"
  | "no_credit"
  | "rate_limited"
  | "bad_request"
  | "failed"
  | "unreachable"
  | "model_not_found"
  | "not_found"
  | "malformed"
  | "cut"
  | "timeout_connect"
  | "timeout_first_byte"
  | "timeout_idle"
  | "timeout_total"
  | "blocked"
  | "unavailable"
  | "busy"
  | "draining";

const retryableReasons = new Set<UpstreamReason>([
  "rate_limited",
  "failed",
  "unreachable",
  "cut",
  "timeout_connect",
  "timeout_first_byte",
  "timeout_idle",
  "timeout_total",
  "unavailable",
  "busy",
  "draining",
]);

/** What `/v1` answers, where that is not 504 for a limit and 502 for the rest. */
const upstreamStatus: Partial<Record<UpstreamReason, number>> = {
  bad_request: 400,
  model_not_found: 404,
  rate_limited: 429,
  busy: 429,
  unavailable: 503,
  draining: 503,
};

/** A model provider could not be asked, or did not answer as it should. */
export class UpstreamError extends AppError {
  readonly code = "UPSTREAM_ERROR";
  readonly status: number;
  readonly reason: UpstreamReason;
  override readonly retryable: boolean;
  /** What the provider says is wrong with the request, for callers of `/v1`, who sent it; for `bad_request` only. */
  readonly detail: string | undefined;

  /** `retryAfter` is what the provider asked for, in seconds; `status` what callers of `/v1` are answered. */
  constructor(
    reason: UpstreamReason,
    {
      params,
      retryAfter,
      status,
      detail,
      cause,
    }: {
      params?: MessageParams;
      retryAfter?: number;
      status?: number;
      detail?: string;
      cause?: unknown;
    } = {},
  ) {
    const retryable = retryableReasons.has(reason);
    super(`upstream.${reason}`, {
      ...(params && { params }),
      data: { reason, retryable, ...(retryAfter === undefined ? {} : { retry_after: retryAfter }) },
      cause,
    });
    this.reason = reason;
    this.retryable = retryable;
    this.detail = detail;
    this.status = status ?? upstreamStatus[reason] ?? (reason.startsWith("timeout") ? 504 : 502);
  }
}
