import OpenAI from "openai";
import type { Stream } from "openai/streaming";
import { UpstreamError } from "../errors/app-error.ts";
import type { Log } from "../log.ts";
import { type Piece, toAnswer, toModels, toPiece } from "./openai-answer.ts";
import { retryAfterOf, toUpstreamError } from "./openai-errors.ts";
import { parametersFor } from "./parameter-rules.ts";
import type { CallOptions, ChatAnswer, ChatEvent, ChatRequest, Provider } from "./provider.ts";
import { type Call, type Connect, createTransport, type Fetch, type Timeouts } from "./transport.ts";

export interface OpenAiProviderOptions {
  /** Short name for logs and answers, such as `moonshot`. */
  name: string;
  /** With the version in its path where the provider has one, such as `https://api.moonshot.cn/v1`. */
  baseUrl: string;
  /** `undefined` where none is configured: every call then throws `no_key`. */
  apiKey: string | undefined;
  timeouts: Timeouts;
  log: Log;
  /** How often the SDK repeats a call that failed before its answer began. */
  maxRetries?: number;
  /** Whether an HTTP proxy stands between. */
  proxied?: boolean;
  /** For tests. */
  connect?: Connect;
}

/** Longest `Retry-After` that is worth waiting for with a caller on the line, in seconds. */
const retryAfterMax = 5;

/** Above every limit of ours, and the most that `setTimeout` takes: the SDK's own limit would be retried. */
const neverMs = 2 ** 31 - 1;

/** Ends the SDK's retries where the provider asks for more patience than a caller has. */
const impatient = (response: Response): Response => {
  if ((retryAfterOf(response.headers) ?? 0) > retryAfterMax) {
    response.headers.set("x-should-retry", "false");
  }
  return response;
};

/**
 * Creates a provider that speaks OpenAI's chat completions, through the `openai` SDK. Nothing is read from the
 * environment, and the headers are exactly the four that the call needs: the SDK would add what it knows of this
 * machine, and whatever `OPENAI_CUSTOM_HEADERS` holds. Connection errors, 429 with a short `Retry-After` and 5xx are
 * repeated by the SDK; limits other than connecting end the call.
 */
export const createOpenAiProvider = ({
  name,
  baseUrl,
  apiKey,
  timeouts,
  log,
  maxRetries = 2,
  proxied = false,
  connect,
}: OpenAiProviderOptions): Provider => {
  const transport = createTransport({ timeouts, proxied, ...(connect && { connect }) });

  const clientFor = (call: Call, key: string): OpenAI => {
    let attempts = 0;
    const send: Fetch = async (url, { body, ...init } = {}) => {
      if (attempts++ > 0) log.debug("upstream call is repeated", { provider: name, attempt: attempts });
      const headers = {
        accept: "application/json, text/event-stream",
        authorization: `Bearer ${key}`,
        "user-agent": "llmops",
        ...(body && { "content-type": "application/json" }),
      };
      return impatient(await call.fetch(url, { ...init, headers, ...(body && { body }) }));
    };
    // A client per call, which costs 7 µs, since the SDK has no other way to tell `fetch` which call it serves.
    return new OpenAI({
      apiKey: key,
      adminAPIKey: null,
      organization: null,
      project: null,
      webhookSecret: null,
      baseURL: baseUrl,
      maxRetries,
      timeout: neverMs,
      logLevel: "off",
      fetch: send,
    });
  };

  /** Opens a call; `translate` turns whatever it threw into what a provider may throw. */
  const begin = ({ signal }: CallOptions, model?: string) => {
    if (!apiKey) throw new UpstreamError("no_key");
    const call = transport.open(signal);
    const translate = (error: unknown): unknown =>
      call.signal.aborted ? call.signal.reason : toUpstreamError(error, { apiKey, ...(model && { model }) });
    return { call, client: clientFor(call, apiKey), translate };
  };

  const bodyOf = ({ model, messages, parameters }: ChatRequest) => ({
    ...parametersFor(model, parameters),
    model,
    messages,
  });

  const complete = async (request: ChatRequest, options: CallOptions): Promise<ChatAnswer> => {
    const { call, client, translate } = begin(options, request.model);
    using _ = call;
    try {
      const body = { ...bodyOf(request), stream: false };
      const { signal } = call;
      return toAnswer(await client.post<unknown>("/chat/completions", { body, signal }), request.model);
    } catch (error) {
      throw translate(error);
    }
  };

  /** The pieces of a streamed answer; a provider that does not stream answers whole, which is then one piece. */
  const pieces = async function* (client: OpenAI, call: Call, request: ChatRequest): AsyncGenerator<Piece> {
    const body = { ...bodyOf(request), stream: true, stream_options: { include_usage: true } };
    const { signal } = call;
    const { data, response } = await client
      .post<Stream<unknown>>("/chat/completions", { body, signal, stream: true })
      .withResponse();
    const type = response.headers.get("content-type") ?? "";
    if (type.includes("json")) return yield toAnswer(await response.json(), request.model);
    // Tolerant of a missing or odd type, but a page or a plain text is no stream.
    if (type.startsWith("text/") && !type.startsWith("text/event-stream")) {
      throw new UpstreamError("malformed", { cause: new Error(`a stream of type ${type.slice(0, 100)}`) });
    }
    for await (const chunk of data) yield toPiece(chunk);
  };

  const stream = async function* (request: ChatRequest, options: CallOptions): AsyncGenerator<ChatEvent> {
    const { call, client, translate } = begin(options, request.model);
    using _ = call;
    try {
      const end: Omit<ChatAnswer, "content"> = { model: request.model, finishReason: "", usage: null };
      for await (const { content, model, finishReason, usage } of pieces(client, call, request)) {
        end.model = model ?? end.model;
        end.finishReason = finishReason ?? end.finishReason;
        end.usage = usage ?? end.usage;
        if (content !== "") yield { type: "delta", content };
      }
      // The SDK ends a stream quietly where its signal was aborted.
      call.signal.throwIfAborted();
      if (end.finishReason === "") throw new UpstreamError("cut");
      yield { type: "done", ...end };
    } catch (error) {
      throw translate(error);
    }
  };

  const listModels = async (options: CallOptions): Promise<string[]> => {
    const { call, client, translate } = begin(options);
    using _ = call;
    try {
      return toModels(await client.get<unknown>("/models", { signal: call.signal }));
    } catch (error) {
      throw translate(error);
    }
  };

  return { name, complete, stream, listModels };
};
