import type { AccessChanges } from "../auth/access-cache.ts";
import type { Guard } from "../database/health.ts";
import type { Sql } from "../database/pool.ts";
import { FailError } from "../errors/app-error.ts";
import type { Price, Route, Target, TargetProvider } from "../gateway/target.ts";
import type { Keyring } from "../keyring/keyring.ts";
import type { Log } from "../log.ts";
import { shippedPrices } from "../metering/price-table.ts";
import { echoModel } from "../providers/echo.ts";
import type { Timeouts } from "../providers/transport.ts";
import { mapSoon, type Soon } from "../soon.ts";
import { listUsableModel, type Model } from "../sql/model.ts";
import { listAllPrice, type PriceRow } from "../sql/price.ts";
import { listUsableProvider, type Provider } from "../sql/provider.ts";

/** What a provider's key and headers are sealed for: nothing else opens them. */
export const sealContext = (what: "key" | "headers", providerId: string): string =>
  `provider ${what} ${providerId}`;

/** Every model that can be called, by its name. */
export interface Registry {
  /** Where a model leads; `undefined` where there is none of this name, or it is disabled. */
  resolve(name: string): Soon<Route | undefined>;
  /** Everything that {@link resolve} knows. */
  all(): Soon<ReadonlyMap<string, Route>>;
}

/** The provider that the settings name. */
export interface DefaultProvider {
  apiKey: string | undefined;
  baseUrl: string;
  models: readonly string[];
  timeouts: Timeouts;
  proxied: boolean;
}

/** The name of the settings' provider, in records and answers. */
export const defaultProviderName = "default";

const toPrice = (row: PriceRow): Price => ({
  validFrom: row.valid_from,
  abovePromptTokens: row.above_prompt_tokens,
  currency: row.currency,
  prompt: row.prompt,
  cached: row.cached ?? undefined,
  cacheWrite: row.cache_write ?? undefined,
  cacheWriteLong: row.cache_write_long ?? undefined,
  completion: row.completion,
  reasoning: row.reasoning ?? undefined,
  source: row.source,
});

/** The echo costs nothing, and that is its price. */
const freeOfCharge: Price = {
  validFrom: new Date(0),
  abovePromptTokens: 0,
  currency: "USD",
  prompt: "0",
  cached: undefined,
  cacheWrite: undefined,
  cacheWriteLong: undefined,
  completion: "0",
  reasoning: undefined,
  source: "built in",
};

const single = (target: Target): Route => ({ routing: "ordered", targets: [{ target, weight: 1 }] });

/** A provider's limits, with the installation's where it has none of its own. */
export const timeoutsOf = (
  { connect, first_byte, idle, total }: Provider["timeouts"],
  general: Timeouts,
): Timeouts => ({
  connectMs: connect === undefined ? general.connectMs : connect * 1000,
  firstByteMs: first_byte === undefined ? general.firstByteMs : first_byte * 1000,
  idleMs: idle === undefined ? general.idleMs : idle * 1000,
  totalMs: total === undefined ? general.totalMs : total * 1000,
});

/** A stored provider, ready to be asked. A secret that does not open is as good as none, and an error in the log. */
export function toTargetProvider(
  provider: Provider,
  { keyring, general, log }: { keyring: Keyring; general: DefaultProvider; log: Log },
): TargetProvider {
  const open = (what: "key" | "headers", sealed: Uint8Array | null): string | undefined => {
    if (!sealed) return undefined;
    try {
      return keyring.open(sealed, sealContext(what, provider.id));
    } catch (error) {
      log.error("a provider's secret does not open", { provider: provider.name, what }, error);
      return undefined;
    }
  };
  return {
    name: provider.name,
    dialect: provider.dialect,
    baseUrl: provider.base_url,
    apiKey: open("key", provider.key_sealed),
    headers: JSON.parse(open("headers", provider.headers_sealed) ?? "{}"),
    timeouts: timeoutsOf(provider.timeouts, general.timeouts),
    concurrencyMax: provider.concurrency_max ?? undefined,
    local: provider.local,
    proxied: general.proxied && !provider.local,
    keyless: provider.local,
  };
}

/** The settings' provider, ready to be asked. Whoever sets the address of a service may set one of their own network. */
export const toDefaultTarget = ({ apiKey, baseUrl, timeouts, proxied }: DefaultProvider): TargetProvider => ({
  name: defaultProviderName,
  dialect: "openai",
  baseUrl: baseUrl.replace(/\/+$/, ""),
  apiKey,
  headers: {},
  timeouts,
  concurrencyMax: undefined,
  local: true,
  proxied,
  keyless: false,
});

