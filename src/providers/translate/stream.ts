import { usageOf } from "../chat-reader.ts";
import { countOr, isObject, type Json, listOr, objectOr, textOr } from "../json.ts";
import { messagesUsage } from "../messages-reader.ts";
import type { TokenUsage } from "../usage.ts";
import { finishReasonOf, stopReasonOf, toChatUsage, toMessagesUsage } from "./answer.ts";
import { toMessagesToolId } from "./tool-id.ts";

/** One event as it is written: its name, where the dialect has names, and its data as text. */
export interface ServerEvent {
  event?: string;
  data: string;
}

/** Turns a stream of one dialect into one of the other, event by event. */
export interface StreamTranslator {
  /** What the caller gets for one event of the upstream's. */
  event(data: unknown, name?: string): ServerEvent[];
  /** What belongs after the last one; only where the answer came to its proper end. */
  end(): ServerEvent[];
}

/** Anthropic's events as OpenAI's chunks. The chunk with usage alone comes only where the caller asked for it. */
export function messagesStreamToChat({
  includeUsage,
  now,
}: {
  includeUsage: boolean;
  now: Date;
}): StreamTranslator {
  const head: { id: unknown; model: unknown } = { id: "", model: "" };
  const created = Math.floor(now.getTime() / 1000);
  /**
   * By the place of its block among the blocks: a tool's call's place among the calls, and its arguments where its input came
   * all at once; `undefined` as soon as any were written.
   */
  const tools = new Map<number, { place: number; unwritten: string | undefined }>();
  let usage: TokenUsage | undefined;

  const write = (rest: object): ServerEvent => ({
    data: JSON.stringify({
      id: head.id,
      object: "chat.completion.chunk",
      created,
      model: head.model,
      ...rest,
    }),
  });
  const chunk = (delta: object, finishReason: string | null = null): ServerEvent =>
    write({
      choices: [{ index: 0, delta, logprobs: null, finish_reason: finishReason }],
      ...(includeUsage && { usage: null }),
    });

  const started = ({ message }: Json) => {
    const { id, model, usage: counted } = objectOr(message);
    Object.assign(head, { id, model });
    usage = messagesUsage(counted);
    return [chunk({ role: "assistant", content: "" })];
  };
  const opened = ({ index, content_block: block }: Json) => {
    const { type, id, name, text, input } = objectOr(block);
    if (type === "text" && textOr(text)) return [chunk({ content: text })];
    if (type !== "tool_use") return [];
    const place = tools.size;
    tools.set(countOr(index), { place, unwritten: JSON.stringify(objectOr(input)) });
    const call = { index: place, id, type: "function", function: { name, arguments: "" } };
    return [chunk({ tool_calls: [call] })];
  };
  const argumentsOf = (place: number, text: unknown) =>
    chunk({ tool_calls: [{ index: place, function: { arguments: text } }] });
  const grown = ({ index, delta }: Json) => {
    const { type, text, thinking, partial_json: json } = objectOr(delta);
    if (type === "text_delta") return [chunk({ content: text })];
    if (type === "thinking_delta") return [chunk({ reasoning_content: thinking })];
    const tool = tools.get(countOr(index));
    if (type !== "input_json_delta" || tool === undefined || json === "") return [];
    tool.unwritten = undefined;
    return [argumentsOf(tool.place, json)];
  };
  /** A call without arguments has an empty text for them here, which there is no JSON. */
  const closed = ({ index }: Json) => {
    const tool = tools.get(countOr(index));
    if (tool?.unwritten === undefined) return [];
    const text = tool.unwritten;
    tool.unwritten = undefined;
    return [argumentsOf(tool.place, text)];
  };
  const finishing = ({ delta, usage: counted }: Json) => {
    usage = messagesUsage(counted, usage);
    const reason = textOr(objectOr(delta).stop_reason);
    return reason === undefined ? [] : [chunk({}, finishReasonOf(reason))];
  };
  const events: Readonly<Record<string, (data: Json) => ServerEvent[]>> = {
    message_start: started,
    content_block_start: opened,
    content_block_delta: grown,
    content_block_stop: closed,
    message_delta: finishing,
  };

  return {
    event: (data, name) => (isObject(data) ? (events[String(data.type ?? name)]?.(data) ?? []) : []),
    end: () => [
      ...(includeUsage && usage ? [write({ choices: [], usage: toChatUsage(usage) })] : []),
      { data: "[DONE]" },
    ],
  };
}

