/** What may be asked of the models: in a minute, and at once. */
export interface RateLimits {
  /** Calls in any 60 seconds. */
  requests: number;
  /** Tokens of prompts and answers in any 60 seconds. */
  tokens: number;
  /** Calls at the same time. */
  concurrency: number;
}

/** What holds for each key, app, account, user and model of which nobody has said anything: far above what one of them needs. */
export const defaultRateLimit: Readonly<RateLimits> = {
  requests: 600_000,
  tokens: 600_000_000,
  concurrency: 10_000,
};
