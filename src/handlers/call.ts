import type { Drain } from "../drain.ts";
import type { CallService, IncomingCall } from "../services/call.ts";

interface Needs {
  calls: CallService;
  drain: Drain;
}

/** The headers of every answer of a model: which app, and which model at which provider. */
const headersOf = (
  { id, key }: Pick<IncomingCall, "id" | "key">,
  answer: {
    contentType: string;
    model: string;
    provider: string;
    cache: string | undefined;
    headers: Record<string, string>;
  },
) => {
  const headers: Record<string, string> = {
    ...answer.headers,
    "content-type": answer.contentType,
    "x-request-id": id,
    "x-llmops-app": key.appId,
    "x-llmops-model": encodeURIComponent(answer.model),
    "x-llmops-provider": encodeURIComponent(answer.provider),
    // A key in `x-api-key` does not tell a cache that the answer is one caller's, as `Authorization` would.
    "cache-control": "no-store",
    // A proxy that buffers would turn a stream into one piece.
    "x-accel-buffering": "no",
  };
  if (answer.cache) headers["x-llmops-cache"] = answer.cache;
  return headers;
};

/** `POST /v1/…`: the answer of a model, as it is. */
export async function callModel(
  { calls, drain }: Needs,
  { signal, ...call }: Omit<IncomingCall, "ended">,
): Promise<Response> {
  const tracked = drain.track(signal);
  try {
    const answer = await calls.call({ ...call, signal: tracked.signal, ended: tracked.release });
    return new Response(answer.body, { headers: headersOf(call, answer) });
  } catch (error) {
    tracked.release();
    throw error;
  }
}
