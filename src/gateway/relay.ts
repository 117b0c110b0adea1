import { UpstreamError } from "../errors/app-error.ts";
import type { StreamTranslator } from "../providers/translate/stream.ts";
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
  signal: AbortSignal;
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
 * Most bytes that are read, understood and handed on in one go. Bun collects up to some 2 MiB ahead; a caller that stops
 * reading should not make us understand all of it.
 */
const pieceBytesMax = 64 * 1024;
/** How long an upstream may take to end its body after the answer's end, in milliseconds. */
const giveBackMs = 1000;
const doneText = "data: [DONE]\n\n";
const nothing = new Uint8Array();

/**
 * Passes a stream on, piece by piece, as the caller takes it: a caller that stops reading holds back the upstream. It never
 * ends in silence: what breaks off ends with an error event.
 */
export function relay({
  begun: { answer, scanner, reader, frames, shape },
  translator,
  includeUsage,
  signal,
  renderError,
  ended,
  sent,
  dispose,
}: RelayOptions): ReadableStream<Uint8Array> {
  let over = false;
  let complete = false;
  /** The answer's end has come: what says so is kept until the call is on record. */
  let atEnd = false;
  const ending: (Uint8Array | string)[] = [];
  /** What is wrong with what had come before anybody read. */
  let wrong: { error: unknown } | undefined;

  const finish = (end: StreamEnd): Promise<void> => {
    if (over) return Promise.resolve();
    over = true;
    complete = end.complete;
    signal.removeEventListener("abort", abandoned);
    return ended(end);
  };
  const abandoned = () => {
    if (!(signal.reason instanceof UpstreamError)) void finish({ complete: false, left: true });
    dispose();
  };
  if (signal.aborted) abandoned();
  else signal.addEventListener("abort", abandoned, { once: true });

  /** Takes one event: puts what the caller gets for it into `out`, or where it is the answer's end, keeps it. */
  const pass = (frame: Frame, out: (Uint8Array | string)[]) => {
    if (frame.data === undefined) {
      if (!translator) out.push(frame.raw);
      return;
    }
    const data = dataOf(frame);
    const onlyUsage = reader.event(data, frame.name);
    if (reader.state.error !== undefined) throw failed(reader.state.error);
    if (data === "[DONE]" || frame.name === "message_stop") {
      atEnd = true;
      out = ending;
    }
    if (translator) {
      for (const { event, data: text } of translator.event(data, frame.name)) {
        out.push(`${event === undefined ? "" : `event: ${event}\n`}data: ${text}\n\n`);
      }
    } else if (!onlyUsage || includeUsage) out.push(frame.raw);
  };
  /** Takes events up to the answer's end: nothing that comes after it belongs to the answer. */
  const take = (next: readonly Frame[], out: (Uint8Array | string)[]) => {
    for (const frame of next) {
      if (atEnd) return;
      pass(frame, out);
    }
  };

  const last = async (out: (Uint8Array | string)[]) => {
    if (!reader.state.ended) throw new UpstreamError("cut");
    out.push(...ending);
    if (translator) {
      for (const { event, data } of translator.end()) {
        out.push(`${event === undefined ? "" : `event: ${event}\n`}data: ${data}\n\n`);
      }
    } else if (ending.length === 0 && shape === "chat") out.push(doneText);
    await finish({ complete: true });
  };

  /** What has come and was not looked at yet. */
  let unread: Uint8Array | undefined;
  /** The next of the upstream's bytes, no more of them at once than a caller is likely to take. */
  const nextPiece = async (): Promise<Uint8Array | undefined> => {
    const whole = unread ?? (await answer.read());
    if (!whole || whole.byteLength <= pieceBytesMax) {
      unread = undefined;
      return whole;
    }
    unread = whole.subarray(pieceBytesMax);
    return whole.subarray(0, pieceBytesMax);
  };

  /** Takes the next piece of the upstream's; returns what the caller gets for it. */
  const step = async (): Promise<(Uint8Array | string)[]> => {
    const out: (Uint8Array | string)[] = [];
    try {
      if (wrong) throw wrong.error;
      if (!atEnd) {
        const piece = await nextPiece();
        const rest = piece ? undefined : scanner.end();
        take(piece ? scanner.push(piece) : rest ? [rest] : [], out);
        if (!piece) atEnd = true;
      }
      // What comes before the end does not wait for the records.
      if (atEnd && out.length === 0) await last(out);
    } catch (error) {
      if (over) throw error;
      const reason = signal.aborted ? signal.reason : error;
      out.push(renderError(reason));
      await finish({ complete: false, error: reason });
    }
    return out;
  };

  /** Reads what little may follow the end, so that the connection can be used again. */
  const giveBack = async () => {
    const timer = setTimeout(dispose, giveBackMs);
    try {
      while (await answer.read());
    } catch {
      // A connection that fails now fails nobody.
    } finally {
      clearTimeout(timer);
      dispose();
    }
  };

  return new ReadableStream<Uint8Array>(
    {
      // What has come already goes out with the head of the answer.
      start(controller) {
        const out: (Uint8Array | string)[] = [];
        try {
          if (!over) take(frames, out);
        } catch (error) {
          wrong = { error };
        }
        const bytes = joined(out);
        if (!bytes) return;
        sent?.(bytes, false);
        controller.enqueue(bytes);
      },
      async pull(controller) {
        try {
          for (;;) {
            const out = over ? [] : await step();
            const bytes = joined(out);
            if (bytes || over) sent?.(bytes ?? nothing, over && complete);
            if (bytes) controller.enqueue(bytes);
            if (over) {
              controller.close();
              if (reader.state.ended) void giveBack();
              else dispose();
            }
            if (over || bytes) return;
          }
        } catch (error) {
          // The caller has left: nobody reads this any more.
          dispose();
          controller.error(error);
        }
      },
      cancel() {
        void finish({ complete: false, left: true });
        dispose();
      },
    },
    { highWaterMark: 0 },
  );
}

/** One piece of many, with as little copying as can be; `undefined` for nothing. */
function joined(out: readonly (Uint8Array | string)[]): Uint8Array | undefined {
  if (out.length === 0) return undefined;
  const pieces = out.map((each) => (typeof each === "string" ? encoder.encode(each) : each));
  return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
}
