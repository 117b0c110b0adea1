import { AppError, UpstreamError } from "../errors/app-error.ts";
import { timeOf, type Uuid } from "../id.ts";
import type {
  Api,
  AttemptRecord,
  CallContent,
  CallRecord,
  CallStatus,
  Charges,
  Recorder,
  Refusal,
} from "../metering/record.ts";
import { storableText } from "../metering/storable.ts";
import type { WorstCase } from "./allowance.ts";
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
export interface Outcome extends Omit<Ending, "questionBytes"> {
  status: CallStatus;
  /** What the provider answered; `null` where it did not. */
  statusCode: number | null;
  /** What went wrong. */
  error?: unknown;
}

/** One attempt that is under way. */
export interface OpenAttempt {
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
  /**
   * Writes down that `target` is about to be asked; `worst` is what it is taken to have used should nothing more be heard.
   * @throws {FailError} it cannot be written down: the call must not be made.
   */
  attempt(target: Target, questionBytes: number, worst?: WorstCase): Promise<OpenAttempt>;
  /** Writes down the end of the call; only the first time counts. Resolves once it is written; never rejects. */
  close(end: CallEnd, content?: CallContent): Promise<void>;
}

/** Short name of what went wrong, for the records; stable. */
export const errorCodeOf = (error: unknown): string | null => {
  if (error === undefined) return null;
  if (error instanceof UpstreamError) return error.reason;
  return error instanceof AppError ? error.key : "internal";
};

/**
 * Opens the entry of a call. `question` is its content, as far as that is kept; `charges` are the budgets that it counts
 * towards; `now` is in milliseconds. `closed` is told what was written down in the end.
 */
export function openEntry({
  recorder,
  facts,
  question,
  charges,
  closed: tell,
  now,
}: {
  recorder: Recorder;
  facts: CallFacts;
  question: string | undefined;
  charges: () => Charges | undefined;
  closed: (record: CallRecord) => void;
  now: () => number;
}): Entry {
  const startedAt = now();
  const createdAt = new Date(timeOf(facts.id));
  const createdText = createdAt.toISOString();
  const attempts: AttemptRecord[] = [];
  let ttftMs: number | null = null;
  let usedModel: string | null = null;
  let closed = false;

  const record = (end: CallEnd, tried: readonly AttemptRecord[], at: number): CallRecord => {
    const last = tried.at(-1);
    const total = totalOf(tried);
    return {
      id: facts.id,
      created_at: createdText,
      app_id: facts.appId,
      app_version: facts.appVersion,
      key_id: facts.keyId,
      account_id: facts.accountId,
      end_user: facts.endUser,
      session: facts.session,
      api: facts.api,
      model: facts.model,
      model_used: usedModel ?? end.model ?? null,
      provider: last?.provider ?? end.provider ?? null,
      status: end.status,
      status_code: end.statusCode,
      error_code: errorCodeOf(end.error),
      finish_reason: last?.finish_reason ?? null,
      stream: facts.stream,
      cache_hit: end.cacheHit ?? false,
      ttft_ms: ttftMs,
      duration_ms: Math.round(at - startedAt),
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
      ...(end.refusal && { refusal: end.refusal }),
    };
  };

  return {
    async attempt(target, questionBytes, worst) {
      const begunAt = now();
      let pieceMs: number | null = null;
      usedModel = target.name;
      const of = (outcome: Outcome, endedAt: number): AttemptRecord => {
        const { status, statusCode, error, began, complete, state, worst } = outcome;
        const bill = billOf(target, { began, complete, state, questionBytes, worst }, createdAt);
        return {
          provider: target.provider.name,
          model: target.upstreamName,
          started_ms: Math.round(begunAt - startedAt),
          status,
          status_code: statusCode,
          error_code: errorCodeOf(error),
          finish_reason: state?.finishReason ? storableText(state.finishReason, 64) : null,
          ttft_ms: pieceMs,
          duration_ms: Math.round(endedAt - begunAt),
          prompt_tokens: bill.prompt_tokens,
          cached_tokens: bill.cached_tokens,
          cache_write_tokens: bill.cache_write_tokens,
          completion_tokens: bill.completion_tokens,
          reasoning_tokens: bill.reasoning_tokens,
          usage_source: bill.usage_source,
          cost: bill.cost,
          currency: bill.currency,
          ...(bill.cache_write_long_tokens && { cache_write_long_tokens: bill.cache_write_long_tokens }),
        };
      };
      const standing = of(
        { status: "interrupted", statusCode: null, began: true, complete: false, state: undefined, worst },
        begunAt,
      );
      await recorder.open(
        record({ status: "interrupted", statusCode: 500 }, [...attempts, standing], begunAt),
        {
          question: attempts.length === 0 ? question : undefined,
          charges: charges(),
        },
      );
      return {
        firstPiece() {
          const at = now();
          pieceMs ??= Math.round(at - begunAt);
          ttftMs ??= Math.round(at - startedAt);
        },
        end: (outcome) => {
          attempts.push(of(outcome, now()));
        },
      };
    },
    close(end, content) {
      if (closed) return Promise.resolve();
      closed = true;
      const final = record(end, attempts, now());
      const unasked = attempts.length === 0;
      const written = recorder.close(final, {
        // Without an attempt the question is in no journal yet; of a refused call it is not kept.
        question: content?.question ?? (unasked && !end.refusal ? question : undefined),
        answer: content?.answer,
        truncated: content?.truncated,
        charges: unasked ? undefined : charges(),
      });
      tell(final);
      return written;
    },
  };
}
