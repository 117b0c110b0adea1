/** Most of an answer that is kept, in characters. */
export const contentMax = 1024 * 1024;

/** Collects the text of an answer, up to a limit, and counts all of it. */
export interface TextBudget {
  /** What of `text` is still to be kept. */
  take(text: string): string;
  /** UTF-8 bytes of all that was written, kept or not. */
  readonly bytes: number;
  readonly truncated: boolean;
}

/** Creates a budget for one answer. */
export function createTextBudget(max = contentMax): TextBudget {
  let left = max;
  let bytes = 0;
  let truncated = false;
  return {
    take(text) {
      bytes += Buffer.byteLength(text);
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
