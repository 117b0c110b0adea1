import { UpstreamError } from "../errors/app-error.ts";
import type { CallSignal } from "../signal.ts";
import { toModels } from "./chat-answer.ts";
import type { Dialect } from "./dialect.ts";
import type { Timeouts, Transport } from "./transport.ts";

/** What of a provider is needed to ask it for its models. */
export interface Listed {
  baseUrl: string;
  apiKey: string | undefined;
  headers: Readonly<Record<string, string>>;
  timeouts: Timeouts;
  local: boolean;
  proxied: boolean;
}

/**
 * The models that a provider's key may use.
 * @throws {UpstreamError} it cannot be asked, or does not answer as it should.
 */
export async function listModels(
  transport: Transport,
  dialect: Dialect,
  provider: Listed,
  signal: CallSignal,
): Promise<string[]> {
  using call = transport.open(signal, provider.timeouts);
  const { url, headers } = dialect.endpoint("models", provider);
  const answer = await call.send(url, { ...provider, method: "GET", headers, streamed: false });
  const body = new TextDecoder().decode(await answer.bytes());
  if (answer.status >= 300) {
    const { status, headers: sent } = answer;
    throw dialect.error({ status, headers: sent, body }, { model: "", apiKey: provider.apiKey });
  }
  try {
    return toModels(JSON.parse(body));
  } catch (cause) {
    throw cause instanceof UpstreamError ? cause : new UpstreamError("malformed", { cause });
  }
}
