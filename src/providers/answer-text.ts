/** Most of an answer that is kept, in characters. */
export const contentMax = 1024 * 1024;

/** Collects the text of an answer, up to a limit, and counts all of it. A class: one is made for every call. */
export class TextBudget {
  #left: number;
  #bytes = 0;
  #truncated = false;

  constructor(max = contentMax) {
    this.#left = max;
  }

  /** What of `text` is still to be kept. */
  take(text: string): string {
    this.count(text);
    if (this.hold(text)) return text;
    const kept = text.slice(0, this.#left);
    this.#left = 0;
    return kept;
  }

  /** Makes room for all of `text`, which is not counted; `false` where there is none. */
  hold(text: string): boolean {
    const fits = text.length <= this.#left;
    if (fits) this.#left -= text.length;
    else this.#truncated = true;
    return fits;
  }

  /** Counts `text`, and makes no room for it. */
  count(text: string): void {
    this.#bytes += Buffer.byteLength(text);
  }

  /** UTF-8 bytes of all that was written, kept or not. */
  get bytes(): number {
    return this.#bytes;
  }

  get truncated(): boolean {
    return this.#truncated;
  }
}
