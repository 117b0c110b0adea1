import { isObject, type Json } from "../providers/json.ts";
import { remembered } from "../remembered.ts";
import type { Body } from "./body.ts";
import { editJson } from "./json-edit.ts";
import type { Target } from "./target.ts";

/** The most that one attempt may use, in tokens. */
export interface TokenBound {
  /** A token is a byte of UTF-8 at least; a picture is what its model declares. */
  input: number;
  /** Of each answer. */
  output: number;
  /** The shortest that each is worth asking for, where there is less room than that. */
  outputMin: number;
  /** Answers that are asked for at once. */
  answers: number;
  /** Whether the caller, or the app, has said `output`; otherwise it has to be sent. */
  said: boolean;
}

/** How callers limit an answer's length. */
const limitNames = ["max_completion_tokens", "max_tokens"] as const;

/** Those that reach the target: its model's rules may drop them. */
const limitsOf = remembered(({ rules: { drop = [] } }: Target) =>
  limitNames.filter((name) => !drop.includes(name)),
);

/** Longest answer where nobody has set a limit, in tokens; it is sent to the provider where a budget relies on it. */
const outputTokensDefault = 4096;
/** Shortest answer that is worth asking for, in tokens. */
const outputTokensMin = 16;
/** Most tokens of a picture or a file whose model declares none: above what OpenAI, Anthropic and Qwen document for one picture. */
const mediaTokensDefault = 16_384;

const isCount = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value > 0;

/** Parts of a conversation that are no text: pictures, files, sound. */
function mediaParts(value: unknown): number {
  if (!Array.isArray(value)) return 0;
  let count = 0;
  for (const item of value) {
    if (!isObject(item)) continue;
    const { type, content } = item;
    if (typeof type === "string" && /image|file|audio|video|document/.test(type)) count++;
    count += mediaParts(content);
  }
  return count;
}

/** The bound of an attempt at `target`. */
export function tokenBound({ operation, text, parsed }: Body, target: Target): TokenBound {
  if (operation === "count_tokens") return { input: 0, output: 0, outputMin: 0, answers: 0, said: true };
  const media = mediaParts(parsed.messages) * (target.imageTokensMax ?? mediaTokensDefault);
  const input = Buffer.byteLength(text) + media;
  if (operation === "embeddings") return { input, output: 0, outputMin: 0, answers: 0, said: true };
  const limits = limitsOf(target);
  // Who says both leaves it to the provider which one counts.
  let asked = 0;
  for (const name of limits) {
    const value = parsed[name];
    if (isCount(value)) asked = Math.max(asked, value);
  }
  const said = asked > 0;
  // There are providers that read a number from a text.
  const answers = Number(parsed.n);
  // Anthropic's models take no limit that the thoughts alone may use up.
  const thoughts = isObject(parsed.thinking) ? parsed.thinking.budget_tokens : undefined;
  const output = said ? asked : (target.outputTokensMax ?? outputTokensDefault);
  const least = isCount(thoughts) ? thoughts + outputTokensMin : outputTokensMin;
  return {
    input,
    output,
    // Who cannot be told cannot be told to write less.
    outputMin: limits.length > 0 ? least : output,
    answers: isCount(answers) ? answers : 1,
    said,
  };
}

/** The body with a limit on the answer's length, wherever the caller put one, or would; as it is where `target` takes none. */
export function withOutputMax(body: Body, tokens: number, target: Target): Body {
  const limits = limitsOf(target);
  const given = limits.filter((name) => name in body.parsed);
  const names = given.length > 0 ? given : limits.slice(-1);
  const set = Object.fromEntries(names.map((name) => [name, tokens]));
  const parsed: Json = { ...body.parsed, ...set };
  return { ...body, text: editJson(body.text, { set }), parsed };
}
