import { AppError, LimitError, UpstreamError, ValidateError } from "../errors/app-error.ts";
import type { CallContent, Recorder, Refusal } from "../metering/record.ts";
import { redact } from "../metering/redact.ts";
import { storableJson } from "../metering/storable.ts";
import type { Operation } from "../providers/dialect.ts";
import { chatAnswerToMessages, messagesAnswerToChat } from "../providers/translate/answer.ts";
import {
  chatStreamToMessages,
  messagesStreamToChat,
  type StreamTranslator,
} from "../providers/translate/stream.ts";
import type { Call, Transport } from "../providers/transport.ts";
import type { AnswerReader } from "../providers/usage.ts";
import type { CallSignal } from "../signal.ts";
import type { Allowance, Permit } from "./allowance.ts";
import { ask, type Begun, dialectOf, type Heard, type StreamedAnswer, type WholeAnswer } from "./ask.ts";
import type { Body } from "./body.ts";
import { type CachedAnswer, canonicalKey, Keeper, type ResponseCache } from "./cache.ts";
import type { Admitted, Chooser } from "./choose.ts";
import { type CallFacts, type Entry, type OpenAttempt, openEntry } from "./entry.ts";
import { hasEscapes } from "./json-edit.ts";
import { relay, type StreamEnd } from "./relay.ts";
import { retryDelayMs, sleep } from "./retry.ts";
import type { Route, Target } from "./target.ts";

/** What is kept of questions and answers. */
export type ContentMode = "full" | "redacted" | "none";

/** A call that may be made: who asks, what, of whom. */
export interface GatewayCall {
  facts: CallFacts;
  body: Body;
  route: Route;
  content: ContentMode;
  /** What the call may use. */
  allowance: Allowance;
  /** How long the answer may serve the same question again; `undefined`: not at all. */
  cacheTtlMs: number | undefined;
  /** The caller's; aborts with an {@link UpstreamError} where the service itself ends the call. */
  signal: CallSignal;
  /** An error as the caller's dialect puts it into a stream. */
  renderError: (error: unknown) => string;
  /** What is let go once the call is over, however it went, where `call` has resolved. */
  held: { release(): void } | undefined;
}

/** What the caller gets. */
export interface GatewayAnswer {
  contentType: string;
  body: string | Uint8Array | ReadableStream<Uint8Array>;
  /** The registered model that answered. */
  model: string;
  provider: string;
  /** `undefined` where the app has no cache. */
  cache: "hit" | "miss" | undefined;
}

/** Calls models. */
export interface Gateway {
  /**
   * Makes the call. Resolves once the answer is whole, or its first event is here: what fails earlier is tried again and
   * elsewhere, and thrown in the end.
   * @throws {UpstreamError} nobody answered, and why; {@link AppError} the call cannot be made; the signal's reason where it
   * aborted.
   */
  call(call: GatewayCall): Promise<GatewayAnswer>;
}

export interface GatewayOptions {
  recorder: Recorder;
  transport: Transport;
  chooser: Chooser;
  cache: ResponseCache;
  /** Milliseconds that only go forward. */
  now: () => number;
  /** The models of a target's provider, for the error that says that a model does not exist. */
  listModels: (target: Target, signal: CallSignal) => Promise<readonly string[]>;
}

const jsonType = "application/json";
const streamType = "text/event-stream; charset=utf-8";

/** Most of a question that is kept, in characters. */
const questionMax = 1024 * 1024;

/** Most names that an error lists. */
const namesMax = 20;

/** Whether it is the caller who has gone, and not the service that ends. */
const hasLeft = (signal: CallSignal) => signal.aborted && !(signal.reason instanceof UpstreamError);

/** Errors that no other target would mend. What one dialect cannot say (`ValidateError`), another may. */
const isCallers = (error: unknown) =>
  error instanceof UpstreamError ? error.reason === "bad_request" : !(error instanceof ValidateError);

