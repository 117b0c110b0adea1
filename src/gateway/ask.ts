import { UpstreamError, ValidateError } from "../errors/app-error.ts";
import { estimateTokensOfBytes } from "../metering/estimate.ts";
import { anthropicDialect } from "../providers/anthropic-dialect.ts";
import type { Dialect, Endpoint, Operation } from "../providers/dialect.ts";
import { askEcho } from "../providers/echo.ts";
import { isObject, type Json, listOr } from "../providers/json.ts";
import { openaiDialect } from "../providers/openai-dialect.ts";
import type { Call, UpstreamAnswer } from "../providers/transport.ts";
import type { AnswerReader } from "../providers/usage.ts";
import { remembered } from "../remembered.ts";
import { type Body, upstreamBody } from "./body.ts";
import { EventScanner, type Frame } from "./sse.ts";
import type { Target, TargetProvider } from "./target.ts";

/** An answer that has begun well: whole, or its first event is here. Until then nothing was promised to the caller. */
export type Begun = WholeAnswer | StreamedAnswer;

interface Answered {
  /** Shape of what follows, which is the upstream's. */
  shape: Operation;
  reader: AnswerReader;
}

export interface WholeAnswer extends Answered {
  kind: "whole";
  text: string;
  parsed: Json;
}

export interface StreamedAnswer extends Answered {
  kind: "stream";
  answer: UpstreamAnswer;
  /** Gives the answer's events from the first one on; the reader knows of none yet. */
  scanner: EventScanner;
}

const dialects: Readonly<Record<"openai" | "anthropic", Dialect>> = {
  openai: openaiDialect,
  anthropic: anthropicDialect,
};

/** The dialect that a provider speaks; the built-in echo answers in OpenAI's. */
export const dialectOf = ({ dialect }: TargetProvider): Dialect =>
  dialects[dialect === "echo" ? "openai" : dialect];

const endpointsOf = remembered((_: TargetProvider) => new Map<Operation, Endpoint>());

/** Where a provider is asked for an operation; made once, as long as the provider stays as it is. */
function endpointOf(provider: TargetProvider, operation: Operation, dialect: Dialect): Endpoint {
  const known = endpointsOf(provider);
  let endpoint = known.get(operation);
  if (!endpoint) {
    endpoint = dialect.endpoint(operation, provider);
    known.set(operation, endpoint);
  }
  return endpoint;
}

const malformed = (what: string) => new UpstreamError("malformed", { cause: new Error(what) });

const decoder = new TextDecoder();
const textOf = (bytes: Uint8Array) => decoder.decode(bytes);

/** The data of an event; `[DONE]` is itself. @throws {UpstreamError} `malformed` */
export function dataOf({ data = "" }: Frame): unknown {
  if (data === "[DONE]") return data;
  try {
    return JSON.parse(data);
  } catch {
    throw malformed("an event that is not JSON");
  }
}

/** Most of an error's body that is looked at, in bytes. */
const errorBytesMax = 64 * 1024;

async function errorText(answer: UpstreamAnswer): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for (let piece = await answer.read(); piece && bytes < errorBytesMax; piece = await answer.read()) {
    pieces.push(piece);
    bytes += piece.byteLength;
  }
  return textOf(Buffer.concat(pieces).subarray(0, errorBytesMax));
}

/** What an upstream has answered so far; `null` is nothing. */
export interface Heard {
  status: number | null;
}

/**
 * Asks `target` once. `heard` gets the status as soon as there is one; `reader` watches the answer.
 * @throws {UpstreamError} anything that went wrong before the answer began; the reason of the call's signal where it aborted.
 */
