/** What some models do not accept. Rules add up where several match. */
interface ParameterRule {
  /** Tested against the lower-cased model name without a vendor in front (`moonshotai/kimi-k2.5` → `kimi-k2.5`). */
  models: RegExp;
  /** Not sent: the model has one fixed value, which is its default. */
  drop?: readonly string[];
  /** Sent under another name, unless that name was given too. */
  rename?: Readonly<Record<string, string>>;
}

/**
 * The rules, newest knowledge in November 2026.
 *
 * **Kimi K2.5 and later**: `temperature`, `top_p` (0.95), `n` (1) and both penalties (0) "cannot be modified"
 * (Moonshot's Model Parameter Reference, platform.kimi.ai/docs/api/models-overview, for K2.5 and K2.6); a request
 * with another temperature is answered 400 "invalid temperature: only 1 is allowed for this model", by K3 as well
 * (github.com/XCNXNXNX/dsh-portable-tavern/issues/1, August 2026) and by the coding plan's `kimi-for-coding` and
 * `k3-256k` (github.com/shandianshuo/shandianshuo-releases/issues/13, August 2026). With thinking disabled the one
 * accepted temperature is 0.6 instead (github.com/ThinkInAIXYZ/deepchat/pull/1507, April 2026): hence not even 1
 * is sent. The older `kimi-k2-*` models take all of these.
 *
 * **OpenAI's o-series and GPT-5**: "'max_tokens' is not supported with this model. Use 'max_completion_tokens'
 * instead" and "'temperature' does not support 0.7 with this model" (github.com/nextlevelbuilder/goclaw/issues/211,
 * March 2026); the `-chat` variants do not reason and take the sampling parameters.
 */
const rules: readonly ParameterRule[] = [
  {
    models: /^(?:(?:kimi-)?k(?:2\.(?:[5-9]|\d{2,})|[3-9]|[1-9]\d)(?!\d)|kimi-for-coding)/,
    drop: ["temperature", "top_p", "n", "presence_penalty", "frequency_penalty"],
  },
  { models: /^(?:o[1-9]\d*|gpt-5)(?![a-z\d])/, rename: { max_tokens: "max_completion_tokens" } },
  {
    models: /^(?:o[1-9]\d*|gpt-5)(?![a-z\d])(?!.*-chat)/,
    drop: [
      "temperature",
      "top_p",
      "presence_penalty",
      "frequency_penalty",
      "logprobs",
      "top_logprobs",
      "logit_bias",
    ],
  },
];

/** The parameters as `model` accepts them, in a new object. Unknown models and unknown parameters are let through. */
export const parametersFor = (
  model: string,
  parameters: Readonly<Record<string, unknown>>,
): Record<string, unknown> => {
  const name = model.slice(model.lastIndexOf("/") + 1).toLowerCase();
  const result = { ...parameters };
  for (const { models, drop = [], rename = {} } of rules) {
    if (!models.test(name)) continue;
    for (const parameter of drop) delete result[parameter];
    for (const [from, to] of Object.entries(rename)) {
      if (!(from in result)) continue;
      if (!(to in result)) result[to] = result[from];
      delete result[from];
    }
  }
  return result;
};