/**
 * Whether a failed attempt may have cost something: its provider answered well at first, or took the question and then said
 * nothing. Who refuses, or was never reached, does not bill.
 */
const mayHaveBegun = (error: unknown, statusCode: number | null): boolean => {
  if (statusCode !== null) return statusCode < 300;
  return (
    error instanceof UpstreamError &&
    (error.reason === "timeout_first_byte" || error.reason === "timeout_total")
  );
};

/** A JSON text without what tells who somebody is. A number may have become none: then the whole is a text. */
function redacted(text: string): string {
  const kept = redact(text);
  try {
    JSON.parse(kept);
    return kept;
  } catch {
    return JSON.stringify(kept);
  }
}

/** The question as it is kept: a JSON text in one line, its characters spelt out so that it can be searched. */
function questionOf({ content, body: { text, parsed } }: GatewayCall): CallContent {
  if (content === "none") return {};
  const spells = hasEscapes(text) || text.includes("\n") || text.includes("\r");
  const plain = spells ? JSON.stringify(parsed) : text;
  const kept = storableJson(content === "redacted" ? redacted(plain) : plain);
  if (kept.length <= questionMax) return { question: kept };
  return { question: storableJson(JSON.stringify(kept.slice(0, questionMax))), truncated: true };
}

/** The answer as it is kept. */
function answerOf(content: ContentMode, reader: AnswerReader): CallContent {
  if (content === "none") return {};
  const { text, truncated } = reader.content();
  return { answer: storableJson(content === "redacted" ? redacted(text) : text), truncated };
}

/** What has come of one try at a target. */
interface Tried extends Heard {
  permit: Permit | undefined;
  attempt: OpenAttempt | undefined;
  reader: AnswerReader | undefined;
  /** The question may have been sent. */
  asked: boolean;
}

/** What is not kept of an answer is not collected either: it would be held for as long as the call takes. */
const readerOf = ({ provider }: Target, { operation }: Body, content: ContentMode): AnswerReader =>
  dialectOf(provider).reader(operation, content === "none" ? { contentMax: 0 } : {});

/** Ends a try that failed: what was kept back for it is free again where it cost nothing. */
function endTry(
  { permit, attempt, reader, asked, status: statusCode }: Tried,
  error: unknown,
  signal: CallSignal,
) {
  if (!attempt || !permit) return;
  const left = hasLeft(signal);
  const began = asked && (left || mayHaveBegun(error, statusCode));
  if (!began) permit.cancel();
  attempt.end({
    status: left ? "cancelled" : "error",
    statusCode,
    began,
    complete: false,
    state: reader?.state,
    // The provider took the question and nothing was heard: it may have answered, and billed, as much as it was let.
    worst: statusCode === null ? permit.worst : undefined,
    ...(left ? {} : { error }),
  });
}

/** An attempt that its target has begun to answer. */
interface Made {
  begun: Begun;
  attempt: OpenAttempt;
  statusCode: number;
  admitted: Admitted;
}

/** Ends a call that was answered, or had begun to be. Resolves once that is written down. */
function settle(it: GatewayCall, made: Made, entry: Entry, kept: CallContent, end: StreamEnd): Promise<void> {
  const { begun, attempt, statusCode, admitted } = made;
  const { reader } = begun;
  const left = "left" in end;
  const error = "error" in end ? end.error : undefined;
  const status = left ? "cancelled" : end.complete ? "ok" : "error";
  const began = it.body.operation !== "count_tokens";
  attempt.end({ status, statusCode, began, complete: end.complete, state: reader.state, error });
  if (end.complete) admitted.succeeded();
  else admitted.failed(error);
  admitted.release();
  const { answer, truncated } = answerOf(it.content, reader);
  const written = entry.close(
    { status, statusCode: left ? 499 : 200, error },
    { answer, truncated: truncated || kept.truncated },
  );
  it.held?.release();
  return written;
}

