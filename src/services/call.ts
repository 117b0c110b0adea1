import { networkOf } from "../address.ts";
import type { KeyPrincipal } from "../auth/principal.ts";
import type { TrackedCall } from "../drain.ts";
import { NotFoundError, type Problem, ValidateError } from "../errors/app-error.ts";
import type { Body } from "../gateway/body.ts";
import type { Gateway, GatewayAnswer } from "../gateway/call.ts";
import { editJson, memberText, raw } from "../gateway/json-edit.ts";
import type { Route } from "../gateway/target.ts";
import { isUuid, type Uuid } from "../id.ts";
import type { Caller, LimitedAllowance, Limiter } from "../limits/limiter.ts";
import { storableText } from "../metering/storable.ts";
import type { Operation } from "../providers/dialect.ts";
import { isObject, type Json, objectOr } from "../providers/json.ts";
import { remembered } from "../remembered.ts";
import { mapSoon, type Soon } from "../soon.ts";
import type { AppConfig } from "../sql/app.ts";
import type { Registry } from "./registry.ts";

/** A call of the data plane, as it came in. */
export interface IncomingCall {
  /** A UUIDv7, which the record will carry. */
  id: Uuid;
  key: KeyPrincipal;
  operation: Operation;
  /** The body, as soon as all of it is here. */
  text: Promise<string>;
  /** The caller's address. */
  ip: string;
  /** What the caller says the call belongs to, beside what stands in the body. */
  session: string | undefined;
  /** Gets, before the call is let in, who says how much is left to it. */
  scope: { limited: Limited | undefined };
  /** An error as the caller's dialect puts it into a stream. */
  renderError: (error: unknown) => string;
}

/** Who says how much is left to a caller, as headers. */
export type Limited = Pick<LimitedAllowance, "left">;

/** Lets app keys call models. */
export type CallService = ReturnType<typeof createCallService>;

const invalid = (field: string, key: Problem["key"], params?: Problem["params"]) =>
  new ValidateError({ [field]: [{ key, ...(params && { params }) }] });

const notFound = (model: string) =>
  new NotFoundError("model.not_found", { params: { model: model.slice(0, 255) } });

/** @throws {NotFoundError} there is no such model. */
function there(route: Route | undefined, model: string): Route {
  if (!route) throw notFound(model);
  return route;
}

/** What a record may hold of a caller's own word: text that can be stored, at most 255 characters. */
const label = (value: unknown): string | null => {
  if (typeof value !== "string" || value === "") return null;
  return storableText(value);
};

/** @throws {ValidateError} not a JSON object, or without what the operation needs. */
function parse(text: string, operation: Operation): Json {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw invalid("body", "validate.json");
  }
  if (!isObject(parsed)) throw invalid("body", "validate.object");
  if (typeof parsed.model !== "string" || parsed.model === "") throw invalid("model", "validate.required");
  if (operation === "embeddings") {
    if (parsed.input === undefined) throw invalid("input", "validate.required");
  } else if (!Array.isArray(parsed.messages) || parsed.messages.length === 0) {
    throw invalid("messages", "validate.required");
  }
  return parsed;
}

/** The names that a key may call: its app, by either name, and what the app's config names. */
export const modelsOf = remembered(({ appId, models, app }: KeyPrincipal): readonly string[] => {
  const { model, targets = [], models: more = [] } = app.config;
  const named = [model, ...targets.map((target) => target.model), ...more];
  const all = ["app", appId, ...new Set(named.filter((name) => name !== undefined))];
  return models.length === 0 ? all : all.filter((name) => models.includes(name));
});

/** An app's parameters under the names of the Anthropic dialect; those that it does not have are left out. */
const messagesParameters: Readonly<Record<string, string>> = {
  temperature: "temperature",
  top_p: "top_p",
  max_tokens: "max_tokens",
  max_completion_tokens: "max_tokens",
  stop: "stop_sequences",
};

/** Further names of a parameter, in either dialect: a lock holds under each of them. */
const furtherNames: Readonly<Record<string, readonly string[]>> = {
  max_tokens: ["max_completion_tokens"],
  max_completion_tokens: ["max_tokens"],
  stop: ["stop_sequences"],
};

/** Whose limits a call is under. */
const limitedBy = ({ keyId, appId, accountId, app }: KeyPrincipal, endUser: string | null): Caller => ({
  keyId,
  appId,
  accountId,
  endUser,
  fit: app.config.fit_budget === true,
});

