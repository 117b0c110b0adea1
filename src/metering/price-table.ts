import type { Price, TargetProvider } from "../gateway/target.ts";
import { shipped } from "./prices.ts";

/** The host of a base URL; empty where it has none. */
const hostOf = (baseUrl: string): string => URL.parse(baseUrl)?.hostname ?? "";

/**
 * The shipped prices of a model at a provider, by the host of its base URL and the provider's own name of the model; a dated
 * name (`gpt-4.1-2025-04-14`) has the price of the name without its date. Nothing for what is not in the table: that is
 * unpriced. A registered model's own prices go before these.
 */
export function shippedPrices(
  { baseUrl }: Pick<TargetProvider, "baseUrl">,
  upstreamName: string,
): readonly Price[] {
  const host = hostOf(baseUrl);
  const names = [upstreamName, upstreamName.replace(/-(?:\d{8}|\d{4}-\d{2}-\d{2})$/, "")];
  return shipped
    .filter(({ hosts, model }) => hosts.includes(host) && names.includes(model))
    .map(({ price }) => price);
}
