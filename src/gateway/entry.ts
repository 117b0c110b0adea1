import { AppError, UpstreamError } from "../errors/app-error.ts";
import { timeOf, type Uuid } from "../id.ts";
import type {
  Api,
  AttemptRecord,
  CallContent,
  CallRecord,
  CallStatus,
  Recorder,
  Refusal,
} from "../metering/record.ts";
import { storableText } from "../metering/storable.ts";
import type { Allowance, WorstCase } from "./allowance.ts";
import { billOf, type Ending } from "./bill.ts";
import type { Target } from "./target.ts";
import { totalOf } from "./total.ts";

/** What is known of a call before it is made. */
export interface CallFacts {
  /** A UUIDv7; its time is when the call came in. */
  id: Uuid;
  api: Api;
  appId: Uuid;
  appVersion: number;
  keyId: Uuid | null;
  accountId: Uuid | null;
  endUser: string | null;
  session: string | null;
  /** As the caller named it. */
  model: string;
  stream: boolean;
  ipPrefix: string;
}

/** How an attempt, or the call with it, came to its end. */
export interface Outcome extends Ending {
  status: CallStatus;
  /** What the provider answered; `null` where it did not. */
  statusCode: number | null;
  /** What went wrong. */
  error?: unknown;
}

/** One attempt that is under way. */
export interface OpenAttempt {
  /**
   * Resolves once it is written down that the target is about to be asked. Rejects with a {@link FailError} where that cannot
   * be: then the call must not be made.
   */
  readonly written: Promise<void>;
  /** The first piece of the answer is here. */
  firstPiece(): void;
  /** Ends it; the call may go on with another. */
  end(outcome: Outcome): void;
}

/** How a call ended, as its caller saw it. */
export interface CallEnd {
  status: CallStatus;
  /** What the caller was answered; 499 for one who left. */
  statusCode: number;
  error?: unknown;
  /** The limit that did not let it in. */
  refusal?: Refusal | undefined;
  cacheHit?: boolean;
  /** Who answered, where there was no attempt: from the cache. */
  model?: string;
  provider?: string;
}

/** A call's place in the records, from its first attempt to its end. */
export interface Entry {
  /** Writes down that `target` is about to be asked; `worst` is what it is taken to have used should nothing more be heard. */
  attempt(target: Target, questionBytes: number, worst?: WorstCase): OpenAttempt;
  /** Writes down the end of the call; only the first time counts. Resolves once it is written; never rejects. */
  close(end: CallEnd, content?: CallContent): Promise<void>;
}

/** Short name of what went wrong, for the records; stable. */
export const errorCodeOf = (error: unknown): string | null => {
  if (error === undefined) return null;
  if (error instanceof UpstreamError) return error.reason;
  return error instanceof AppError ? error.key : "internal";
};

export interface EntryOptions {
  recorder: Recorder;
  facts: CallFacts;
  /** The call's content, as far as that is kept. */
  question: string | undefined;
  /** Tells the budgets that it counts towards, and is told what was written down in the end. */
  allowance: Pick<Allowance, "charges" | "settle">;
  /** In milliseconds. */
  now: () => number;
}

/** A class, as {@link OpenEntry.attempt}'s is, since they are made for every call: their methods are made once. */
class OpenEntry implements Entry {
  readonly #options: EntryOptions;
  /** When the call came in. */
  readonly createdAt: Date;
  readonly #createdText: string;
  readonly #attempts: AttemptRecord[] = [];
  readonly startedAt: number;
  /** Until the first piece of an answer, in milliseconds. */
  ttftMs: number | null = null;
  #usedModel: string | null = null;
  #closed = false;

  constructor(options: EntryOptions) {
    this.#options = options;
    this.startedAt = options.now();
    this.createdAt = new Date(timeOf(options.facts.id));
    this.#createdText = this.createdAt.toISOString();
  }

