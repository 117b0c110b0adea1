import { UpstreamError } from "../errors/app-error.ts";
import type { AnswerHead, Exchange } from "./exchange.ts";

/**
 * An exchange over `fetch`, which goes through the HTTP proxy that the environment names. Redirects are not followed: one would
 * send the conversation to an address that nobody configured.
 */
export function fetchExchange(
  url: string,
  { method, headers, body }: { method: string; headers: Readonly<Record<string, string>>; body: string },
): Exchange {
  const attempt = new AbortController();
  let reader: { read(): Promise<{ done: boolean; value?: Uint8Array | undefined }> } | undefined;
  let done = false;
  const ask = async (): Promise<AnswerHead> => {
    const response = await fetch(url, {
      method,
      headers,
      ...(body !== "" && { body }),
      signal: attempt.signal,
      redirect: "manual",
      // Switches off Bun's own limit (360 s, measured), which would overrule a longer one.
      timeout: false,
    } as RequestInit);
    reader = response.body?.getReader();
    const length = response.headers.get("content-length");
    return {
      status: response.status,
      contentType: response.headers.get("content-type") ?? "",
      headers: response.headers,
      // What was compressed is longer than it says.
      length: length === null || response.headers.has("content-encoding") ? undefined : Number(length),
    };
  };
  return {
    head: ask(),
    async read() {
      if (done || !reader) return undefined;
      try {
        const { done: ended, value } = await reader.read();
        done = ended;
        return value;
      } catch (cause) {
        throw attempt.signal.aborted ? attempt.signal.reason : new UpstreamError("cut", { cause });
      }
    },
    abort: (reason) => attempt.abort(reason),
  };
}