/** OpenAI's chunks as Anthropic's events. Only the first choice is looked at. */
export function chatStreamToMessages(): StreamTranslator {
  let begun = false;
  let usage: TokenUsage | undefined;
  let finishReason: unknown;
  /** The block that is open, and how many there have been. */
  let open: { kind: string; index: number; empty: boolean } | undefined;
  let blocks = 0;
  let called = false;

  const write = (event: string, rest: object = {}): ServerEvent => ({
    event,
    data: JSON.stringify({ type: event, ...rest }),
  });
  const close = (): ServerEvent[] => {
    if (!open) return [];
    const { index, kind, empty } = open;
    // A call without arguments has nothing, or an empty text, where here an empty object is meant.
    const input =
      kind.startsWith("tool") && empty ? [grow({ type: "input_json_delta", partial_json: "{}" })] : [];
    open = undefined;
    return [...input, write("content_block_stop", { index })];
  };
  /** Makes the block of this kind the open one. */
  const within = (kind: string, block: object): ServerEvent[] => {
    if (open?.kind === kind) return [];
    const closing = close();
    open = { kind, index: blocks++, empty: true };
    return [...closing, write("content_block_start", { index: open.index, content_block: block })];
  };
  const grow = (delta: object) => {
    if (open) open.empty = false;
    return write("content_block_delta", { index: open?.index ?? 0, delta });
  };

  const begin = ({ id, model }: Json): ServerEvent[] => {
    if (begun) return [];
    begun = true;
    const message = { id, type: "message", role: "assistant", model, content: [], stop_reason: null };
    return [
      write("message_start", { message: { ...message, stop_sequence: null, usage: toMessagesUsage(usage) } }),
    ];
  };
  const toolEvents = (call: Json): ServerEvent[] => {
    const { name, arguments: text } = objectOr(call.function);
    called = true;
    const kind = `tool ${countOr(call.index)}`;
    const block = { type: "tool_use", id: toMessagesToolId(call.id), name, input: {} };
    const json = textOr(text);
    return [
      ...within(kind, block),
      ...(json ? [grow({ type: "input_json_delta", partial_json: json })] : []),
    ];
  };
  const deltaEvents = (delta: Json): ServerEvent[] => {
    const thinking = textOr(delta.reasoning_content);
    const text = textOr(delta.content) ?? textOr(delta.refusal);
    return [
      ...(thinking
        ? [
            ...within("thinking", { type: "thinking", thinking: "", signature: "" }),
            grow({ type: "thinking_delta", thinking }),
          ]
        : []),
      ...(text ? [...within("text", { type: "text", text: "" }), grow({ type: "text_delta", text })] : []),
      ...listOr(delta.tool_calls).filter(isObject).flatMap(toolEvents),
    ];
  };

  return {
    event(data) {
      if (!isObject(data)) return [];
      const choices = listOr(data.choices).filter(isObject);
      const choice = choices.find(({ index }) => index === 0 || index === undefined) ?? {};
      usage = usageOf(data, choice) ?? usage;
      finishReason = textOr(objectOr(choice).finish_reason) ?? finishReason;
      return [...begin(data), ...deltaEvents(objectOr(objectOr(choice).delta))];
    },
    end: () => [
      ...close(),
      write("message_delta", {
        delta: { stop_reason: stopReasonOf(finishReason, called), stop_sequence: null },
        usage: toMessagesUsage(usage),
      }),
      write("message_stop"),
    ],
  };
}
