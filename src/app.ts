import { Elysia, NotFoundError as ElysiaNotFoundError, ParseError, ValidationError } from "elysia";
import { type AddressRanges, clientAddress } from "./address.ts";
import { type Admission, isDataPlane } from "./auth/admission.ts";
import type { CookieJar } from "./auth/cookies.ts";
import type { Drain } from "./drain.ts";
import { anthropicErrorEvent, anthropicErrorResponse } from "./errors/anthropic.ts";
import { AppError, NotFoundError } from "./errors/app-error.ts";
import { type Envelope, envelopeResponse, errorEnvelope } from "./errors/envelope.ts";
import { openAiErrorEvent, openAiErrorResponse } from "./errors/openai.ts";
import type { SignIn } from "./handlers/oidc.ts";
import { type Locale, localeOf } from "./i18n/messages.ts";
import { newId } from "./id.ts";
import { errorChain, type Log } from "./log.ts";
import { openApiDocument } from "./openapi/document.ts";
import { accountRoutes } from "./routes/account.ts";
import { appRoutes } from "./routes/app.ts";
import { appKeyRoutes } from "./routes/app-key.ts";
import { appMemberRoutes } from "./routes/app-member.ts";
import { auditRoutes } from "./routes/audit.ts";
import { authRoutes } from "./routes/auth.ts";
import { readJson } from "./routes/body.ts";
import { budgetRoutes } from "./routes/budget.ts";
import { callRoutes, createCallHandler, operationOf } from "./routes/call.ts";
import { completionRoutes } from "./routes/completion.ts";
import { healthRoutes } from "./routes/health.ts";
import { modelRoutes } from "./routes/model.ts";
import { modelListRoutes } from "./routes/models.ts";
import { oidcRoutes } from "./routes/oidc.ts";
import { priceRoutes } from "./routes/price.ts";
import { toValidateError } from "./routes/problems.ts";
import { providerRoutes } from "./routes/provider.ts";
import { rateRoutes } from "./routes/rate.ts";
import { rateLimitRoutes } from "./routes/rate-limit.ts";
import { requestRoutes } from "./routes/request.ts";
import { openScope, type Scope, scopeOf } from "./routes/scope.ts";
import { setupRoutes } from "./routes/setup.ts";
import { swaggerRoutes } from "./routes/swagger.ts";
import { usageRoutes } from "./routes/usage.ts";
import type { AccountService } from "./services/account.ts";
import type { AppService } from "./services/app.ts";
import type { AppKeyService } from "./services/app-key.ts";
import type { AppMemberService } from "./services/app-member.ts";
import type { AuditService } from "./services/audit.ts";
import type { BudgetService } from "./services/budget.ts";
import type { CallService } from "./services/call.ts";
import type { CompletionService } from "./services/completion.ts";
import type { HealthService } from "./services/health.ts";
import type { ModelService } from "./services/model.ts";
import type { OidcService } from "./services/oidc.ts";
import type { PriceService } from "./services/price.ts";
import type { ProviderService } from "./services/provider.ts";
import type { RateService } from "./services/rate.ts";
import type { RateLimitService } from "./services/rate-limit.ts";
import type { RequestService } from "./services/request.ts";
import type { SessionService } from "./services/session.ts";
import type { UsageService } from "./services/usage.ts";

/** What the routes need; whoever calls has built it. */
export interface AppNeeds {
  accounts: AccountService;
  apps: AppService;
  audit: AuditService;
  budgets: BudgetService;
  keys: AppKeyService;
  members: AppMemberService;
  models: ModelService;
  oidc: OidcService;
  prices: PriceService;
  providers: ProviderService;
  rateLimits: RateLimitService;
  rates: RateService;
  requests: RequestService;
  usage: UsageService;
  sessions: SessionService;
  cookies: CookieJar;
  /** Opens a session for somebody who has logged in elsewhere. */
  signIn: SignIn;
  calls: CallService;
  /** Largest body on `/v1`, in bytes. */
  bodyBytesMax: number;
  completions: CompletionService;
  health: HealthService;
  admit: Admission;
  /** Proxies whose word about the caller's address counts. */
  trustedProxies: AddressRanges;
  drain: Drain;
  log: Log;
  /** Adds private error text to answers. */
  debug: boolean;
}

