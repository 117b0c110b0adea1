import { UpstreamError } from "../errors/app-error.ts";
import type { StreamTranslator } from "../providers/translate/stream.ts";
import type { CallSignal } from "../signal.ts";
import { dataOf, failed, type StreamedAnswer } from "./ask.ts";
import type { Frame } from "./sse.ts";

/** How a stream ended: well, broken off, or given up by its caller. */
export type StreamEnd =
  | { complete: true }
  | { complete: false; error: unknown }
  | { complete: false; left: true };

export interface RelayOptions {
  begun: StreamedAnswer;
  /** Into the caller's dialect; `undefined` where it is the upstream's: then bytes are passed on as they are. */
  translator: StreamTranslator | undefined;
  /** Whether the caller asked for the chunk that carries usage and nothing else. */
  includeUsage: boolean;
  /** The caller's, or the service's own end; aborts with an {@link UpstreamError} in the latter case. */
  signal: CallSignal;
  /** An error as the caller's dialect puts it into a stream. */
  renderError: (error: unknown) => string;
  /** Told exactly once, and waited for before the caller can see the end. */
  ended: (end: StreamEnd) => Promise<void>;
  /** Sees all that the caller gets, in order, and which is the last of a complete answer. */
  sent: ((piece: Uint8Array, last: boolean) => void) | undefined;
  /** Closes the upstream connection, unless its answer was read to the end: then it serves the next call. */
  dispose: () => void;
}

const encoder = new TextEncoder();
/**
 * Most bytes that are understood and handed on in one go, but for an event that is longer: a caller that stops reading should not
 * make us understand all that is here.
 */
const handedBytesMax = 64 * 1024;
/**
 * How much goes out with the head of an answer, in bytes: no more is understood before. Bun keeps less than this until the turn is
 * over, and what comes next with it.
 */
const firstBytes = 256;
/** How long an upstream may take to end its body after the answer's end, in milliseconds. */
const giveBackMs = 1000;
const doneText = "data: [DONE]\n\n";
const nothing = new Uint8Array();

/** What the caller gets: an event as it came, or as it was made. */
type Passed = Uint8Array | string;

const eventText = (name: string | undefined, data: string) =>
  `${name === undefined ? "" : `event: ${name}\n`}data: ${data}\n\n`;

/** A class, since one is made for every stream: its methods are made once. */
class Relay implements Bun.UnderlyingSource<Uint8Array> {
  readonly #it: RelayOptions;
  #over = false;
  #complete = false;
  /** The answer's end has come: what says so is kept until the call is on record. */
  #atEnd = false;
  readonly #ending: Passed[] = [];
  /** What is wrong with what had come before anybody read. */
  #wrong: { error: unknown } | undefined;

  constructor(it: RelayOptions) {
    this.#it = it;
    if (it.signal.aborted) this.handleEvent();
    else it.signal.addEventListener("abort", this);
  }

  /** The call has ended before its time. */
  handleEvent(): void {
    const { signal, dispose } = this.#it;
    try {
      if (!(signal.reason instanceof UpstreamError)) this.#leave();
    } finally {
      dispose();
    }
  }

  /** The caller has left. What is here and was not understood was written for it all the same, and is billed. */
  #leave(): void {
    if (this.#over) return;
    try {
      this.#take([], Number.POSITIVE_INFINITY);
    } catch {
      // What is wrong with it is nobody's concern any more.
    }
    void this.#finish({ complete: false, left: true });
  }

  #finish(end: StreamEnd): Promise<void> {
    if (this.#over) return Promise.resolve();
    const { signal, ended } = this.#it;
    this.#over = true;
    this.#complete = end.complete;
    signal.removeEventListener("abort", this);
    return ended(end);
  }

