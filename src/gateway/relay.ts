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
  let waiting: readonly Frame[] | undefined = frames;
  let over = false;
  let complete = false;
  let sawDone = false;

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

  /** What the caller gets for one event. */
  const pass = (frame: Frame, out: (Uint8Array | string)[]) => {
    if (frame.data === undefined) {
      if (!translator) out.push(frame.raw);
      return;
    }
    const data = dataOf(frame);
    const onlyUsage = reader.event(data, frame.name);
    if (reader.state.error !== undefined) throw failed(reader.state.error);
    if (translator) {
      for (const { event, data: text } of translator.event(data, frame.name)) {
        out.push(`${event === undefined ? "" : `event: ${event}\n`}data: ${text}\n\n`);
      }
    } else if (!onlyUsage || includeUsage) out.push(frame.raw);
    if (data === "[DONE]" || frame.name === "message_stop") sawDone = true;
  };

  const last = async (out: (Uint8Array | string)[]) => {
    if (!reader.state.ended) throw new UpstreamError("cut");
    if (translator) {
      for (const { event, data } of translator.end()) {
        out.push(`${event === undefined ? "" : `event: ${event}\n`}data: ${data}\n\n`);
      }
    } else if (!sawDone && shape === "chat") out.push(doneText);
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
      let piece: Uint8Array | undefined;
      let next = waiting;
      waiting = undefined;
      if (!next) {
        piece = await nextPiece();
        const rest = piece ? undefined : scanner.end();
        next = piece ? scanner.push(piece) : rest ? [rest] : [];
      }
      for (const frame of next) {
        pass(frame, out);
        // Nothing that comes after its end belongs to the answer.
        if (sawDone) break;
      }
      if (sawDone || (piece === undefined && next !== frames)) await last(out);
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
      async pull(controller) {
        try {
          for (;;) {
            const out = over ? [] : await step();
            const bytes = joined(out);
            if (bytes) {
              sent?.(bytes, over && complete);
              controller.enqueue(bytes);
            }
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