/** What a listening server lends to a request; a test has none. */
export interface Connection {
  timeout(request: Request, seconds: number): void;
  requestIP(request: Request): { address: string } | null;
}

/** The whole HTTP surface as one function; listens to nothing. */
export interface App {
  fetch(request: Request, connection?: Connection): Promise<Response>;
}

/** Elysia's own errors as ours; what we threw ourselves comes back as it was. */
function unwrap(error: unknown): unknown {
  if (error instanceof AppError) return error;
  if (error instanceof ParseError) return error.cause ?? error;
  if (error instanceof ElysiaNotFoundError) return new NotFoundError("route.not_found");
  if (error instanceof ValidationError && error.type !== "response") return toValidateError(error);
  return error;
}

/** What to answer for an error, in the dialect of the caller; also logs it where it is not the caller's. */
interface ErrorReply {
  /** For answers that are not a whole response, such as an event of a stream. */
  envelope: (error: unknown, scope: Scope) => Envelope;
  response: (error: unknown, scope: Scope, path: string) => Response;
  /** For streams of `/v1`. */
  event: (error: unknown, scope: Scope) => string;
}

/** Whether the callers of a path of the data plane speak Anthropic's dialect; all others speak OpenAI's. */
const speaksAnthropic = (path: string) => path === "/v1/messages" || path.startsWith("/v1/messages/");

function errorReply({ log, debug }: Pick<AppNeeds, "log" | "debug">): ErrorReply {
  const report = (error: unknown, { requestId }: Scope) => {
    if (!(error instanceof AppError)) log.error("request failed", { request_id: requestId }, error);
    else if (error.cause !== undefined) {
      log.warn("request failed", {
        request_id: requestId,
        code: error.code,
        key: error.key,
        cause: errorChain(error.cause),
      });
    }
  };
  const said = ({ requestId, locale }: Scope) => ({ requestId, locale, debug });
  const envelope: ErrorReply["envelope"] = (error, scope) => {
    report(error, scope);
    return errorEnvelope(error, said(scope));
  };
  return {
    envelope,
    response(error, scope, path) {
      if (!isDataPlane(path)) return envelopeResponse(envelope(error, scope));
      report(error, scope);
      const render = speaksAnthropic(path) ? anthropicErrorResponse : openAiErrorResponse;
      return render(error, said(scope));
    },
    event(error, scope) {
      report(error, scope);
      const render = speaksAnthropic(scope.path) ? anthropicErrorEvent : openAiErrorEvent;
      return render(error, said(scope));
    },
  };
}

/** Every route of the system, for the app itself and for its documentation. */
export const allRoutes = (needs: AppNeeds, reply: ErrorReply = errorReply(needs)) =>
  new Elysia({ normalize: false, handler: { standardHostname: false } })
    // Bodies of the data plane travel as they are: whoever needs their text reads it.
    .onParse(({ request, path }) => (isDataPlane(path) ? {} : readJson(request)))
    .onBeforeHandle(({ path, request }) => {
      // Whoever was let in for one route is not answered by another.
      if (path !== scopeOf(request).path) throw new NotFoundError("route.not_found");
    })
    .mapResponse(({ responseValue }) =>
      responseValue instanceof Response ? responseValue : envelopeResponse(responseValue as Envelope),
    )
    .onError(({ error, request, set }) => {
      const response = reply.response(unwrap(error), scopeOf(request), pathOf(request.url));
      set.status = response.status; // Elysia would put its own status over the answer's.
      return response;
    })
    .use(healthRoutes(needs))
    .use(setupRoutes())
    .use(authRoutes(needs))
    .use(oidcRoutes({ ...needs, renderError: reply.envelope }))
    .use(accountRoutes(needs))
    .use(auditRoutes(needs))
    .use(completionRoutes({ ...needs, renderError: reply.envelope }))
    .use(appRoutes(needs))
    .use(appMemberRoutes(needs))
    .use(appKeyRoutes(needs))
    .use(providerRoutes(needs))
    .use(modelRoutes(needs))
    .use(priceRoutes(needs))
    .use(rateLimitRoutes(needs))
    .use(budgetRoutes(needs))
    .use(rateRoutes(needs))
    .use(requestRoutes(needs))
    .use(usageRoutes(needs))
    .use(callRoutes({ ...needs, renderEvent: reply.event }))
    .use(modelListRoutes(needs));