  /** Takes one event: puts what the caller gets for it into `out`, or where it is the answer's end, keeps it. */
  #pass(frame: Frame, out: Passed[]): void {
    const {
      begun: { reader },
      translator,
      includeUsage,
    } = this.#it;
    if (frame.data === undefined) {
      if (!translator) out.push(frame.raw);
      return;
    }
    const data = dataOf(frame);
    const onlyUsage = reader.event(data, frame.name);
    if (reader.state.error !== undefined) throw failed(reader.state.error);
    let to = out;
    if (data === "[DONE]" || frame.name === "message_stop") {
      this.#atEnd = true;
      to = this.#ending;
    }
    if (translator) {
      for (const { event, data: text } of translator.event(data, frame.name)) to.push(eventText(event, text));
    } else if (!onlyUsage || includeUsage) to.push(frame.raw);
  }

  /**
   * Takes the events that are here, until they have so many bytes, or up to the answer's end: nothing that comes after it belongs to
   * the answer. Returns whether they were worth something to the caller, or were the last.
   */
  #take(out: Passed[], bytesMax: number): boolean {
    const { scanner } = this.#it.begun;
    for (let bytes = 0; !this.#atEnd && (bytes < bytesMax || out.length === 0); ) {
      const frame = scanner.next();
      if (!frame) break;
      bytes += frame.raw.byteLength;
      this.#pass(frame, out);
    }
    return this.#atEnd || out.length > 0;
  }

  /** Puts what the caller gets next into `out`. */
  async #fill(out: Passed[]): Promise<void> {
    const {
      begun: { answer, scanner },
      signal,
      renderError,
    } = this.#it;
    try {
      if (this.#wrong) throw this.#wrong.error;
      while (!this.#take(out, handedBytesMax)) {
        const piece = await answer.read();
        if (piece) scanner.push(piece);
        else {
          const rest = scanner.end();
          if (rest) this.#pass(rest, out);
          this.#atEnd = true;
        }
      }
      // What comes before the end does not wait for the records.
      if (out.length === 0) await this.#last(out);
    } catch (error) {
      if (this.#over) throw error;
      const reason = signal.aborted ? signal.reason : error;
      out.push(renderError(reason));
      await this.#finish({ complete: false, error: reason });
    }
  }

  /** Puts what says that the answer is complete into `out`. Resolves once the call is on record. */
  async #last(out: Passed[]): Promise<void> {
    const {
      begun: { reader, shape },
      translator,
    } = this.#it;
    if (!reader.state.ended) throw new UpstreamError("cut");
    out.push(...this.#ending);
    if (translator) for (const { event, data } of translator.end()) out.push(eventText(event, data));
    else if (this.#ending.length === 0 && shape === "chat") out.push(doneText);
    await this.#finish({ complete: true });
  }

  /** Reads what little may follow the end, so that the connection can be used again. */
  async #giveBack(): Promise<void> {
    const {
      begun: { answer },
      dispose,
    } = this.#it;
    let timer: Timer | undefined;
    try {
      const first = answer.read();
      if (first === undefined) return;
      timer = setTimeout(dispose, giveBackMs);
      for (let next = await first; next; next = await answer.read());
    } catch {
      // A connection that fails now fails nobody.
    } finally {
      clearTimeout(timer);
      dispose();
    }
  }

  #hand(controller: ReadableStreamDefaultController<Uint8Array>, out: readonly Passed[]): void {
    const { sent } = this.#it;
    const bytes = joined(out);
    if (bytes || this.#over) sent?.(bytes ?? nothing, this.#over && this.#complete);
    if (bytes) controller.enqueue(bytes);
  }

  /** The first of what has come already goes out with the head of the answer. */
  start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    if (this.#over) return;
    const out: Passed[] = [];
    try {
      this.#take(out, firstBytes);
    } catch (error) {
      this.#wrong = { error };
    }
    this.#hand(controller, out);
  }

  async pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    const {
      begun: { reader },
      dispose,
    } = this.#it;
    try {
      const out: Passed[] = [];
      if (!this.#over) await this.#fill(out);
      this.#hand(controller, out);
      if (!this.#over) return;
      controller.close();
      if (reader.state.ended) void this.#giveBack();
      else dispose();
    } catch (error) {
      // The caller has left: nobody reads this any more.
      dispose();
      controller.error(error);
    }
  }

  cancel(): void {
    try {
      this.#leave();
    } finally {
      this.#it.dispose();
    }
  }
}

/**
 * Passes a stream on, piece by piece, as the caller takes it: a caller that stops reading holds back the upstream. It never
 * ends in silence: what breaks off ends with an error event.
 */
export const relay = (options: RelayOptions): ReadableStream<Uint8Array> =>
  new ReadableStream(new Relay(options), { highWaterMark: 0 });

const bytesOf = (passed: Passed): Uint8Array =>
  typeof passed === "string" ? encoder.encode(passed) : passed;

/** Views that lie one after the other as one view of them all; `undefined` where they do not. */
function adjoining(views: readonly Uint8Array[]): Uint8Array | undefined {
  const { buffer, byteOffset: start } = views[0] as Uint8Array;
  let end = start;
  for (const view of views) {
    if (view.byteOffset !== end || view.buffer !== buffer) return undefined;
    end += view.byteLength;
  }
  return new Uint8Array(buffer, start, end - start);
}

/** One piece of many, with as little copying as can be; `undefined` for nothing. */
function joined(out: readonly Passed[]): Uint8Array | undefined {
  const [first] = out;
  if (first === undefined) return undefined;
  if (out.length === 1) return bytesOf(first);
  const pieces = out.map(bytesOf);
  return adjoining(pieces) ?? Buffer.concat(pieces);
}