export async function ask(
  target: Target,
  body: Body,
  { call, reader, heard }: { call: Call; reader: AnswerReader; heard: Heard },
): Promise<Begun> {
  const { provider } = target;
  const dialect = dialectOf(provider);
  const sent = upstreamBody(body, target, dialect);
  call.throwIfAborted();
  const known = { model: target.upstreamName, apiKey: provider.apiKey };
  if (!provider.apiKey && !provider.keyless) throw new UpstreamError("no_key");
  if (sent.operation === "embeddings" && provider.dialect !== "openai") throw noEmbeddings();
  if (sent.operation === "count_tokens" && dialect.conversation === "chat") return counted(sent.text, reader);
  const { url, headers } = endpointOf(provider, sent.operation, dialect);
  const { timeouts, local, proxied } = provider;
  const outgoing = { headers, body: sent.text, streamed: body.stream, timeouts, local, proxied };
  const answer =
    provider.dialect === "echo" ? askEcho(JSON.parse(sent.text), new Date()) : await call.send(url, outgoing);
  heard.status = answer.status;
  if (answer.status >= 300) {
    const { status, headers } = answer;
    throw dialect.error({ status, headers, body: await errorText(answer) }, known);
  }
  if (!body.stream) {
    const bytes = answer.bytes();
    return whole(bytes instanceof Promise ? await bytes : bytes, sent.operation, reader);
  }
  const type = answer.contentType;
  // A provider that does not stream answers whole.
  if (type.includes("json")) {
    const begun = whole(await answer.bytes(), sent.operation, dialect.reader(sent.operation));
    return asStream(begun, { answer, reader });
  }
  // Tolerant of a missing or odd type, but a page or a plain text is no stream.
  if (type.startsWith("text/") && !type.startsWith("text/event-stream")) {
    throw malformed(`a stream of type ${type.slice(0, 100)}`);
  }
  return begin(answer, { operation: sent.operation, dialect, reader });
}

/** Reads a stream up to its first event. @throws {UpstreamError} there is none, or it is an error. */
async function begin(
  answer: UpstreamAnswer,
  { operation, dialect, reader }: { operation: Operation; dialect: Dialect; reader: AnswerReader },
): Promise<StreamedAnswer> {
  const scanner = new EventScanner();
  const frames: Frame[] = [];
  while (frames.at(-1)?.data === undefined) {
    const frame = scanner.next();
    if (frame) {
      frames.push(frame);
      continue;
    }
    const piece = await answer.read();
    if (piece) scanner.push(piece);
    else {
      const last = scanner.end();
      if (!last?.data) throw new UpstreamError("cut");
      frames.push(last);
    }
  }
  const first = frames.at(-1) as Frame;
  // An error as the very first event can still be answered, or mended elsewhere.
  const probe = dialect.reader(operation);
  probe.event(dataOf(first), first.name);
  if (probe.state.error !== undefined) throw failed(probe.state.error);
  scanner.putBack(frames);
  return { shape: operation, reader, kind: "stream", answer, scanner };
}

const noEmbeddings = () => new ValidateError({ model: [{ key: "validate.no_embeddings" }] });

/** The size of a question where its provider does not count: an estimate. */
function counted(text: string, reader: AnswerReader): Begun {
  const parsed = { input_tokens: estimateTokensOfBytes(Buffer.byteLength(text)) };
  return { shape: "count_tokens", reader, kind: "whole", text: JSON.stringify(parsed), parsed };
}

const encoder = new TextEncoder();

/** A message as the delta that it could have come in; there, each call of a tool says which one it is. */
function deltaOf(message: unknown): unknown {
  if (!isObject(message) || !Array.isArray(message.tool_calls)) return message;
  const tool_calls = message.tool_calls.map((call, index) => (isObject(call) ? { index, ...call } : call));
  return { ...message, tool_calls };
}

/** A whole answer to who asked for a stream, as the stream of one piece that it could have been. */
function asStream(
  { shape, parsed }: WholeAnswer,
  { answer, reader }: { answer: UpstreamAnswer; reader: AnswerReader },
): Begun {
  if (shape !== "chat") throw malformed("a whole answer to a call that streams");
  const choices = listOr(parsed.choices)
    .filter(isObject)
    .map(({ message, ...choice }) => ({ ...choice, delta: deltaOf(message) }));
  const chunk = JSON.stringify({ ...parsed, object: "chat.completion.chunk", choices });
  const scanner = new EventScanner();
  scanner.push(encoder.encode(`data: ${chunk}\n\ndata: [DONE]\n\n`));
  return { shape, reader, kind: "stream", answer, scanner };
}

/** What an answer said of its own failure. */
export const failed = (message: string) => new UpstreamError("failed", { cause: new Error(message) });

/** A whole answer, from its bytes. @throws {UpstreamError} it is none, or says that it failed. */
function whole(bytes: Uint8Array, operation: Operation, reader: AnswerReader): WholeAnswer {
  const text = textOf(bytes);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw malformed("an answer that is not JSON");
  }
  if (!isObject(parsed)) throw malformed("not a JSON object");
  reader.whole(parsed);
  if (reader.state.error !== undefined) throw failed(reader.state.error);
  return { shape: operation, reader, kind: "whole", text, parsed };
}
