import { UpstreamError, type UpstreamReason } from "../errors/app-error.ts";

/** Work that can be given up. */
export interface Abortable {
  abort(reason: unknown): void;
}

/** A limit in time that is running. */
export interface Deadline {
  /** It was kept. */
  clear(): void;
}

/** Many limits over one timer: most are cleared long before they are due, and a timer for each costs more than the rest. */
export interface Deadlines {
  /** Aborts `work` with an {@link UpstreamError} in `ms` milliseconds, or up to a tick (25 ms) later. */
  start(ms: number, work: Abortable, reason: UpstreamReason): Deadline;
  /** What `result`, the outcome of `work`, resolves to, where it does so in `ms` milliseconds; see {@link start}. */
  limit<T>(ms: number, work: Abortable, reason: UpstreamReason, result: Promise<T>): Promise<T>;
}

const tickMs = 25;

/** A class, since every call has several: its methods are made once. */
class Running implements Deadline {
  readonly at: number;
  readonly #queue: Set<Running>;
  readonly #work: Abortable;
  readonly #reason: UpstreamReason;

  constructor(queue: Set<Running>, at: number, work: Abortable, reason: UpstreamReason) {
    this.#queue = queue;
    this.at = at;
    this.#work = work;
    this.#reason = reason;
    queue.add(this);
  }

  clear() {
    this.#queue.delete(this);
  }

  end() {
    this.clear();
    this.#work.abort(new UpstreamError(this.#reason));
  }
}

/** Creates the limits of a process. `now` is in milliseconds that only go forward. */
export function createDeadlines({ now }: { now: () => number }): Deadlines {
  /** By their length: those of one length are due in the order in which they were started. */
  const queues = new Map<number, Set<Running>>();
  let timer: Timer | undefined;

  const tick = () => {
    const at = now();
    for (const [ms, queue] of queues) {
      for (const deadline of queue) {
        if (deadline.at > at) break;
        deadline.end();
      }
      if (queue.size === 0) queues.delete(ms);
    }
    if (queues.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };

  const start = (ms: number, work: Abortable, reason: UpstreamReason): Deadline => {
    let queue = queues.get(ms);
    if (!queue) {
      queue = new Set();
      queues.set(ms, queue);
    }
    timer ??= setInterval(tick, tickMs);
    return new Running(queue, now() + ms, work, reason);
  };

  return {
    start,
    async limit(ms, work, reason, result) {
      const deadline = start(ms, work, reason);
      try {
        return await result;
      } finally {
        deadline.clear();
      }
    },
  };
}
