import { errorChain, type Log } from "./log.ts";

/** How long an end waits for what is under way, in milliseconds. */
const patienceMs = 1000;

/**
 * Does something now and again and again, `ms` milliseconds after it was done; what goes wrong is logged, and tried again.
 * Disposing of it waits for what is under way.
 */
export function every(
  ms: number,
  { name, log }: { name: string; log: Log },
  work: () => Promise<unknown>,
): AsyncDisposable {
  let timer: Timer | undefined;
  let ended = false;
  const run = async (): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (!ended)
        log.warn("regular work failed and is tried again", { work: name, cause: errorChain(error) });
    }
    if (ended) return;
    timer = setTimeout(() => {
      running = run();
    }, ms);
  };
  let running = run();
  return {
    async [Symbol.asyncDispose]() {
      ended = true;
      clearTimeout(timer);
      const limit = Promise.withResolvers<void>();
      const late = setTimeout(limit.resolve, patienceMs);
      await Promise.race([running, limit.promise]);
      clearTimeout(late);
    },
  };
}
