import { usageOf } from "../chat-reader.ts";
import { isObject, type Json, listOr, objectOr, textOr } from "../json.ts";
import { messagesUsage } from "../messages-reader.ts";
import type { TokenUsage } from "../usage.ts";
import { toMessagesToolId } from "./tool-id.ts";

/** Why an answer ended, in OpenAI's words, for Anthropic's. */
const finishReasons: Readonly<Record<string, string>> = {
  end_turn: "stop",
  stop_sequence: "stop",
  pause_turn: "stop",
  max_tokens: "length",
  model_context_window_exceeded: "length",
  tool_use: "tool_calls",
  refusal: "content_filter",
};
const stopReasons: Readonly<Record<string, string>> = {
  stop: "end_turn",
  length: "max_tokens",
  tool_calls: "tool_use",
  function_call: "tool_use",
  content_filter: "refusal",
};

/** OpenAI's `finish_reason` for Anthropic's `stop_reason`. */
export const finishReasonOf = (stopReason: unknown): string => finishReasons[String(stopReason)] ?? "stop";

/**
 * Anthropic's `stop_reason` for OpenAI's `finish_reason`; `called` is whether the answer calls tools. One that was forced to
 * ends with `stop` at OpenAI's.
 */
export const stopReasonOf = (finishReason: unknown, called: boolean): string => {
  const reason = stopReasons[String(finishReason)] ?? "end_turn";
  return called && reason === "end_turn" ? "tool_use" : reason;
};

/** Usage as OpenAI writes it. */
export const toChatUsage = (usage: TokenUsage): Json => ({
  prompt_tokens: usage.promptTokens,
  completion_tokens: usage.completionTokens,
  total_tokens: usage.promptTokens + usage.completionTokens,
  prompt_tokens_details: { cached_tokens: usage.cachedTokens },
  completion_tokens_details: { reasoning_tokens: usage.reasoningTokens },
});

/** Usage as Anthropic writes it: what came from the cache, or went into it, stands apart from the input. */
export const toMessagesUsage = (usage: TokenUsage | undefined): Json => ({
  input_tokens: usage ? usage.promptTokens - usage.cachedTokens - usage.cacheWriteTokens : 0,
  cache_creation_input_tokens: usage?.cacheWriteTokens ?? 0,
  cache_read_input_tokens: usage?.cachedTokens ?? 0,
  output_tokens: usage?.completionTokens ?? 0,
});

/** A tool's input from the text of its arguments; what is no object is kept as a text. */
export function toolInput(text: unknown): Json {
  try {
    const parsed: unknown = JSON.parse(String(text ?? "") || "{}");
    return isObject(parsed) ? parsed : { value: parsed };
  } catch {
    return { value: text };
  }
}

/** A whole answer of Anthropic's messages as one of OpenAI's chat completions; `now` is when it came. */
export function messagesAnswerToChat(answer: Json, now: Date): Json {
  const blocks = listOr(answer.content).filter(isObject);
  const join = (type: string, field: string) =>
    blocks
      .filter((block) => block.type === type)
      .map((block) => block[field])
      .join("");
  const calls = blocks.filter(({ type }) => type === "tool_use");
  const text = join("text", "text");
  const thinking = join("thinking", "thinking");
  const usage = messagesUsage(answer.usage);
  return {
    id: answer.id,
    object: "chat.completion",
    created: Math.floor(now.getTime() / 1000),
    model: answer.model,
    choices: [
      {
        index: 0,
        message: {
          role: "assistant",
          content: text === "" ? null : text,
          refusal: null,
          ...(thinking !== "" && { reasoning_content: thinking }),
          ...(calls.length > 0 && {
            tool_calls: calls.map(({ id, name, input }) => ({
              id,
              type: "function",
              function: { name, arguments: JSON.stringify(input ?? {}) },
            })),
          }),
        },
        logprobs: null,
        finish_reason: finishReasonOf(answer.stop_reason),
      },
    ],
    ...(usage && { usage: toChatUsage(usage) }),
  };
}

/** A whole answer of OpenAI's chat completions as one of Anthropic's messages: its first choice. */
export function chatAnswerToMessages(answer: Json): Json {
  const choice = objectOr(listOr(answer.choices)[0]);
  const message = objectOr(choice.message);
  const text = textOr(message.content) ?? textOr(message.refusal);
  // Nobody has signed this thinking; clients of the dialect expect the field.
  const thinking = textOr(message.reasoning_content);
  const calls = listOr(message.tool_calls).filter(isObject);
  return {
    id: answer.id,
    type: "message",
    role: "assistant",
    model: answer.model,
    content: [
      ...(thinking ? [{ type: "thinking", thinking, signature: "" }] : []),
      ...(text ? [{ type: "text", text }] : []),
      ...calls.map(({ id, function: called }) => ({
        type: "tool_use",
        id: toMessagesToolId(id),
        name: objectOr(called).name,
        input: toolInput(objectOr(called).arguments),
      })),
    ],
    stop_reason: stopReasonOf(choice.finish_reason, calls.length > 0),
    stop_sequence: null,
    usage: toMessagesUsage(usageOf(answer, choice)),
  };
}
