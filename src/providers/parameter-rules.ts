/** How a model of Anthropic's dialect is asked to think: within a number of tokens, or as much as it sees fit. */
export type ThinkingMode = "budget" | "adaptive";

/**
 * What becomes of the thoughts of earlier turns on their way to a model of OpenAI's dialect: always sent back as
 * `reasoning_content`, with a blank where a turn has none; sent where there are any; sent where they came that way (those that
 * nobody signed); or never.
 */
export type ReasoningMode = "needed" | "taken" | "returned" | "unknown";

/** What is known of a model by its name, beside its parameters. */
export interface ModelTraits {
  thinking: ThinkingMode;
  /** Values of Anthropic's `output_config.effort` that it takes, from the least to the most; empty where it knows none. */
  efforts: readonly string[];
  reasoning: ReasoningMode;
}

/** What some models do not accept, or need. Rules add up where several match; of traits the first counts. */
interface ParameterRule extends Partial<ModelTraits> {
  /** Tested against the lower-cased model name without a vendor in front (`moonshotai/kimi-k2.5` → `kimi-k2.5`). */
  models: RegExp;
  /** Not sent: the model has one fixed value, which is its default. */
  drop?: readonly string[];
  /** Sent under another name, unless that name was given too. */
  rename?: Readonly<Record<string, string>>;
  /** Only the first of these that is given is sent. */
  either?: readonly string[];
}

/** A Claude whose version (`4-7`, `4.7`, `5`) is told by a pattern; a date is none (`claude-sonnet-4-20250514`). */
const claude = (version: string) => new RegExp(`\\bclaude-(?:[a-z]+-)?(?:${version})(?!\\d)`);

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
 *
 * **Claude 4.7 and later**: another `temperature`, `top_p` or `top_k` than the default is answered 400, and so is
 * `thinking.type: enabled` ("Use thinking.type.adaptive and output_config.effort"; platform.claude.com, migration guides of
 * Opus 4.7, Opus 5.5 and Haiku 5.5). **4.6** takes both ways of thinking, the older one as deprecated, and no `xhigh`; it
 * and **4.1 to 4.5** answer 400 to `temperature` and `top_p` together (github.com/BerriAI/litellm/issues/15097).
 *
 * **Thoughts**: Kimi refuses a turn with a tool's call and without `reasoning_content`, an empty one too, while a blank will
 * do (github.com/charmbracelet/crush/issues/2696, May 2026), and DeepSeek one without it
 * (api-docs.deepseek.com/guides/thinking_mode). OpenAI, Groq and Mistral know no such field.
 */
const rules: readonly ParameterRule[] = [
  {
    models: /^(?:(?:kimi-)?k(?:2\.(?:[5-9]|\d{2,})|[3-9]|[1-9]\d)(?!\d)|kimi-for-coding)/,
    drop: ["temperature", "top_p", "n", "presence_penalty", "frequency_penalty"],
    reasoning: "needed",
  },
  { models: /^(?:kimi-k2-thinking|deepseek)/, reasoning: "needed" },
  { models: /^(?:kimi|glm|qwen|qwq|minimax|mimo|step|doubao|ernie|hunyuan)/, reasoning: "taken" },
  {
    models:
      /^(?:gpt|chatgpt|o[1-9]\d*(?![a-z\d])|llama|gemma|gemini|mistral|mixtral|ministral|codestral|grok|command)/,
    reasoning: "unknown",
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
  {
    models: claude("4[.-](?:[7-9]|\\d{2})|[5-9]|[1-9]\\d|mythos"),
    drop: ["temperature", "top_p", "top_k"],
    thinking: "adaptive",
    efforts: ["low", "medium", "high", "xhigh", "max"],
  },
  {
    models: claude("4[.-]6"),
    either: ["temperature", "top_p"],
    thinking: "adaptive",
    efforts: ["low", "medium", "high", "max"],
  },
  { models: claude("4[.-][1-5]"), either: ["temperature", "top_p"] },
];

/** Most names whose rules are remembered. */
const rememberedMax = 1000;
const remembered = new Map<string, readonly ParameterRule[]>();

const matching = (model: string): readonly ParameterRule[] => {
  let known = remembered.get(model);
  if (!known) {
    const name = model.slice(model.lastIndexOf("/") + 1).toLowerCase();
    known = rules.filter(({ models }) => models.test(name));
    if (remembered.size >= rememberedMax) remembered.clear();
    remembered.set(model, known);
  }
  return known;
};

/** What is known of `model` by its name. Of an unknown one: it thinks within a budget, and gets back what it has thought. */
export function traitsOf(model: string): ModelTraits {
  const traits: ModelTraits = { thinking: "budget", efforts: [], reasoning: "returned" };
  for (const { thinking, efforts, reasoning } of matching(model).toReversed()) {
    Object.assign(traits, thinking && { thinking }, efforts && { efforts }, reasoning && { reasoning });
  }
  return traits;
}

/** Whether nothing is known of what `model` does not accept: its parameters are sent as they are. */
export const acceptsAll = (model: string): boolean =>
  matching(model).every(({ drop, rename, either }) => !drop && !rename && !either);

/**
 * The parameters as `model` accepts them, in a new object. Unknown models and unknown parameters are let through, and so are
 * those in `keep`, whatever is known of the model.
 */
export const parametersFor = (
  model: string,
  parameters: Readonly<Record<string, unknown>>,
  { keep = [] }: { keep?: readonly string[] } = {},
): Record<string, unknown> => {
  const result = { ...parameters };
  const remove = (parameter: string) => {
    if (!keep.includes(parameter)) delete result[parameter];
  };
  for (const { drop = [], rename = {}, either = [] } of matching(model)) {
    for (const parameter of drop) remove(parameter);
    const given = either.filter((parameter) => result[parameter] !== undefined && result[parameter] !== null);
    for (const parameter of given.slice(1)) remove(parameter);
    for (const [from, to] of Object.entries(rename)) {
      if (!(from in result) || keep.includes(from)) continue;
      if (!(to in result)) result[to] = result[from];
      delete result[from];
    }
  }
  return result;
};
