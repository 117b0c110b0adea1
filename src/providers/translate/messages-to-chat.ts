import { isObject, type Json, listOr, objectOr, textOr } from "../json.ts";
import type { ReasoningMode } from "../parameter-rules.ts";
import { partsOf } from "./parts.ts";
import { fromMessagesToolId } from "./tool-id.ts";

type Part = Record<string, unknown>;

/** Blocks with the place that each has in the request, for an error that names it. */
type Placed = readonly (readonly [block: Json, at: string])[];

const blocksOf = (content: unknown, at: string): Placed =>
  typeof content === "string"
    ? [[{ type: "text", text: content }, at]]
    : listOr(content)
        .map((block, index) => [objectOr(block), `${at}.${index}`] as const)
        .filter(([{ type }]) => type !== undefined);

const allParts = (blocks: Placed): Part[] => blocks.flatMap(([block, at]) => partsOf(block, at));

const isText = ({ type }: Part) => type === "text";
const textsOf = (parts: readonly Part[]) =>
  parts
    .filter(isText)
    .map(({ text }) => text)
    .join("");

/** One text where there is nothing else; else parts. */
const contentOf = (parts: Part[]): string | Part[] => (parts.every(isText) ? textsOf(parts) : parts);

/** The thoughts of a turn as they go back to the model; `undefined` for not at all. */
function reasoningOf(blocks: readonly Json[], mode: ReasoningMode): string | undefined {
  if (mode === "unknown") return undefined;
  const thoughts = blocks
    // A signature is another dialect's: who thought that never wrote `reasoning_content`.
    .filter(({ type, signature }) => type === "thinking" && (mode !== "returned" || !signature))
    .map(({ thinking }) => thinking)
    .join("");
  return textOr(thoughts) ?? (mode === "needed" ? " " : undefined);
}

const isThought = (type: unknown) => type === "thinking" || type === "redacted_thinking";

function assistantMessage(placed: Placed, mode: ReasoningMode): Part {
  const blocks = placed.map(([block]) => block);
  const calls = blocks.filter(({ type }) => type === "tool_use");
  const content = contentOf(allParts(placed.filter(([{ type }]) => type !== "tool_use" && !isThought(type))));
  const reasoning = reasoningOf(blocks, mode);
  return {
    role: "assistant",
    content: content.length === 0 ? null : content,
    ...(reasoning !== undefined && { reasoning_content: reasoning }),
    ...(calls.length > 0 && {
      tool_calls: calls.map(({ id, name, input }) => ({
        id: fromMessagesToolId(id),
        type: "function",
        function: { name, arguments: JSON.stringify(input ?? {}) },
      })),
    }),
  };
}

/** What a result holds beside its text goes into the next message: a tool's takes texts only. */
const elsewhere = "The result follows in the next message.";

/** Results of tools are messages of their own, and come before what the user says with them. */
function userMessages(placed: Placed): Part[] {
  const attached: Part[] = [];
  const results = placed
    .filter(([{ type }]) => type === "tool_result")
    .map(([{ tool_use_id, content, is_error: failed }, at]) => {
      const id = fromMessagesToolId(tool_use_id);
      const parts = allParts(blocksOf(content ?? "", `${at}.content`));
      const others = parts.filter((part) => !isText(part));
      if (others.length > 0)
        attached.push({ type: "text", text: `Result of the tool call ${id}:` }, ...others);
      const text = textsOf(parts) || (others.length > 0 ? elsewhere : "");
      return { role: "tool", tool_call_id: id, content: failed ? `Error: ${text}` : text };
    });
  const own = allParts(placed.filter(([{ type }]) => type !== "tool_result"));
  const content = contentOf([...attached, ...own]);
  return content.length === 0 ? results : [...results, { role: "user", content }];
}

function turnOf({ role, content }: Json, at: string, mode: ReasoningMode): Part[] {
  const blocks = blocksOf(content, `${at}.content`);
  if (role === "assistant") return [assistantMessage(blocks, mode)];
  // Newer models of Anthropic's take turns of the system within a conversation; this dialect always has.
  if (role === "system") return [{ role, content: contentOf(allParts(blocks)) }];
  return userMessages(blocks);
}

function toolChoice(choice: Json): unknown {
  if (choice.type === "tool") return { type: "function", function: { name: choice.name } };
  return { any: "required", none: "none", auto: "auto" }[String(choice.type)];
}

/** How hard to think, for a budget in tokens. */
const effortOf = ({ type, budget_tokens: budget }: Json) => {
  if (type !== "enabled") return undefined;
  return Number(budget) < 4096 ? "low" : Number(budget) < 16_384 ? "medium" : "high";
};

/**
 * A request of Anthropic's messages as one of OpenAI's chat completions; `reasoning` says what becomes of earlier thoughts.
 * @throws {ValidateError} it holds what cannot be said there, such as a document that only its provider can reach.
 */
export function toChatRequest(request: Json, { reasoning }: { reasoning: ReasoningMode }): Json {
  const system = contentOf(allParts(blocksOf(request.system ?? "", "system")));
  const turns = listOr(request.messages).flatMap((message, index) =>
    isObject(message) ? turnOf(message, `messages.${index}`, reasoning) : [],
  );
  // Tools that run at the provider have no schema, and no counterpart.
  const tools = listOr(request.tools)
    .filter(isObject)
    .filter(({ input_schema: schema }) => schema !== undefined);
  const choice = objectOr(request.tool_choice);
  const given = (name: string, value: unknown) =>
    value === undefined || value === null ? {} : { [name]: value };
  const schema = objectOr(objectOr(objectOr(request.output_config).format).schema);
  return {
    model: request.model,
    messages: system.length > 0 ? [{ role: "system", content: system }, ...turns] : turns,
    ...given("max_tokens", request.max_tokens),
    ...given("temperature", request.temperature),
    ...given("top_p", request.top_p),
    ...given("stop", request.stop_sequences),
    ...(tools.length > 0 && {
      tools: tools.map(({ name, description, input_schema: parameters }) => ({
        type: "function",
        function: { name, ...given("description", description), parameters },
      })),
      ...given("tool_choice", toolChoice(choice)),
      ...(choice.disable_parallel_tool_use === true && { parallel_tool_calls: false }),
    }),
    ...(Object.keys(schema).length > 0 && {
      response_format: { type: "json_schema", json_schema: { name: "answer", schema } },
    }),
    ...given("reasoning_effort", effortOf(objectOr(request.thinking))),
    ...given("user", textOr(objectOr(request.metadata).user_id)),
    ...(request.stream === true && { stream: true }),
  };
}