/** What the app's config adds to a call: its parameters where the caller gives none, and its system prompt first. */
function withConfig(text: string, parsed: Json, operation: Operation, config: AppConfig): string {
  const set: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(config.parameters ?? {})) {
    const key = operation === "messages" ? messagesParameters[name] : name;
    if (key === undefined || key in parsed) continue;
    if (key === "max_tokens" && "max_completion_tokens" in parsed) continue;
    if (key === "max_completion_tokens" && "max_tokens" in parsed) continue;
    set[key] = key === "stop_sequences" && typeof value === "string" ? [value] : value;
  }
  const prompt = config.system_prompt;
  if (prompt) {
    if (operation === "messages") {
      const own = typeof parsed.system === "string" ? [{ type: "text", text: parsed.system }] : parsed.system;
      set.system = own ? [{ type: "text", text: prompt }, ...(Array.isArray(own) ? own : [own])] : prompt;
    } else {
      const first = JSON.stringify({ role: "system", content: prompt });
      set.messages = raw(`[${first},${(memberText(text, "messages") ?? "[]").trimStart().slice(1)}`);
    }
  }
  return Object.keys(set).length === 0 ? text : editJson(text, { set });
}

/** Creates the service. `defaults` are the models that answer for an app whose config names none. */
export function createCallService({
  registry,
  gateway,
  limiter,
  defaults,
}: {
  registry: Registry;
  gateway: Gateway;
  limiter: Limiter;
  defaults: readonly string[];
}) {
  const resolve = (model: string): Soon<Route> => mapSoon(registry.resolve(model), there, model);

  /** Several models as one route; each may itself be a list. */
  const gather = async (
    models: readonly { model: string; weight?: number }[],
    routing: Route["routing"],
  ): Promise<Route> => {
    const targets: Route["targets"][number][] = [];
    for (const { model, weight = 1 } of models) {
      const route = await registry.resolve(model);
      for (const each of route?.targets ?? []) targets.push({ ...each, weight: each.weight * weight });
    }
    if (targets.length === 0) return resolve(models[0]?.model ?? "");
    return { routing, targets };
  };

  const appRoute = ({ model, targets, routing }: AppConfig): Soon<Route> => {
    if (targets) return gather(targets, routing ?? "ordered");
    return model === undefined ? defaultRoute() : resolve(model);
  };
  const defaultRoute = () =>
    gather(
      defaults.map((model) => ({ model })),
      "ordered",
    );

  return {
    /** What the key may name as `model`, in the order in which people look for it. */
    models: modelsOf,

    /** Who says how much is left to a key. */
    limited: (key: KeyPrincipal): Limited => limiter.open(limitedBy(key, null)),

    /**
     * Makes a call for an app key; `tracked` is how it ends before its time, and is let go when it is over.
     * @throws {ValidateError} not a request that makes sense, or a locked parameter. @throws {NotFoundError} a model that
     * does not exist, or is not this key's to call. @throws {UpstreamError} see {@link Gateway}.
     */
    async call(
      { id, key, operation, text: arriving, ip, session, scope, renderError }: IncomingCall,
      tracked: TrackedCall,
    ): Promise<{ answer: GatewayAnswer; headers: Record<string, string> }> {
      const text = await arriving;
      const parsed = parse(text, operation);
      const model = parsed.model as string;
      const { config, version } = key.app;
      if (!modelsOf(key).includes(model)) throw notFound(model);
      const asApp = model === "app" || isUuid(model);
      const found = asApp ? appRoute(config) : resolve(model);
      const route = found instanceof Promise ? await found : found;
      let sent = text;
      if (asApp && operation !== "embeddings") {
        for (const locked of config.locked ?? [])
          for (const name of [locked, ...(furtherNames[locked] ?? [])])
            if (Object.hasOwn(parsed, name)) throw invalid(name, "validate.locked");
        sent = withConfig(text, parsed, operation, config);
      }
      const metadata = objectOr(parsed.metadata);
      const options = objectOr(parsed.stream_options);
      const body: Body = {
        operation,
        text: sent,
        parsed: sent === text ? parsed : JSON.parse(sent),
        stream: parsed.stream === true,
        includeUsage: options.include_usage === true,
      };
      const endUser = label(operation === "messages" ? metadata.user_id : parsed.user);
      const allowance = limiter.open(limitedBy(key, endUser));
      scope.limited = allowance;
      const answer = await gateway.call({
        signal: tracked,
        held: tracked,
        renderError,
        body,
        route,
        allowance,
        content: config.content ?? "full",
        cacheTtlMs: config.cache && config.cache.ttl_seconds * 1000,
        facts: {
          id,
          api: operation,
          appId: key.appId,
          appVersion: version,
          keyId: key.keyId,
          accountId: key.accountId,
          endUser,
          session: label(session ?? metadata.session_id),
          model,
          stream: body.stream,
          ipPrefix: networkOf(ip),
        },
      });
      // What took no tokens may not know yet how many are left.
      const tookNone = operation === "count_tokens" || answer.cache === "hit";
      return { answer, headers: tookNone ? await allowance.left() : allowance.headers() };
    },
  };
}
