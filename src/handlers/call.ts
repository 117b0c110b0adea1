import type { KeyPrincipal } from "../auth/principal.ts";
import type { Drain } from "../drain.ts";
import type { GatewayAnswer } from "../gateway/call.ts";
import { remembered } from "../remembered.ts";
import type { CallService, IncomingCall } from "../services/call.ts";

interface Needs {
  calls: CallService;
  drain: Drain;
}

/** What the answers to a key have in common; to copy headers takes a fifth of the time of putting them together. */
const commonOf = remembered((_: KeyPrincipal) => new Map<string, Headers>());

/** The headers of every answer of a model: which app, and which model at which provider. */
function headersOf(
  key: KeyPrincipal,
  { contentType, model, provider, cache }: Omit<GatewayAnswer, "body">,
): Headers {
  const all = commonOf(key);
  const kind = `${contentType}\n${model}\n${provider}\n${cache}`;
  let headers = all.get(kind);
  if (!headers) {
    headers = new Headers({
      "content-type": contentType,
      "x-llmops-app": key.appId,
      "x-llmops-model": encodeURIComponent(model),
      "x-llmops-provider": encodeURIComponent(provider),
      // A key in `x-api-key` does not tell a cache that the answer is one caller's, as `Authorization` would.
      "cache-control": "no-store",
      // A proxy that buffers would turn a stream into one piece.
      "x-accel-buffering": "no",
      ...(cache && { "x-llmops-cache": cache }),
    });
    all.set(kind, headers);
  }
  return headers;
}

/** `POST /v1/…`: the answer of a model, as it is. */
export async function callModel(
  { calls, drain }: Needs,
  call: IncomingCall,
  signal: AbortSignal,
): Promise<Response> {
  const tracked = drain.track(signal);
  try {
    const { answer, headers } = await calls.call(call, tracked);
    const response = new Response(answer.body, { headers: headersOf(call.key, answer) });
    response.headers.set("x-request-id", call.id);
    for (const name in headers) response.headers.set(name, headers[name] as string);
    return response;
  } catch (error) {
    tracked.release();
    throw error;
  }
}
