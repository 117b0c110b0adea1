import OpenAI from "openai";
import type { Stream } from "openai/streaming";
import { networkOf } from "../address.ts";
import { UpstreamError, ValidateError } from "../errors/app-error.ts";
import type { Body } from "../gateway/body.ts";
import type { Gateway } from "../gateway/call.ts";
import type { Route } from "../gateway/target.ts";
import { nilUuid, type Uuid } from "../id.ts";
import type { Limiter } from "../limits/limiter.ts";
import { type ChatAnswer, type Piece, toAnswer, toPiece } from "../providers/chat-answer.ts";
import { echoModel } from "../providers/echo.ts";
import type { Registry } from "./registry.ts";

/** What the model is told before every question. */
const systemPrompt =
  "你是 Kimi，由 Moonshot AI 提供的人工智能助手，你更擅长中文和英文的对话。你会为用户提供安全，有帮助，准确的回答。" +
  "同时，你会拒绝一切涉及恐怖主义，种族歧视，黄色暴力等问题的回答。Moonshot AI 为专有名词，不可翻译成其他语言。";

/** How freely the model answers; a model that takes no temperature is not sent one. */
const temperature = 0.6;

/** Longest answer to a test, in tokens: enough for a model that thinks a little to say something. */
const testTokensMax = 16;

/** A question to the default model, or to one of the configured ones by name. */
export interface Question {
  query: string;
  model?: string;
}

/** Who asks, for the record. */
export interface Asker {
  /** A UUIDv7, which the record will carry. */
  id: Uuid;
  accountId: Uuid;
  ip: string;
  signal: AbortSignal;
}

/** A piece of a streamed answer, or its end, which comes exactly once and last. */
export type ChatEvent = { type: "delta"; content: string } | ({ type: "done" } & Omit<ChatAnswer, "content">);

/** An answer that has begun. Leaving the loop over `events`, or `cancel`, ends it upstream. */
export interface CompletionStream {
  readonly events: AsyncIterable<ChatEvent>;
  cancel(): void;
}

/** Answers single questions, without an app. */
export type CompletionService = ReturnType<typeof createCompletionService>;

export interface CompletionOptions {
  gateway: Gateway;
  registry: Registry;
  limiter: Limiter;
  /** What a caller may name beside `echo`; asked in this order where the caller names none. */
  models: readonly string[];
  /** Asked where the caller names none; `undefined` is the configured list. */
  defaultModel: string | undefined;
}

