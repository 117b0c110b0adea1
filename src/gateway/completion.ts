import { UpstreamError } from "../errors/app-error.ts";
import type { Log } from "../log.ts";
import { echoModel } from "../providers/echo.ts";
import type { CallOptions, ChatAnswer, ChatEvent, ChatRequest, Provider } from "../providers/provider.ts";

/** A question; without `model` the first configured model that exists answers it. */
export type CompletionRequest = Omit<ChatRequest, "model"> & { model?: string };

/**
 * An answer that has begun: its first event is already here. It ends upstream when the loop over `events` ends or is
 * left, when `cancel` is called, when it is disposed, or when the caller's signal aborts; do one of these.
 */
export interface CompletionStream extends AsyncDisposable {
  /** The model that was asked, which the provider may spell differently in the `done` event. */
  readonly model: string;
  /** Can be read once. @throws {UpstreamError} where the answer breaks off; the signal's reason where it aborted. */
  readonly events: AsyncIterableIterator<ChatEvent, undefined>;
  /** Ends the upstream call; resolves when it is closed. Harmless when it is over. */
  cancel(): Promise<void>;
}

/** Answers questions from the models that are configured. */
export interface CompletionGateway {
  /** The whole answer. @throws {UpstreamError} see {@link Provider}; the signal's reason where it aborted. */
  complete(request: CompletionRequest, options: CallOptions): Promise<ChatAnswer>;
  /** Resolves with the first event, so that what fails before it can still be answered plainly. Throws alike. */
  stream(request: CompletionRequest, options: CallOptions): Promise<CompletionStream>;
}

export interface CompletionGatewayOptions {
  provider: Provider;
  /** Answers the model `echo`, wherever that is named. */
  echo: Provider;
  /** In order of preference; may name `echo`. */
  models: readonly string[];
  log: Log;
  /** Milliseconds. */
  clock: () => number;
  /** How long the list of models may take before an error does without it, in milliseconds. */
  listMs?: number;
}

/** How long a model that does not exist is passed over, in milliseconds. */
const missingMs = 10 * 60_000;

/** Most names that an error lists. */
const namesMax = 20;

const isMissing = (error: unknown) => error instanceof UpstreamError && error.reason === "model_not_found";

/** Takes the first event of a stream, which starts it. */
const begin = async (model: string, provider: Provider, request: ChatRequest, { signal }: CallOptions) => {
  const own = new AbortController();
  const source = provider.stream(request, { signal: AbortSignal.any([signal, own.signal]) });
  const iterator = source[Symbol.asyncIterator]();
  let first: IteratorResult<ChatEvent> | undefined = await iterator.next();

  const cancel = async () => {
    first = undefined;
    // The abort comes first: `return` alone would wait for a pending `next`.
    own.abort(new DOMException("The stream was cancelled", "AbortError"));
    await iterator.return?.();
  };
  const next = async (): Promise<IteratorResult<ChatEvent, undefined>> => {
    const result = first ?? (await iterator.next());
    first = undefined;
    return result.done ? { done: true, value: undefined } : result;
  };
  const events: CompletionStream["events"] = {
    next,
    return: async () => {
      await cancel();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]: () => events,
  };
  return { model, events, cancel, [Symbol.asyncDispose]: cancel };
};

/**
 * Creates the gateway. Where a provider says that a model does not exist, the next of `models` is asked instead, and
 * for 10 minutes that model is passed over, which is logged once. A model that the caller names is asked alone.
 */
export const createCompletionGateway = ({
  provider,
  echo,
  models,
  log,
  clock,
  listMs = 5_000,
}: CompletionGatewayOptions): CompletionGateway => {
  const missingUntil = new Map<string, number>();
  const isPassedOver = (model: string) => (missingUntil.get(model) ?? Number.NEGATIVE_INFINITY) > clock();

  const passOver = (model: string) => {
    if (isPassedOver(model)) return;
    missingUntil.set(model, clock() + missingMs);
    log.warn("model does not exist and is passed over", {
      provider: provider.name,
      model,
      minutes: missingMs / 60_000,
    });
  };

  const noModel = async (asked: readonly string[], { signal }: CallOptions, cause: unknown) => {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(listMs)]);
    const names = await provider.listModels({ signal: limited }).catch(() => []);
    signal.throwIfAborted();
    const available = names.slice(0, namesMax).join(", ") || "-";
    return new UpstreamError("model_not_found", { params: { asked: asked.join(", "), available }, cause });
  };

  /** Asks one target after the other until one has the model. */
  const first = async <T>(
    named: string | undefined,
    options: CallOptions,
    ask: (model: string, target: Provider) => Promise<T>,
  ): Promise<T> => {
    const asked = named === undefined ? models : [named];
    let cause: unknown;
    for (const model of asked) {
      if (named === undefined && isPassedOver(model)) continue;
      try {
        return await ask(model, model === echoModel ? echo : provider);
      } catch (error) {
        if (!isMissing(error)) throw error;
        cause = error;
        if (named === undefined) passOver(model);
      }
    }
    throw await noModel(asked, options, cause);
  };

  return {
    complete: ({ model: named, ...request }, options) =>
      first(named, options, (model, target) => target.complete({ ...request, model }, options)),
    stream: ({ model: named, ...request }, options) =>
      first(named, options, (model, target) => begin(model, target, { ...request, model }, options)),
  };
};
