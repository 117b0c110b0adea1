import type { Dialect, Operation } from "../providers/dialect.ts";
import type { Json } from "../providers/json.ts";
import { acceptsAll, parametersFor, type ReasoningMode, traitsOf } from "../providers/parameter-rules.ts";
import { toMessagesRequest } from "../providers/translate/chat-to-messages.ts";
import { toChatRequest } from "../providers/translate/messages-to-chat.ts";
import { remembered } from "../remembered.ts";
import { editJson } from "./json-edit.ts";
import type { Target } from "./target.ts";

/** What a caller asks, in the caller's dialect. */
export interface Body {
  operation: Operation;
  /** A JSON object, as it shall go out but for what the target calls for. */
  text: string;
  /** The same, parsed. */
  parsed: Json;
  stream: boolean;
  /** The caller asked for usage in the stream. */
  includeUsage: boolean;
}

/** Longest answer, in tokens, where a dialect needs a limit and neither caller, app nor model has one. */
const outputTokensDefault = 4096;

/** Usage is always asked for: without it there would be no bill. What a chat has to say for that. */
const usageAsked = (chat: Json, stream: boolean): Readonly<Record<string, unknown>> | undefined => {
  if (!stream) return undefined;
  const { stream_options: options } = chat;
  return { stream_options: { ...(typeof options === "object" ? options : {}), include_usage: true } };
};

/** What is to be set and removed of a body's members. */
interface Changes {
  set: Readonly<Record<string, unknown>>;
  remove: readonly string[];
}

const unchanged: Changes = { set: {}, remove: [] };

/** Targets that nothing is known of, or set for, that would change parameters: most of them. */
const isLenient = remembered(
  ({ upstreamName, rules: { drop = [], rename = {} } }: Target) =>
    drop.length === 0 && Object.keys(rename).length === 0 && acceptsAll(upstreamName),
);

/** What the model's rules change of the parameters; nothing for most. */
function ruled(parsed: Json, target: Target, always: readonly string[] = []): Changes {
  if (isLenient(target)) return unchanged;
  const {
    upstreamName,
    rules: { drop = [], rename = {}, keep = [] },
  } = target;
  const after = parametersFor(upstreamName, parsed, { keep: [...keep, ...always] });
  for (const name of drop) delete after[name];
  for (const [from, to] of Object.entries(rename)) {
    if (!(from in after)) continue;
    after[to] ??= after[from];
    delete after[from];
  }
  const set: Record<string, unknown> = {};
  const remove: string[] = [];
  for (const name in after) if (!(name in parsed)) set[name] = after[name];
  for (const name in parsed) if (!(name in after)) remove.push(name);
  return { set, remove };
}

/** What becomes of earlier thoughts: as the model's rules say, else as its name does. */
function reasoningFor({ upstreamName, rules: { drop = [], keep = [] } }: Target): ReasoningMode {
  if (drop.includes("reasoning_content")) return "unknown";
  return keep.includes("reasoning_content") ? "taken" : traitsOf(upstreamName).reasoning;
}

/** How the model thinks: as its rules say, else as its name does. */
function thinkerOf({ upstreamName, rules }: Target) {
  const { thinking, efforts } = traitsOf(upstreamName);
  return { thinking: rules.thinking ?? thinking, efforts };
}

/**
 * What `target` is sent. In its own dialect the text stays as it is, byte for byte, but for the model's name, the request
 * for usage, and what the model's rules say; else it is translated.
 * @throws {ValidateError} the caller asks for what the target's dialect cannot say.
 */
export function upstreamBody(
  { operation, text, parsed, stream }: Body,
  target: Target,
  { conversation }: Dialect,
): { operation: Operation; text: string } {
  const model = target.upstreamName;
  if (operation === "chat" && conversation === "messages") {
    const maxTokens = target.outputTokensMax ?? outputTokensDefault;
    const { set, remove } = ruled(parsed, target);
    const chat = { ...parsed, ...set };
    for (const name of remove) delete chat[name];
    const request = toMessagesRequest(chat, { maxTokens, by: thinkerOf(target) });
    return { operation: "messages", text: JSON.stringify({ ...request, model }) };
  }
  if (operation === "messages" && conversation === "chat") {
    const chat: Json = toChatRequest(parsed, { reasoning: reasoningFor(target) });
    const { set, remove } = ruled(chat, target);
    return {
      operation: "chat",
      text: editJson(JSON.stringify(chat), { set: { ...set, model, ...usageAsked(chat, stream) }, remove }),
    };
  }
  // Anthropic's dialect has one name for the limit, and requires it.
  const { set, remove } = ruled(parsed, target, operation === "messages" ? ["max_tokens"] : []);
  const options = usageAsked(parsed, stream && operation === "chat");
  return { operation, text: editJson(text, { set: { ...set, model, ...options }, remove }) };
}
