/** A limit in time that is running. */
export interface Deadline {
  /** It was kept. */
  clear(): void;
}

/** Many limits over one timer: most are cleared long before they are due, and a timer for each costs more than the rest. */
export interface Deadlines {
  /** Calls `due` in `ms` milliseconds, or up to a tick (25 ms) later. */
  start(ms: number, due: () => void): Deadline;
}

const tickMs = 25;

interface Running extends Deadline {
  at: number;
  due: () => void;
}

/** Creates the limits of a process. `now` is in milliseconds that only go forward. */
export function createDeadlines({ now }: { now: () => number }): Deadlines {
  /** By their length: those of one length are due in the order in which they were started. */
  const queues = new Map<number, Set<Running>>();
  let timer: Timer | undefined;
  let running = 0;

  const tick = () => {
    const at = now();
    for (const [ms, queue] of queues) {
      for (const deadline of queue) {
        if (deadline.at > at) break;
        deadline.clear();
        deadline.due();
      }
      if (queue.size === 0) queues.delete(ms);
    }
    if (running > 0) return;
    clearInterval(timer);
    timer = undefined;
  };

  return {
    start(ms, due) {
      let queue = queues.get(ms);
      if (!queue) {
        queue = new Set();
        queues.set(ms, queue);
      }
      const own = queue;
      const deadline: Running = {
        at: now() + ms,
        due,
        clear() {
          if (own.delete(deadline)) running--;
        },
      };
      own.add(deadline);
      running++;
      timer ??= setInterval(tick, tickMs);
      return deadline;
    },
  };
}
