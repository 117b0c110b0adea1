import type { UpstreamReason } from "../../src/errors/app-error.ts";
import { UpstreamError } from "../../src/errors/app-error.ts";
import { silentLog } from "../../src/log.ts";
import { createOpenAiProvider, type OpenAiProviderOptions } from "../../src/providers/openai.ts";
import type { ChatEvent, ChatRequest } from "../../src/providers/provider.ts";
import { defaultTimeouts, type Timeouts } from "../../src/providers/transport.ts";

/** A key that is easy to find again where it should not be. */
export const apiKey = "sk-fixture-0123456789";

/** The provider over an upstream; without retries unless they are asked for. */
export const providerAt = (
  { baseUrl }: { baseUrl: string },
  {
    timeouts,
    ...options
  }: Partial<Omit<OpenAiProviderOptions, "timeouts">> & { timeouts?: Partial<Timeouts> } = {},
) =>
  createOpenAiProvider({
    name: "test",
    baseUrl,
    apiKey,
    log: silentLog,
    maxRetries: 0,
    ...options,
    timeouts: { ...defaultTimeouts, ...timeouts },
  });

/** A question to `model`. */
export const question = (
  content: string,
  { model = "kimi-k2.5", ...parameters }: Record<string, unknown> = {},
) => ({ model, messages: [{ role: "user", content }], parameters }) as ChatRequest;

/** Options of a caller who stays. */
export const patient = () => ({ signal: new AbortController().signal });

/** Reads a stream to its end. */
export const collect = async (events: AsyncIterable<ChatEvent>) => {
  const deltas: string[] = [];
  for await (const event of events) {
    if (event.type === "done") return { deltas, content: deltas.join(""), done: event };
    deltas.push(event.content);
  }
  throw new Error("the stream ended without a done event");
};

/** What `work` is rejected with. */
export const rejection = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    (value) => {
      throw new Error(`expected a rejection, got ${JSON.stringify(value)}`);
    },
    (error: unknown) => error,
  );

/** The upstream error that `work` is rejected with. */
export const failure = async (work: Promise<unknown>): Promise<UpstreamError> => {
  const error = await rejection(work);
  if (error instanceof UpstreamError) return error;
  throw error;
};

/** The reason of that error. */
export const reasonOf = async (work: Promise<unknown>): Promise<UpstreamReason> =>
  (await failure(work)).reason;
