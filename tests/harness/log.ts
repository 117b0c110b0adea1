import { createLog, type Log } from "../../src/log.ts";

/** A log that a test can read and wait for. */
export interface TestLog {
  log: Log;
  /** Every line so far, as one text. */
  text: () => string;
  /** Resolves once a line with this text has been written, from now on. */
  next: (part: string) => Promise<void>;
}

/** Creates a log of JSON lines. */
export function createTestLog(): TestLog {
  let text = "";
  const waiting = new Set<{ part: string; resolve: () => void }>();
  const log = createLog({
    level: "debug",
    format: "json",
    write(line) {
      text += line;
      for (const each of waiting) {
        if (!line.includes(each.part)) continue;
        waiting.delete(each);
        each.resolve();
      }
    },
  });
  return {
    log,
    text: () => text,
    next: (part) => new Promise((resolve) => waiting.add({ part, resolve })),
  };
}