/** What is kept of an answer beside its bytes. */
const keptOf = (contentType: string, { begun, admitted }: Made): Omit<CachedAnswer, "body"> => ({
  contentType,
  model: admitted.target.name,
  provider: admitted.target.provider.name,
  finishReason: begun.reader.state.finishReason ?? null,
});

/** Creates the gateway. */
export function createGateway({
  recorder,
  transport,
  chooser,
  cache,
  now,
  listModels,
}: GatewayOptions): Gateway {
  /** Ends the entry of a call that failed, and says it as the caller shall hear it. */
  const fail = (entry: Entry, error: unknown, { signal }: GatewayCall): Promise<void> => {
    if (hasLeft(signal)) return entry.close({ status: "cancelled", statusCode: 499 });
    const refusal = error instanceof LimitError ? (error.refusal as Refusal | undefined) : undefined;
    const statusCode = error instanceof AppError ? error.status : 500;
    return entry.close({ status: "error", statusCode, error, refusal });
  };

  const noModel = async (asked: Route["targets"], last: UpstreamError, signal: CallSignal) => {
    const { target } = asked.at(-1) as Route["targets"][number];
    const names = await listModels(target, signal).catch(() => []);
    signal.throwIfAborted();
    const available = names.slice(0, namesMax).join(", ") || "-";
    const params = { asked: asked.map(({ target }) => target.upstreamName).join(", "), available };
    return new UpstreamError("model_not_found", { params, cause: last.cause });
  };

  /** Asks the targets one after the other until one begins to answer; tells the records and the chooser how it went. */
  const begin = async (it: GatewayCall, call: Call, entry: Entry): Promise<Made> => {
    const { route, signal, allowance } = it;
    let last: unknown;
    const choice = chooser.choose(route);
    for (let admitted = choice.next(); admitted; admitted = choice.next()) {
      for (let tries = 0; ; tries++) {
        const tried: Tried = {
          attempt: undefined,
          permit: undefined,
          reader: undefined,
          asked: false,
          status: null,
        };
        try {
          const { target } = admitted;
          const permitting = allowance.attempt(target, it.body);
          const permit = permitting instanceof Promise ? await permitting : permitting;
          tried.permit = permit;
          const { body } = permit;
          const attempt = entry.attempt(target, body.text.length, permit.worst);
          await attempt.written;
          tried.attempt = attempt;
          const reader = readerOf(target, body, it.content);
          tried.reader = reader;
          // The caller may have left while it was written down.
          call.throwIfAborted();
          tried.asked = true;
          const begun = await ask(target, body, { call, reader, heard: tried });
          attempt.firstPiece();
          return { begun, attempt, statusCode: tried.status ?? 200, admitted };
        } catch (error) {
          endTry(tried, error, signal);
          if (error instanceof LimitError || error instanceof ValidateError) {
            // Nobody was asked: what went wrong before says more than that there is no room, or no way to say it.
            last ??= error;
            admitted.failed(undefined);
            break;
          }
          last = error;
          admitted.failed(hasLeft(signal) ? undefined : error);
          const delayMs = signal.aborted ? undefined : retryDelayMs(error, tries);
          if (delayMs === undefined) break;
          await sleep(delayMs, signal).catch(() => {});
          if (signal.aborted) break;
        }
      }
      admitted.release();
      signal.throwIfAborted();
      if (isCallers(last) && !allowance.isTargets(last)) throw last;
    }
    const error = last ?? choice.refusal();
    if (!(error instanceof UpstreamError) || error.reason !== "model_not_found") throw error;
    // Those that were passed over are as missing as those that were asked.
    throw await noModel(route.targets, error, signal);
  };

  /** The events of a call that was begun to be answered, on their way to its caller. */
  const streamOf = (
    it: GatewayCall,
    made: Made & { begun: StreamedAnswer },
    {
      call,
      entry,
      kept,
      keeping,
    }: { call: Call; entry: Entry; kept: CallContent; keeping: Keeper | undefined },
  ): ReadableStream<Uint8Array> =>
    relay({
      begun: made.begun,
      translator: translatorFor(made.begun.shape, it.body),
      includeUsage: it.body.includeUsage,
      signal: call,
      renderError: it.renderError,
      ended: (end) => settle(it, made, entry, kept, end),
      sent:
        keeping &&
        ((piece, last) => {
          keeping.sent(piece);
          if (last) keeping.keep(keptOf(streamType, made));
        }),
      dispose: () => call[Symbol.dispose](),
    });

  return {
    async call(it) {
      const { body, facts, route, signal, cacheTtlMs, allowance, held } = it;
      const kept = questionOf(it);
      const entry = openEntry({ recorder, facts, question: kept.question, allowance, now });
      try {
        const admitting = allowance.admit();
        if (admitting) await admitting;
      } catch (error) {
        await fail(entry, error, it);
        held?.release();
        throw error;
      }
      const key = cacheTtlMs === undefined ? undefined : keyOf(it);
      const hit = key === undefined ? undefined : await cache.get(key);
      if (hit) {
        await entry.close(
          { status: "ok", statusCode: 200, cacheHit: true, model: hit.model, provider: hit.provider },
          kept,
        );
        held?.release();
        return { ...hit, cache: "hit" };
      }
      const call = transport.open(signal, { totalMs: totalMsOf(route) });
      const keeping =
        key === undefined || cacheTtlMs === undefined ? undefined : new Keeper(cache, key, cacheTtlMs);
      try {
        const made = await begin(it, call, entry);
        const { begun, admitted } = made;
        const { name: model, provider } = admitted.target;
        const cached = keeping && "miss";
        if (begun.kind === "stream") {
          const stream = streamOf(it, { ...made, begun }, { call, entry, kept, keeping });
          return { contentType: streamType, body: stream, model, provider: provider.name, cache: cached };
        }
        const text = translated(begun, body.operation);
        await settle(it, made, entry, kept, { complete: true });
        call[Symbol.dispose]();
        keeping?.sent(Buffer.from(text));
        keeping?.keep(keptOf(jsonType, made));
        return { contentType: jsonType, body: text, model, provider: provider.name, cache: cached };
      } catch (error) {
        call[Symbol.dispose]();
        await fail(entry, error, it);
        held?.release();
        throw error;
      }
    },
  };
}