  #record(end: CallEnd, tried: readonly AttemptRecord[], at: number): CallRecord {
    const { facts } = this.#options;
    const last = tried.at(-1);
    const total = totalOf(tried);
    const record: CallRecord = {
      id: facts.id,
      created_at: this.#createdText,
      app_id: facts.appId,
      app_version: facts.appVersion,
      key_id: facts.keyId,
      account_id: facts.accountId,
      end_user: facts.endUser,
      session: facts.session,
      api: facts.api,
      model: facts.model,
      model_used: this.#usedModel ?? end.model ?? null,
      provider: last?.provider ?? end.provider ?? null,
      status: end.status,
      status_code: end.statusCode,
      error_code: errorCodeOf(end.error),
      finish_reason: last?.finish_reason ?? null,
      stream: facts.stream,
      cache_hit: end.cacheHit ?? false,
      ttft_ms: this.ttftMs,
      duration_ms: Math.round(at - this.startedAt),
      prompt_tokens: total.prompt_tokens,
      cached_tokens: total.cached_tokens,
      cache_write_tokens: total.cache_write_tokens,
      completion_tokens: total.completion_tokens,
      reasoning_tokens: total.reasoning_tokens,
      usage_source: total.usage_source,
      cost: total.cost,
      currency: total.currency,
      ip_prefix: facts.ipPrefix,
      attempts: tried,
    };
    if (end.refusal) record.refusal = end.refusal;
    return record;
  }

  attempt(target: Target, questionBytes: number, worst?: WorstCase): OpenAttempt {
    const { recorder, question, allowance, now } = this.#options;
    const begunAt = now();
    this.#usedModel = target.name;
    const attempt = new EntryAttempt(this, target, questionBytes, begunAt);
    const standing = [...this.#attempts, attempt.standing(worst)];
    const first = this.#attempts.length === 0;
    attempt.written = recorder.open(
      this.#record({ status: "interrupted", statusCode: 500 }, standing, begunAt),
      {
        question: first ? question : undefined,
        charges: allowance.charges,
      },
    );
    return attempt;
  }

  /** Keeps what an attempt came to. */
  add(attempt: AttemptRecord): void {
    this.#attempts.push(attempt);
  }

  now(): number {
    return this.#options.now();
  }

  close(end: CallEnd, content?: CallContent): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#closed = true;
    const { recorder, question, allowance } = this.#options;
    const final = this.#record(end, this.#attempts, this.now());
    const unasked = this.#attempts.length === 0;
    const written = recorder.close(final, {
      // Without an attempt the question is in no journal yet; of a refused call it is not kept.
      question: content?.question ?? (unasked && !end.refusal ? question : undefined),
      answer: content?.answer,
      truncated: content?.truncated,
      charges: unasked ? undefined : allowance.charges,
    });
    allowance.settle(final);
    return written;
  }
}

class EntryAttempt implements OpenAttempt {
  written!: Promise<void>;
  readonly #entry: OpenEntry;
  readonly #target: Target;
  readonly #questionBytes: number;
  /** In milliseconds, as its entry counts them. */
  readonly #begunAt: number;
  #pieceMs: number | null = null;

  constructor(entry: OpenEntry, target: Target, questionBytes: number, begunAt: number) {
    this.#entry = entry;
    this.#target = target;
    this.#questionBytes = questionBytes;
    this.#begunAt = begunAt;
  }

  #record(outcome: Outcome, endedAt: number): AttemptRecord {
    const { status, statusCode, error, state } = outcome;
    const target = this.#target;
    const begunAt = this.#begunAt;
    const bill = billOf(target, outcome, this.#questionBytes, this.#entry.createdAt);
    const record: AttemptRecord = {
      provider: target.provider.name,
      model: target.upstreamName,
      started_ms: Math.round(begunAt - this.#entry.startedAt),
      status,
      status_code: statusCode,
      error_code: errorCodeOf(error),
      finish_reason: state?.finishReason ? storableText(state.finishReason, 64) : null,
      ttft_ms: this.#pieceMs,
      duration_ms: Math.round(endedAt - begunAt),
      prompt_tokens: bill.prompt_tokens,
      cached_tokens: bill.cached_tokens,
      cache_write_tokens: bill.cache_write_tokens,
      completion_tokens: bill.completion_tokens,
      reasoning_tokens: bill.reasoning_tokens,
      usage_source: bill.usage_source,
      cost: bill.cost,
      currency: bill.currency,
    };
    const long = bill.cache_write_long_tokens;
    if (long) record.cache_write_long_tokens = long;
    return record;
  }

  /** What stands on record if nothing more is heard of it. */
  standing(worst: WorstCase | undefined): AttemptRecord {
    const outcome: Outcome = {
      status: "interrupted",
      statusCode: null,
      began: true,
      complete: false,
      state: undefined,
      worst,
    };
    return this.#record(outcome, this.#begunAt);
  }

  firstPiece(): void {
    const at = this.#entry.now();
    this.#pieceMs ??= Math.round(at - this.#begunAt);
    this.#entry.ttftMs ??= Math.round(at - this.#entry.startedAt);
  }

  end(outcome: Outcome): void {
    this.#entry.add(this.#record(outcome, this.#entry.now()));
  }
}

/** Opens the entry of a call. */
export const openEntry = (options: EntryOptions): Entry => new OpenEntry(options);
