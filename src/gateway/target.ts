import type { ThinkingMode } from "../providers/parameter-rules.ts";
import type { Timeouts } from "../providers/transport.ts";

/** How an upstream speaks. */
export type UpstreamDialect = "openai" | "anthropic" | "echo";

/** A provider, ready to be asked. */
export interface TargetProvider {
  name: string;
  dialect: UpstreamDialect;
  /** Without a slash at its end; empty for `echo`. */
  baseUrl: string;
  apiKey: string | undefined;
  /** Sent with every call, beside what the dialect needs. */
  headers: Readonly<Record<string, string>>;
  timeouts: Timeouts;
  /** Most calls at once from this process; `undefined` for no limit. */
  concurrencyMax: number | undefined;
  /** May stand in a private network: its address is not guarded. */
  local: boolean;
  /** An HTTP proxy of the environment does the connecting. */
  proxied: boolean;
  /** Can be asked without a key, as a service of one's own can. */
  keyless: boolean;
}

/** Prices per million tokens, exact decimals as text; see the table `price`. */
export interface Price {
  validFrom: Date;
  /** The price holds for calls with more prompt tokens than this. */
  abovePromptTokens: number;
  /** ISO 4217. */
  currency: string;
  prompt: string;
  cached: string | undefined;
  cacheWrite: string | undefined;
  /** For what is kept for longer than usual. */
  cacheWriteLong: string | undefined;
  completion: string;
  reasoning: string | undefined;
  source: string;
}

/** What a model does not take, on top of what is known of it by its name, or in spite of that; see {@link parametersFor}. */
export interface ParameterRules {
  drop?: readonly string[];
  rename?: Readonly<Record<string, string>>;
  /** Sent though its name says that it does not take them. */
  keep?: readonly string[];
  /** How it is asked to think in Anthropic's dialect. */
  thinking?: ThinkingMode;
}

/** One model at one provider. */
export interface Target {
  /** The registered name; identifies the target. */
  name: string;
  provider: TargetProvider;
  /** The provider's own name of the model. */
  upstreamName: string;
  rules: ParameterRules;
  /** All versions. */
  prices: readonly Price[];
  outputTokensMax: number | undefined;
  imageTokensMax: number | undefined;
}

/** Where a call may go: in order, or by weight. */
export interface Route {
  routing: "ordered" | "weighted";
  targets: readonly { target: Target; weight: number }[];
}
