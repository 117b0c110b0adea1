/** One server-sent event; `data` is sent as JSON. */
export interface ServerEvent {
  event: string;
  data: unknown;
}

/** Where the events of an answer come from, one at a time. */
export type EventWriter = AsyncGenerator<ServerEvent, void, undefined>;

/**
 * An answer of server-sent events (WHATWG HTML, section 9.2), pulled one by one: a caller that stops reading
 * holds back the source. `closed` runs once, whether the events ended or the caller left.
 */
export function eventStream(events: EventWriter, closed: () => Promise<void>): Response {
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await events.next();
        if (done) {
          await closed();
          controller.close();
        } else {
          controller.enqueue(
            encoder.encode(`event: ${value.event}\ndata: ${JSON.stringify(value.data)}\n\n`),
          );
        }
      },
      async cancel() {
        await closed();
        await events.return();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, {
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      "x-accel-buffering": "no",
    },
  });
}
