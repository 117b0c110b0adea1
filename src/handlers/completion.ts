import type { Drain } from "../drain.ts";
import { type Envelope, success } from "../errors/envelope.ts";
import type { ChatAnswer } from "../providers/chat-answer.ts";
import type { TokenUsage } from "../providers/usage.ts";
import type { Asker, ChatEvent, CompletionService, Question } from "../services/completion.ts";
import { type EventWriter, eventStream } from "./event-stream.ts";

interface Needs {
  completions: CompletionService;
  drain: Drain;
  /** Renders an error that comes after the first piece, when the answer has already begun. */
  renderError: (error: unknown) => Envelope;
}

/** Token counts as callers see them; `null` where the provider reported none. */
export type WireUsage = {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  cached_tokens: number;
} | null;

const toWireUsage = (usage: TokenUsage | null): WireUsage =>
  usage && {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
    cached_tokens: usage.cachedTokens,
  };

const toWireEnd = ({ model, finishReason, usage }: Omit<ChatAnswer, "content">) => ({
  model,
  finish_reason: finishReason,
  usage: toWireUsage(usage),
});

/** `POST /app/completion`: an envelope, or with `stream` the events `delta` and then `done` or `error`. */
export async function complete(
  { completions, drain, renderError }: Needs,
  { question, stream, signal, ...asker }: Asker & { question: Question; stream: boolean },
): Promise<Envelope | Response> {
  const call = drain.track(signal);
  const tracked = { ...asker, signal: call.toAbortSignal() };
  if (!stream) {
    try {
      const { content, ...end } = await completions.complete(question, tracked);
      return success("", { content, ...toWireEnd(end) });
    } finally {
      call.release();
    }
  }
  try {
    const answer = await completions.stream(question, tracked);
    return eventStream(pieces(answer.events, renderError), async () => {
      answer.cancel();
      call.release();
    });
  } catch (error) {
    call.release();
    throw error;
  }
}

async function* pieces(
  events: AsyncIterable<ChatEvent>,
  renderError: (error: unknown) => Envelope,
): EventWriter {
  try {
    for await (const event of events) {
      if (event.type === "delta") yield { event: "delta", data: { content: event.content } };
      else yield { event: "done", data: toWireEnd(event) };
    }
  } catch (error) {
    yield { event: "error", data: renderError(error) };
  }
}