/** Builds the app: admission first, then the routes, each answer with the id under which it stands in the log. */
export function createApp(needs: AppNeeds): App {
  const { admit, trustedProxies, log } = needs;
  const reply = errorReply(needs);
  const routes = allRoutes(needs, reply).use(
    swaggerRoutes({ document: () => openApiDocument(allRoutes(needs)) }),
  );

  const call = createCallHandler({ ...needs, renderEvent: reply.event });

  return {
    async fetch(arrived, connection) {
      const started = performance.now();
      const request = withAddress(arrived);
      const path = pathOf(request.url);
      // Somebody who has left already has no address: no reason to take them for this machine.
      const peer = connection ? (connection.requestIP(arrived)?.address ?? "") : "127.0.0.1";
      const ip = clientAddress(peer, request.headers.get("x-forwarded-for"), trustedProxies);
      const scope = new Arrived(request, { path, ip, arrived, connection });
      let response: Response;
      /** The answer of a model has these headers already. */
      let complete = false;
      try {
        const admitting = admit(request, scope);
        const { caller, key } = admitting instanceof Promise ? await admitting : admitting;
        scope.caller = caller;
        scope.key = key;
        const operation = operationOf(request, path);
        // Calls go past the router, which would cost each as much as their admission; it documents them.
        complete = operation !== undefined;
        response = await (operation
          ? call(operation, request, scope)
          : routes.fetch(openScope(request, scope)));
      } catch (error) {
        complete = false;
        response = reply.response(error, scope, path);
      }
      if (!complete) {
        response.headers.set("x-request-id", scope.requestId);
        // What a key has left stands on every answer to it; those of models say it themselves.
        if (scope.key && !response.headers.has("x-ratelimit-limit-requests")) {
          const { key, limited = needs.calls.limited(key) } = scope;
          const headers = await limited.left().catch(() => ({}));
          for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
        }
        // A key in `x-api-key` does not tell a cache that the answer is one caller's, as `Authorization` would.
        if (isDataPlane(path)) response.headers.set("cache-control", "no-store");
      }
      log.info("request", {
        request_id: scope.requestId,
        method: request.method,
        path: path.slice(0, 256),
        status: response.status,
        code: complete ? undefined : (response.headers.get("x-llmops-code") ?? undefined),
        account: scope.caller?.sessionId && scope.caller.accountId,
        key: scope.key?.keyId,
        ip: scope.ip,
        ms: Math.round((performance.now() - started) * 100) / 100,
      });
      return response;
    },
  };
}

/** The scope of a request. A class, since one is made for every request: what it says when it is asked is made once. */
class Arrived implements Scope {
  readonly requestId = newId();
  readonly path: string;
  readonly ip: string;
  caller: Scope["caller"];
  key: Scope["key"];
  limited: Scope["limited"];
  readonly #request: Request;
  /** As the server knows it. */
  readonly #arrived: Request;
  readonly #connection: Connection | undefined;

  constructor(
    request: Request,
    {
      path,
      ip,
      arrived,
      connection,
    }: Pick<Scope, "path" | "ip"> & {
      arrived: Request;
      connection: Connection | undefined;
    },
  ) {
    this.#request = request;
    this.path = path;
    this.ip = ip;
    this.#arrived = arrived;
    this.#connection = connection;
  }

  untimed(): void {
    this.#connection?.timeout(this.#arrived, 0);
  }

  get locale(): Locale {
    return localeOf(this.#request.headers.get("accept-language"));
  }
}

/** A request of HTTP/1.0 need not name a host: the server then leaves it out of the address, and the router needs one. */
function withAddress(request: Request): Request {
  if (!request.url.startsWith("/") || request.headers.has("host")) return request;
  const url = URL.parse(`http://localhost${request.url}`);
  return url ? new Request(url.href, request) : request;
}

/**
 * The path as it was sent: not decoded, not normalised. Empty, which is no route, where there is no whole address: the
 * server leaves out a `Host` that is none, and the router would look for the path in another place than we do.
 */
function pathOf(url: string): string {
  const start = /^https?:\/\//.test(url) ? url.indexOf("/", url.indexOf("://") + 3) : -1;
  if (start === -1) return "";
  const end = url.indexOf("?", start);
  return end === -1 ? url.slice(start) : url.slice(start, end);
}
