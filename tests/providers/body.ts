import { type Body, upstreamBody } from "../../src/gateway/body.ts";
import type { ParameterRules, Target } from "../../src/gateway/target.ts";
import { anthropicDialect } from "../../src/providers/anthropic-dialect.ts";
import type { Json } from "../../src/providers/json.ts";
import { openaiDialect } from "../../src/providers/openai-dialect.ts";

/** What a provider of this dialect is sent for `request`, parsed; the model is its upstream name. */
export function sentTo(
  dialect: "openai" | "anthropic",
  upstreamName: string,
  { operation, request, rules = {} }: { operation: Body["operation"]; request: Json; rules?: ParameterRules },
): Record<string, unknown> {
  const target: Target = {
    name: "model",
    upstreamName,
    rules,
    prices: [],
    outputTokensMax: undefined,
    imageTokensMax: undefined,
    provider: {
      name: "provider",
      dialect,
      baseUrl: "https://models.example",
      apiKey: "x",
      headers: {},
      timeouts: { connectMs: 1, firstByteMs: 1, idleMs: 1, totalMs: 1 },
      concurrencyMax: undefined,
      local: false,
      proxied: false,
      keyless: false,
    },
  };
  const body = {
    operation,
    text: JSON.stringify(request),
    parsed: request,
    stream: request.stream === true,
    includeUsage: false,
  };
  return JSON.parse(
    upstreamBody(body, target, dialect === "openai" ? openaiDialect : anthropicDialect).text,
  ) as Record<string, unknown>;
}
