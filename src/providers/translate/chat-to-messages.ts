import { ValidateError } from "../../errors/app-error.ts";
import { isObject, type Json, listOr, objectOr, textOr } from "../json.ts";
import type { ThinkingMode } from "../parameter-rules.ts";
import { toolInput } from "./answer.ts";
import { toMessagesToolId } from "./tool-id.ts";

type Block = Record<string, unknown>;

/** How much Anthropic's models may think for each of OpenAI's efforts, in tokens; 1024 is the least that is accepted. */
const thinkingBudgets: Readonly<Record<string, number>> = {
  minimal: 1024,
  low: 1024,
  medium: 4096,
  high: 16_384,
  xhigh: 32_768,
  max: 65_536,
};

/** Parameters of OpenAI's that change the answer and have no counterpart: to leave them out in silence would be a lie. */
const unsupported = ["logprobs", "top_logprobs", "logit_bias", "functions", "audio"] as const;

const unsupportedError = (field: string) => new ValidateError({ [field]: [{ key: "validate.unsupported" }] });

/** A content that is a text or a list of parts, as blocks. */
function blocksOf(content: unknown): Block[] {
  if (typeof content === "string") return content === "" ? [] : [{ type: "text", text: content }];
  return listOr(content).filter(isObject).map(blockOf);
}

function blockOf(part: Json): Block {
  if (part.type === "text") {
    return {
      type: "text",
      text: part.text,
      ...(part.cache_control ? { cache_control: part.cache_control } : {}),
    };
  }
  if (part.type === "refusal") return { type: "text", text: part.refusal };
  if (part.type === "image_url") {
    const url = textOr(objectOr(part.image_url).url) ?? textOr(part.image_url) ?? "";
    const [, mediaType, data] = /^data:([^;,]+);base64,(.*)$/s.exec(url) ?? [];
    return {
      type: "image",
      source: data ? { type: "base64", media_type: mediaType, data } : { type: "url", url },
    };
  }
  throw unsupportedError("messages");
}

const toolUses = (message: Json): Block[] =>
  listOr(message.tool_calls)
    .filter(isObject)
    .map(({ id, function: called }) => {
      const { name, arguments: text } = objectOr(called);
      return { type: "tool_use", id: toMessagesToolId(id), name, input: toolInput(text) };
    });

/** One of OpenAI's messages as a turn; `undefined` for what is no turn. */
function turnOf(message: Json): { role: "user" | "assistant"; content: Block[] } {
  if (message.role === "assistant") {
    return { role: "assistant", content: [...blocksOf(message.content), ...toolUses(message)] };
  }
  if (message.role === "tool") {
    const content = typeof message.content === "string" ? message.content : blocksOf(message.content);
    const id = toMessagesToolId(message.tool_call_id);
    return { role: "user", content: [{ type: "tool_result", tool_use_id: id, content }] };
  }
  return { role: "user", content: blocksOf(message.content) };
}

/** Turns of one side that follow each other become one: the results of tools called at once belong together. */
function merged(turns: readonly { role: string; content: Block[] }[]) {
  const result: { role: string; content: Block[] }[] = [];
  for (const turn of turns) {
    const last = result.at(-1);
    if (turn.content.length === 0) continue;
    if (last?.role === turn.role) last.content.push(...turn.content);
    else result.push({ role: turn.role, content: [...turn.content] });
  }
  return result;
}

const isSystem = ({ role }: Json) => role === "system" || role === "developer";

const toolOf = (tool: Json): Block => {
  const { name, description, parameters } = objectOr(tool.function);
  return {
    name,
    ...(description !== undefined && { description }),
    input_schema: parameters ?? { type: "object", properties: {} },
  };
};

/** The tools that the model may call, and how it is to choose: OpenAI's dialect may allow some of those that it tells of. */
function allowedOf(chat: Json): { tools: readonly Json[]; choice: unknown } {
  const tools = listOr(chat.tools).filter(isObject);
  // A custom tool takes any text; here each takes an object.
  if (tools.some(({ type }) => type === "custom")) throw unsupportedError("tools");
  const choice = chat.tool_choice;
  if (!isObject(choice) || choice.type !== "allowed_tools") return { tools, choice };
  const allowed = objectOr(choice.allowed_tools);
  const names = new Set(listOr(allowed.tools).map((tool) => objectOr(objectOr(tool).function).name));
  return { tools: tools.filter((tool) => names.has(objectOr(tool.function).name)), choice: allowed.mode };
}

function toolChoice(choice: unknown, parallel: unknown): Block | undefined {
  const serial = parallel === false ? { disable_parallel_tool_use: true } : {};
  if (isObject(choice)) return { type: "tool", name: objectOr(choice.function).name, ...serial };
  if (choice === "none") return { type: "none" };
  if (choice === "required") return { type: "any", ...serial };
  if (choice === "auto" || parallel === false) return { type: "auto", ...serial };
  return undefined;
}