/** Numbers that may be rounded when they are read, so that two of them become one. */
const mayRound = /\d{16}|\d[eE]\+?\d{2}/;

/** What makes two requests the same. */
const keyOf = ({ facts, body, route }: GatewayCall): string =>
  canonicalKey({
    appId: facts.appId,
    operation: body.operation,
    targets: route.targets.map(
      ({ target: { name, upstreamName, provider } }) => `${name} ${upstreamName}@${provider.baseUrl}`,
    ),
    request: mayRound.test(body.text) ? body.text : body.parsed,
  });

/** The longest that any of the route's providers may take. */
function totalMsOf({ targets }: Route): number {
  let most = 0;
  for (const { target } of targets) most = Math.max(most, target.provider.timeouts.totalMs);
  return most;
}

/** A whole answer in the caller's dialect. */
function translated({ shape, text, parsed }: WholeAnswer, operation: Operation): string {
  if (shape === operation) return text;
  if (operation === "chat") return JSON.stringify(messagesAnswerToChat(parsed, new Date()));
  return operation === "messages" ? JSON.stringify(chatAnswerToMessages(parsed)) : text;
}

/** From the upstream's dialect into the caller's. */
function translatorFor(shape: Operation, { operation, includeUsage }: Body): StreamTranslator | undefined {
  if (shape === operation) return undefined;
  return operation === "chat"
    ? messagesStreamToChat({ includeUsage, now: new Date() })
    : chatStreamToMessages();
}