const echoProvider = (timeouts: Timeouts): TargetProvider => ({
  name: echoModel,
  dialect: "echo",
  baseUrl: "",
  apiKey: undefined,
  headers: {},
  timeouts,
  concurrencyMax: undefined,
  local: true,
  proxied: false,
  keyless: true,
});

const routeOf = (routes: ReadonlyMap<string, Route>, name: string): Route | undefined => routes.get(name);

/**
 * Creates the registry: what the settings name, the echo, and what is registered, which goes before. It is kept in memory; a
 * change counts in every process as soon as that of a key does.
 */
export function createRegistry({
  sql,
  keyring,
  changes,
  general,
  guard,
  log,
}: {
  sql: Sql;
  keyring: Keyring;
  changes: Pick<AccessChanges, "cache">;
  general: DefaultProvider;
  /** Makes functions end with {@link FailError} while the database is away. */
  guard: Guard;
  log: Log;
}): Registry {
  const builtIn = toDefaultTarget(general);

  const targetOf = (
    name: string,
    provider: TargetProvider,
    { upstream, model, prices = [] }: { upstream: string; model?: Model; prices?: readonly Price[] },
  ): Target => ({
    name,
    provider,
    upstreamName: upstream,
    rules: model?.parameter_rules ?? {},
    prices:
      provider.dialect === "echo"
        ? [freeOfCharge]
        : prices.length > 0
          ? prices
          : shippedPrices(provider, upstream),
    outputTokensMax: model?.output_tokens_max ?? undefined,
    imageTokensMax: model?.image_tokens_max ?? undefined,
  });

  /** What is there without being registered. */
  const builtInRoutes = (): Map<string, Route> =>
    new Map([
      ...general.models.map((name) => [name, single(targetOf(name, builtIn, { upstream: name }))] as const),
      [
        echoModel,
        single(targetOf(echoModel, echoProvider(general.timeouts), { upstream: echoModel })),
      ] as const,
    ]);

  const load = async (): Promise<ReadonlyMap<string, Route>> => {
    const [providers, models, prices] = await Promise.all([
      listUsableProvider(sql),
      listUsableModel(sql),
      listAllPrice(sql),
    ]);
    const ready = new Map(
      providers.map((provider) => [provider.id, toTargetProvider(provider, { keyring, general, log })]),
    );
    const routes = new Map<string, Route>(
      general.models.map((name) => [name, single(targetOf(name, builtIn, { upstream: name }))]),
    );
    routes.set(
      echoModel,
      single(targetOf(echoModel, echoProvider(general.timeouts), { upstream: echoModel })),
    );
    for (const model of models) {
      if (model.upstream_name === null) continue;
      const provider = model.provider_id === null ? builtIn : ready.get(model.provider_id);
      if (!provider) {
        routes.delete(model.name);
        continue;
      }
      const own = prices.filter(({ model_id }) => model_id === model.id).map(toPrice);
      const target = targetOf(model.name, provider, { upstream: model.upstream_name, model, prices: own });
      routes.set(model.name, single(target));
    }
    // Lists last: what they name is known by now, and is no list itself.
    for (const { name, targets, routing } of models.filter(({ upstream_name }) => upstream_name === null)) {
      const known = targets.flatMap(({ model, weight = 1 }) => {
        const target = routes.get(model)?.targets[0]?.target;
        return target ? [{ target, weight }] : [];
      });
      if (known.length > 0) routes.set(name, { routing, targets: known });
    }
    return routes;
  };

  const guarded = guard({ load });
  const cache = changes.cache(async () => ({ value: await guarded.load(), subjects: ["registry"] }));
  const read = async (asked: Promise<ReadonlyMap<string, Route> | undefined>) => {
    try {
      return (await asked) ?? builtInRoutes();
    } catch (error) {
      // What needs no database is there without it.
      if (error instanceof FailError) return builtInRoutes();
      throw error;
    }
  };
  const all = () => {
    const known = cache.get("all");
    return known instanceof Promise ? read(known) : (known ?? builtInRoutes());
  };
  return {
    all,
    resolve: (name) => mapSoon(all(), routeOf, name),
  };
}
