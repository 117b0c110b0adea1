import type { Soon } from "../soon.ts";

/** One request and its answer, of which nothing is read before it is asked for. */
export interface Exchange {
  /** The answer's head. Rejects where none comes, and with the reason of {@link abort}. */
  readonly head: Promise<AnswerHead>;
  /**
   * The next piece of the body; `undefined` at the end, and from then on. A promise only where it has to be waited for, or where
   * the body breaks off: then it rejects. One at a time, after the head.
   */
  read(): Soon<Uint8Array | undefined>;
  /** Gives the answer up, for `reason`: the connection is closed, unless its answer has come to its end. */
  abort(reason: unknown): void;
}

/** What an answer begins with. */
export interface AnswerHead {
  readonly status: number;
  /** What the body is; empty where that is not told. */
  readonly contentType: string;
  readonly headers: Headers;
  /** Size of the body, in bytes, where that is told. */
  readonly length: number | undefined;
}
