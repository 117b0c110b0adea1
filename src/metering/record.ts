import type { Uuid } from "../id.ts";

/** Which route a call came in by. */
export type Api = "chat" | "messages" | "count_tokens" | "embeddings" | "completion";

/**
 * How a call ended: answered whole; failed; given up by its caller; or cut short by the end of this process, of which
 * nothing more is known.
 */
export type CallStatus = "ok" | "error" | "cancelled" | "interrupted";

/** Tokens by kind, as they stand in the tables. `null` costs are unpriced, which is not the same as free. */
export interface Metered {
  /** All input, the cached and the cache-written part included. */
  prompt_tokens: number;
  cached_tokens: number;
  cache_write_tokens: number;
  /** All output, the reasoning part included. */
  completion_tokens: number;
  reasoning_tokens: number;
  /** Who counted: the provider; we, by estimate; or nobody, because nothing was consumed. */
  usage_source: "provider" | "estimate" | "none";
  /** Exact decimal in `currency`; `null` where there is no price. */
  cost: string | null;
  /** ISO 4217. */
  currency: string | null;
}

/** The bill of one try. */
export interface AttemptBill extends Metered {
  /** The part of `cache_write_tokens` that is kept for longer than usual; left out where there is none. */
  cache_write_long_tokens?: number;
}

/** One try at one target. */
export interface AttemptRecord extends AttemptBill {
  provider: string;
  /** The provider's own name of the model. */
  model: string;
  /** Milliseconds since the call came in. */
  started_ms: number;
  status: CallStatus;
  /** What the provider answered; `null` where it did not. */
  status_code: number | null;
  /** Reason in our own words, such as `timeout_idle`; `null` where it went well. */
  error_code: string | null;
  finish_reason: string | null;
  /** Milliseconds from the attempt's start to the first piece of its answer. */
  ttft_ms: number | null;
  duration_ms: number;
}

/**
 * A call as the table `request` keeps it: the fields are its columns. Token counts and cost are the sums over all
 * attempts; `cost` and `currency` are of the last attempt's currency, and what another attempt cost in another currency
 * stands in `attempts` alone.
 */
export interface CallRecord extends Metered {
  /** A UUIDv7, whose time is `created_at`'s. */
  id: Uuid;
  /** ISO 8601, when the call came in. */
  created_at: string;
  /** The nil UUID for `completion`, which has no app. */
  app_id: Uuid;
  app_version: number;
  key_id: Uuid | null;
  /** Who owns the app; for `completion` who asked. */
  account_id: Uuid | null;
  /** The caller's own name of its user, from `user` in the body. */
  end_user: string | null;
  session: string | null;
  api: Api;
  /** The model as the caller named it. */
  model: string;
  /** The registered model that answered, or was tried last. */
  model_used: string | null;
  provider: string | null;
  status: CallStatus;
  /** What the caller was answered; 499 for one who left. */
  status_code: number;
  error_code: string | null;
  finish_reason: string | null;
  stream: boolean;
  cache_hit: boolean;
  ttft_ms: number | null;
  duration_ms: number;
  /** Network of the caller, such as `192.0.2.0/24`. */
  ip_prefix: string;
  attempts: readonly AttemptRecord[];
  /** The limit that refused it; absent where none did. */
  refusal?: Refusal;
}

/** A budget that a call counts towards, in the period in which it was let in. Amounts are exact decimals in `currency`. */
export interface Charge {
  budget_id: Uuid;
  /** Empty where the budget is the same for all users. */
  end_user: string;
  starts_at: string;
  currency: string;
  /** What was reserved: it can cost no more, or has broken its bounds. `null` where nothing was. */
  bound: string | null;
  /** What one unit of other currencies is worth in `currency`, where they were needed. */
  rates?: Readonly<Record<string, string>>;
}

/** The budgets that a call counts towards, and the same as a JSON text: it is written down more than once. */
export interface Charges {
  readonly list: readonly Charge[];
  readonly json: string;
}

export const toCharges = (list: readonly Charge[]): Charges => ({ list, json: JSON.stringify(list) });

/** Why a call was refused, as things stood at that moment; amounts are whole numbers or exact decimals. */
export interface Refusal {
  limit: "requests" | "tokens" | "concurrency" | "budget";
  scope: "key" | "app" | "account" | "user" | "model";
  /** Whose limit it is: an id, or a name. */
  subject: string;
  budget_id?: Uuid;
  budget?: string;
  currency?: string;
  /** Length of the window; absent for what has none. */
  window_seconds?: number;
  bound: string;
  used: string;
  /** By all processes, for calls under way and to come. */
  held: string;
  asked: string;
  /** What would have been let in. */
  allowed: string;
  /** When there is room again, as far as that is known. */
  resets_at: string | null;
}

/** What was asked and answered, each a JSON text without line ends. */
export interface CallContent {
  question?: string | undefined;
  answer?: string | undefined;
  truncated?: boolean | undefined;
}

/** What goes with a record. */
export interface Enclosed {
  /** Given with the first attempt only. */
  question?: string | undefined;
  /** The budgets that it counts towards, as they are now. */
  charges?: Charges | undefined;
}

/**
 * Keeps calls: never lost, never double. `open` and `close` resolve when the line is in the journal, that is, when it
 * survives the end of this process.
 */
export interface Recorder {
  /**
   * Before each attempt. `standing` is what shall stand on record if nothing more is heard of the call: its status is
   * `interrupted`.
   * @throws {FailError} the journal cannot be written: the call must not be made.
   */
  open(standing: CallRecord, enclosed?: Enclosed): Promise<void>;
  /** Once per call, before the caller sees the end of its answer. Never rejects: what cannot be written is logged. */
  close(record: CallRecord, enclosed?: CallContent & Pick<Enclosed, "charges">): Promise<void>;
}