/** Creates the service: the `openai` SDK in front of our own gateway, so that its calls are like any other's. */
export function createCompletionService({
  gateway,
  registry,
  limiter,
  models,
  defaultModel,
}: CompletionOptions) {
  const routeOf = async (named: readonly string[]): Promise<Route> => {
    const routes = await Promise.all(named.map((model) => registry.resolve(model)));
    const targets = routes.flatMap((route) => route?.targets ?? []);
    if (targets.length > 0) return { routing: "ordered", targets };
    throw new UpstreamError("model_not_found", { params: { asked: named.join(", "), available: "-" } });
  };

  const modelsFor = ({ model = defaultModel }: Question): readonly string[] => {
    if (model === undefined) return models;
    if (model === echoModel || models.includes(model)) return [model];
    const allowed = [...models, echoModel].join(", ");
    throw new ValidateError({ model: [{ key: "validate.model", params: { models: allowed } }] });
  };

  /** A client that serves one call. What the gateway throws reaches the SDK's caller through `failure`. */
  const clientFor = (named: readonly string[], asker: Asker) => {
    const it: { failure: unknown; model: string } = { failure: undefined, model: "" };
    const send = async (_: unknown, init?: { body?: unknown; signal?: AbortSignal | null }) => {
      try {
        const text = String(init?.body);
        const parsed = JSON.parse(text);
        const body: Body = {
          operation: "chat",
          text,
          parsed,
          stream: parsed.stream === true,
          includeUsage: true,
        };
        const answer = await gateway.call({
          body,
          route: await routeOf(named),
          allowance: limiter.open({
            keyId: null,
            appId: null,
            accountId: asker.accountId,
            endUser: null,
            fit: false,
          }),
          content: "full",
          cacheTtlMs: undefined,
          signal: asker.signal,
          renderError: (error) => {
            it.failure = error;
            return 'data: {"error":{"message":"failed"}}\n\n';
          },
          held: undefined,
          facts: {
            id: asker.id,
            api: "completion",
            appId: nilUuid,
            appVersion: 0,
            keyId: null,
            accountId: asker.accountId,
            endUser: null,
            session: null,
            model: named[0] ?? "",
            stream: body.stream,
            ipPrefix: networkOf(asker.ip),
          },
        });
        it.model = answer.model;
        return new Response(answer.body, { headers: { "content-type": answer.contentType } });
      } catch (error) {
        it.failure = error;
        throw error;
      }
    };
    // A client per call, which costs 7 µs, since the SDK has no other way to tell `fetch` which call it serves. Nothing
    // is read from the environment.
    const client = new OpenAI({
      apiKey: "none",
      adminAPIKey: null,
      organization: null,
      project: null,
      webhookSecret: null,
      baseURL: "http://gateway/v1",
      maxRetries: 0,
      timeout: 2 ** 31 - 1,
      logLevel: "off",
      fetch: send as typeof fetch,
    });
    return { client, failed: (error: unknown) => it.failure ?? error, answered: () => it.model };
  };

  const bodyOf = ({ query }: Question) => ({
    // The gateway puts the target's own name here.
    model: "default",
    temperature,
    messages: [
      { role: "system", content: systemPrompt },
      { role: "user", content: query },
    ],
  });

  const pieces = async function* (
    chunks: AsyncIterable<unknown>,
    {
      failed,
      answered,
      signal,
    }: { failed: (error: unknown) => unknown; answered: () => string; signal: AbortSignal },
  ): AsyncGenerator<ChatEvent> {
    const end: Omit<ChatAnswer, "content"> = { model: "", finishReason: "", usage: null };
    try {
      for await (const chunk of chunks) {
        const { content, model, finishReason, usage }: Piece = toPiece(chunk);
        end.model = model ?? end.model;
        end.finishReason = finishReason ?? end.finishReason;
        end.usage = usage ?? end.usage;
        if (content !== "") yield { type: "delta", content };
      }
      // The SDK ends a stream quietly where its signal was aborted.
      signal.throwIfAborted();
      yield { type: "done", ...end, model: end.model || answered() };
    } catch (error) {
      throw failed(error);
    }
  };

  return {
    /** Asks any registered model for a word. @throws {UpstreamError} no answer, and why. */
    async test(model: string, asker: Asker): Promise<ChatAnswer> {
      const { client, failed } = clientFor([model], asker);
      const body = { model, max_tokens: testTokensMax, messages: [{ role: "user", content: "ping" }] };
      try {
        return toAnswer(await client.post<unknown>("/chat/completions", { body }));
      } catch (error) {
        throw failed(error);
      }
    },

    /**
     * The whole answer.
     * @throws {ValidateError} a model that may not be named. @throws {UpstreamError} no answer, and why.
     */
    async complete(question: Question, asker: Asker): Promise<ChatAnswer> {
      const { client, failed, answered } = clientFor(modelsFor(question), asker);
      try {
        const body = { ...bodyOf(question), stream: false };
        const answer = toAnswer(await client.post<unknown>("/chat/completions", { body }));
        return { ...answer, model: answer.model || answered() };
      } catch (error) {
        throw failed(error);
      }
    },

    /** The answer piece by piece; resolves once it has begun, so that what fails earlier throws as above. */
    async stream(question: Question, asker: Asker): Promise<CompletionStream> {
      const own = new AbortController();
      const signal = AbortSignal.any([asker.signal, own.signal]);
      const { client, failed, answered } = clientFor(modelsFor(question), { ...asker, signal });
      const cancel = () => own.abort(new DOMException("The stream was cancelled", "AbortError"));
      try {
        const chunks = await client.post<Stream<unknown>>("/chat/completions", {
          body: { ...bodyOf(question), stream: true },
          stream: true,
        });
        return { events: pieces(chunks, { failed, answered, signal }), cancel };
      } catch (error) {
        throw failed(error);
      }
    },
  };
}