/** How a model thinks, and which efforts it knows; see {@link ModelTraits}. */
interface Thinker {
  thinking: ThinkingMode;
  efforts: readonly string[];
}

/**
 * A forced call of a tool and thinking exclude each other: "Thinking may not be enabled when tool_choice forces tool use". The
 * call is what the caller insists on.
 */
const isForced = (choice: Block | undefined) => choice?.type === "any" || choice?.type === "tool";

/**
 * Whether the last turn of the model's goes on, after a result of a tool. The thoughts that such a turn began with are signed and
 * do not pass through OpenAI's dialect, and models that think within a budget refuse to go on without them.
 */
const isUnderWay = (messages: readonly Json[]) => messages.at(-1)?.role === "tool";

/** How the model is to think; `undefined` for not at all. A budget is below the longest answer, which includes the thinking. */
function thinkingOf(
  effort: unknown,
  { by, maxTokens, messages }: { by: Thinker; maxTokens: number; messages: readonly Json[] },
): Block | undefined {
  const budget = thinkingBudgets[String(effort)];
  if (budget === undefined) return undefined;
  // Newer models keep their thoughts to themselves unless they are asked for a summary.
  if (by.thinking === "adaptive") return { type: "adaptive", display: "summarized" };
  if (maxTokens <= 1024 || isUnderWay(messages)) return undefined;
  return { type: "enabled", budget_tokens: Math.min(budget, maxTokens - 1) };
}

/** Anthropic's word for an effort of OpenAI's, among those that the model knows; the next lower one where it lacks it. */
function effortOf(effort: unknown, { thinking, efforts }: Thinker): string | undefined {
  if (thinking !== "adaptive" || thinkingBudgets[String(effort)] === undefined) return undefined;
  const wanted = effort === "minimal" ? "low" : String(effort);
  if (efforts.includes(wanted)) return wanted;
  return wanted === "xhigh" || wanted === "max" ? "high" : wanted;
}

function formatOf(format: unknown): Block | undefined {
  const { type, json_schema: schema } = objectOr(format);
  if (type === undefined || type === "text") return undefined;
  if (type !== "json_schema") throw unsupportedError("response_format");
  return { type: "json_schema", schema: objectOr(schema).schema };
}

/**
 * A request of OpenAI's chat completions as one of Anthropic's messages. `maxTokens` limits the answer where the caller
 * does not: there, the limit is required. `by` is the model that is asked.
 * @throws {ValidateError} the caller asks for what cannot be said there: several choices, log probabilities, audio.
 */
export function toMessagesRequest(chat: Json, { maxTokens, by }: { maxTokens: number; by: Thinker }): Json {
  for (const field of unsupported) {
    const value = chat[field];
    if (value !== undefined && value !== null && value !== false) throw unsupportedError(field);
  }
  if (chat.n !== undefined && chat.n !== null && chat.n !== 1) throw unsupportedError("n");
  const messages = listOr(chat.messages).filter(isObject);
  const system = messages.filter(isSystem).flatMap(({ content }) => blocksOf(content));
  const limit = Number(chat.max_completion_tokens ?? chat.max_tokens ?? maxTokens);
  const stop = typeof chat.stop === "string" ? [chat.stop] : chat.stop;
  const { tools, choice: chosen } = allowedOf(chat);
  const choice = tools.length > 0 ? toolChoice(chosen, chat.parallel_tool_calls) : undefined;
  const think = isForced(choice)
    ? undefined
    : thinkingOf(chat.reasoning_effort, { by, maxTokens: limit, messages });
  const effort = effortOf(chat.reasoning_effort, by);
  const format = formatOf(chat.response_format);
  const given = (name: string, value: unknown) =>
    value === undefined || value === null ? {} : { [name]: value };
  return {
    model: chat.model,
    max_tokens: limit,
    ...(system.length > 0 && { system }),
    messages: merged(messages.filter((message) => !isSystem(message)).map(turnOf)),
    ...given("stop_sequences", stop),
    // Thinking models take no temperature; elsewhere the scale ends at 1.
    ...(think
      ? {}
      : given("temperature", typeof chat.temperature === "number" ? Math.min(chat.temperature, 1) : null)),
    ...(think ? {} : given("top_p", chat.top_p)),
    ...given("thinking", think),
    ...((effort || format) && { output_config: { ...given("effort", effort), ...given("format", format) } }),
    ...(tools.length > 0 && { tools: tools.map(toolOf) }),
    ...given("tool_choice", choice),
    ...(typeof chat.user === "string" && { metadata: { user_id: chat.user } }),
    ...(chat.stream === true && { stream: true }),
  };
}
