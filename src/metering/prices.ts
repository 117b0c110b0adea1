import type { Price } from "../gateway/target.ts";
import { sum } from "./money.ts";

/** A price that ships with the program. */
export interface ShippedPrice {
  /** Hosts of the base URLs where it holds. */
  hosts: readonly string[];
  /** The provider's own name of the model. */
  model: string;
  /** Its `source` says where the figures stand, and when they were looked at. */
  price: Price;
}

/** Amounts of a million tokens: prompt, cached, completion, and what is written to the cache where that has a price. */
type Amounts = readonly [prompt: string, cached: string | undefined, completion: string, cacheWrite?: string];

/** A provider's price list. */
interface List {
  hosts: readonly string[];
  currency: string;
  source: string;
  /** What is written to the cache for an hour costs so many times what a prompt token costs. */
  longWriteFactor?: number;
  /** From when each version holds, the prompt tokens that it is above, and the amounts. */
  models: Readonly<Record<string, readonly (readonly [from: string, above: number, amounts: Amounts])[]>>;
}

/** Prices that have held for as long as this program may have kept records. */
const always = "2025-01-01T00:00:00Z";
/** Beyond so many prompt tokens OpenAI's newer models cost twice as much to read, and half as much again to write. */
const longPrompt = 272_000;

/**
 * The lists. What is not here is unpriced: models whose price depends on the hour (DeepSeek's, since 2026), prices that no
 * public page told, and everything that runs on one's own machines. Qwen's cached tokens, which are cheaper, have the price of
 * the prompt.
 */
