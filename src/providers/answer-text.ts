/** Most of an answer that is kept, in characters. */
export const contentMax = 1024 * 1024;

/** Collects the text of an answer, up to a limit, and counts all of it. */
export interface TextBudget {
  /** What of `text` is still to be kept. */
  take(text: string): string;
  /** Makes room for all of `text`, which is not counted; `false` where there is none. */
  hold(text: string): boolean;
  /** Counts `text`, and makes no room for it. */
  count(text: string): void;
  /** UTF-8 bytes of all that was written, kept or not. */
  readonly bytes: number;
  readonly truncated: boolean;
}

/** Creates a budget for one answer. */
export function createTextBudget(max = contentMax): TextBudget {
  let left = max;
  let bytes = 0;
  let truncated = false;
  const count = (text: string) => {
    bytes += Buffer.byteLength(text);
  };
  return {
    count,
    hold(text) {
      const fits = text.length <= left;
      if (fits) left -= text.length;
      else truncated = true;
      return fits;
    },
    take(text) {
      count(text);
      if (text.length <= left) {
        left -= text.length;
        return text;
      }
      truncated = true;
      const kept = text.slice(0, left);
      left = 0;
      return kept;
    },
    get bytes() {
      return bytes;
    },
    get truncated() {
      return truncated;
    },
  };
}
