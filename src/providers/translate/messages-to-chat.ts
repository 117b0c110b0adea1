import { isObject, type Json, listOr, objectOr, textOr } from "../json.ts";
import { fromMessagesToolId } from "./tool-id.ts";

type Part = Record<string, unknown>;

/** Text blocks as one text, where there is nothing else; else parts. */
function contentOf(blocks: readonly Json[]): string | Part[] {
  const parts = blocks.map(partOf).filter((part) => part !== undefined);
  return parts.every(({ type }) => type === "text") ? parts.map(({ text }) => text).join("") : parts;
}

/** Thinking is left out: it is signed for its own provider, and means nothing to another. */
function partOf(block: Json): Part | undefined {
  if (block.type === "text") return { type: "text", text: block.text };
  if (block.type !== "image") return undefined;
  const source = objectOr(block.source);
  const url = source.type === "base64" ? `data:${source.media_type};base64,${source.data}` : source.url;
  return { type: "image_url", image_url: { url } };
}

const blocksOf = (content: unknown): Json[] =>
  typeof content === "string" ? [{ type: "text", text: content }] : listOr(content).filter(isObject);

function assistantMessage(blocks: readonly Json[]): Part {
  const calls = blocks.filter(({ type }) => type === "tool_use");
  const content = contentOf(blocks);
  return {
    role: "assistant",
    content: content.length === 0 ? null : content,
    ...(calls.length > 0 && {
      tool_calls: calls.map(({ id, name, input }) => ({
        id: fromMessagesToolId(id),
        type: "function",
        function: { name, arguments: JSON.stringify(input ?? {}) },
      })),
    }),
  };
}

/** Results of tools are messages of their own, and come before what the user says with them. */
function userMessages(blocks: readonly Json[]): Part[] {
  const results = blocks
    .filter(({ type }) => type === "tool_result")
    .map(({ tool_use_id, content, is_error: failed }) => {
      const text = contentOf(blocksOf(content ?? ""));
      const plain = typeof text === "string" ? text : JSON.stringify(text);
      return {
        role: "tool",
        tool_call_id: fromMessagesToolId(tool_use_id),
        content: failed ? `Error: ${plain}` : plain,
      };
    });
  const content = contentOf(blocks);
  return content.length === 0 ? results : [...results, { role: "user", content }];
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

/** A request of Anthropic's messages as one of OpenAI's chat completions. */
export function toChatRequest(request: Json): Json {
  const system = contentOf(blocksOf(request.system ?? ""));
  const turns = listOr(request.messages)
    .filter(isObject)
    .flatMap(({ role, content }) => {
      const blocks = blocksOf(content);
      return role === "assistant" ? [assistantMessage(blocks)] : userMessages(blocks);
    });
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