const lists: readonly List[] = [
  {
    hosts: ["api.moonshot.cn"],
    currency: "CNY",
    source: "https://platform.kimi.com/docs/pricing/chat, 2026-11-24",
    models: {
      "kimi-k3": [["2026-07-16T00:00:00Z", 0, ["20", "2", "100"]]],
      "kimi-k2.6": [[always, 0, ["6.5", "1.1", "27"]]],
      "kimi-k2.5": [[always, 0, ["4", "0.7", "21"]]],
      "kimi-k2-turbo-preview": [[always, 0, ["8", "1", "58"]]],
      "kimi-k2-0905-preview": [[always, 0, ["4", "1", "16"]]],
    },
  },
  {
    hosts: ["api.moonshot.ai"],
    currency: "USD",
    source: "https://platform.kimi.ai/docs/pricing/chat, 2026-11-24",
    models: {
      "kimi-k3": [["2026-07-16T00:00:00Z", 0, ["3", "0.3", "15"]]],
      "kimi-k2.6": [[always, 0, ["0.95", "0.16", "4"]]],
      "kimi-k2.5": [[always, 0, ["0.6", "0.1", "3"]]],
    },
  },
  {
    hosts: ["api.openai.com"],
    currency: "USD",
    source: "https://developers.openai.com/api/docs/pricing, 2026-11-24",
    models: {
      "gpt-6-sol": [
        ["2026-09-22T00:00:00Z", 0, ["2", "0.2", "10", "2.5"]],
        ["2026-09-22T00:00:00Z", longPrompt, ["4", "0.4", "15", "5"]],
      ],
      "gpt-6-luna": [
        ["2026-09-22T00:00:00Z", 0, ["0.1", "0.01", "0.5", "0.125"]],
        ["2026-09-22T00:00:00Z", longPrompt, ["0.2", "0.02", "0.75", "0.25"]],
      ],
      "gpt-6-astra": [
        ["2026-09-03T00:00:00Z", 0, ["10", "1", "50", "12.5"]],
        ["2026-09-03T00:00:00Z", longPrompt, ["20", "2", "75", "25"]],
      ],
      "gpt-5.6-terra": [
        [always, 0, ["2.5", "0.25", "15"]],
        [always, longPrompt, ["5", "0.5", "22.5"]],
        ["2026-07-30T00:00:00Z", 0, ["2", "0.2", "12"]],
        ["2026-07-30T00:00:00Z", longPrompt, ["4", "0.4", "18"]],
      ],
      "gpt-5.6-luna": [
        [always, 0, ["1", "0.1", "6"]],
        [always, longPrompt, ["2", "0.2", "9"]],
        ["2026-07-30T00:00:00Z", 0, ["0.2", "0.02", "1.2"]],
        ["2026-07-30T00:00:00Z", longPrompt, ["0.4", "0.04", "1.8"]],
      ],
      "gpt-5.4-mini": [[always, 0, ["0.75", "0.075", "4.5"]]],
      "gpt-5-mini": [[always, 0, ["0.25", "0.025", "2"]]],
      "gpt-4.1": [[always, 0, ["2", "0.5", "8"]]],
      "gpt-4o": [[always, 0, ["2.5", "1.25", "10"]]],
      "gpt-4o-mini": [[always, 0, ["0.15", "0.075", "0.6"]]],
    },
  },
  {
    hosts: ["api.anthropic.com"],
    currency: "USD",
    longWriteFactor: 2,
    source: "https://platform.claude.com/docs/en/about-claude/pricing, 2026-11-24",
    models: {
      "claude-fable-5-1": [[always, 0, ["10", "0.25", "50", "12.5"]]],
      "claude-opus-5-5": [["2026-09-22T00:00:00Z", 0, ["4", "0.2", "20", "5"]]],
      "claude-opus-5": [[always, 0, ["5", "0.5", "25", "6.25"]]],
      "claude-opus-4-8": [[always, 0, ["5", "0.5", "25", "6.25"]]],
      "claude-opus-4-7": [[always, 0, ["5", "0.5", "25", "6.25"]]],
      "claude-opus-4-6": [[always, 0, ["5", "0.5", "25", "6.25"]]],
      "claude-opus-4-5": [[always, 0, ["5", "0.5", "25", "6.25"]]],
      "claude-sonnet-5-5": [
        [always, 0, ["2", "0.2", "10", "2.5"]],
        ["2026-10-07T00:00:00Z", 0, ["2", "0.1", "10", "2.5"]],
      ],
      "claude-sonnet-4-6": [[always, 0, ["3", "0.3", "15", "3.75"]]],
      "claude-sonnet-4-5": [[always, 0, ["3", "0.3", "15", "3.75"]]],
      "claude-haiku-5-5": [
        ["2026-10-07T00:00:00Z", 0, ["0.1", "0.01", "0.5", "0.125"]],
        ["2026-10-07T00:00:00Z", 100_000, ["0.5", "0.05", "2.5", "0.625"]],
      ],
      "claude-haiku-4-5": [[always, 0, ["1", "0.1", "5", "1.25"]]],
    },
  },
  {
    hosts: ["dashscope.aliyuncs.com"],
    currency: "CNY",
    source: "https://help.aliyun.com/zh/model-studio/models, 2026-11-24",
    models: {
      "qwen3-max": [
        [always, 0, ["2.5", undefined, "10"]],
        [always, 32_768, ["4", undefined, "16"]],
        [always, 131_072, ["7", undefined, "28"]],
      ],
      "qwen3.6-plus": [[always, 0, ["2", undefined, "12"]]],
      "qwen3.5-plus": [
        [always, 0, ["0.8", undefined, "4.8"]],
        [always, 131_072, ["2", undefined, "12"]],
      ],
      "qwen-max": [[always, 0, ["2.4", undefined, "9.6"]]],
      "qwen-turbo": [[always, 0, ["0.3", undefined, "0.6"]]],
      "qwen-long": [[always, 0, ["0.5", undefined, "2"]]],
    },
  },
  {
    hosts: ["open.bigmodel.cn"],
    currency: "CNY",
    source: "https://docs.bigmodel.cn/cn/guide/start/pricing, 2026-11-24",
    models: {
      "glm-5.3": [[always, 0, ["8", "2", "28"]]],
      "glm-5.3-flash": [
        [always, 0, ["0.4", "0.115", "1.4"]],
        ["2026-09-09T16:00:00Z", 0, ["0.8", "0.23", "2.8"]],
      ],
    },
  },
  {
    hosts: ["api.siliconflow.cn"],
    currency: "CNY",
    source: "https://siliconflow.cn/pricing, 2026-11-24",
    models: {
      "deepseek-ai/DeepSeek-V3.2": [[always, 0, ["2", undefined, "3"]]],
      "Qwen/Qwen3-30B-A3B": [[always, 0, ["0.7", undefined, "2.8"]]],
    },
  },
  {
    hosts: ["api.siliconflow.com"],
    currency: "USD",
    source: "https://www.siliconflow.com/pricing, 2026-11-24",
    models: { "zai-org/GLM-5.3": [["2026-09-09T00:00:00Z", 0, ["1.4", "0.26", "4.4"]]] },
  },
];

/** An amount so many times, exactly. */
const times = (amount: string, factor: number): string => sum(Array(factor).fill(amount));

/** The table, a row for each version and tier. */
export const shipped: readonly ShippedPrice[] = lists.flatMap(
  ({ hosts, currency, source, models, longWriteFactor }) =>
    Object.entries(models).flatMap(([model, versions]) =>
      versions.map(([from, above, [prompt, cached, completion, cacheWrite]]) => ({
        hosts,
        model,
        price: {
          validFrom: new Date(from),
          abovePromptTokens: above,
          currency,
          prompt,
          cached,
          cacheWrite,
          cacheWriteLong: longWriteFactor === undefined ? undefined : times(prompt, longWriteFactor),
          completion,
          reasoning: undefined,
          source,
        },
      })),
    ),
);
