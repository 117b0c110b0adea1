import type { Drain } from "../drain.ts";
import type { GatewayAnswer } from "../gateway/call.ts";
import type { CallService, IncomingCall } from "../services/call.ts";

interface Needs {
  calls: CallService;
  drain: Drain;
}

/** Adds the headers of every answer of a model: which app, and which model at which provider. */
function addHeaders(
  headers: Record<string, string>,
  { id, key }: Pick<IncomingCall, "id" | "key">,
  answer: Pick<GatewayAnswer, "contentType" | "model" | "provider" | "cache">,
): void {
  headers["content-type"] = answer.contentType;
  headers["x-request-id"] = id;
  headers["x-llmops-app"] = key.appId;
  headers["x-llmops-model"] = encodeURIComponent(answer.model);
  headers["x-llmops-provider"] = encodeURIComponent(answer.provider);
  // A key in `x-api-key` does not tell a cache that the answer is one caller's, as `Authorization` would.
  headers["cache-control"] = "no-store";
  // A proxy that buffers would turn a stream into one piece.
  headers["x-accel-buffering"] = "no";
  if (answer.cache) headers["x-llmops-cache"] = answer.cache;
}

/** `POST /v1/…`: the answer of a model, as it is. */
export async function callModel(
  { calls, drain }: Needs,
  call: IncomingCall,
  signal: AbortSignal,
): Promise<Response> {
  const tracked = drain.track(signal);
  try {
    const { answer, headers } = await calls.call(call, { signal: tracked, ended: () => tracked.release() });
    addHeaders(headers, call, answer);
    return new Response(answer.body, { headers });
  } catch (error) {
    tracked.release();
    throw error;
  }
}
