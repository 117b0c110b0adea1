import { Elysia, NotFoundError as ElysiaNotFoundError, ParseError, ValidationError } from "elysia";
import type { Admission } from "./auth/admission.ts";
import type { Drain } from "./drain.ts";
import { AppError, NotFoundError } from "./errors/app-error.ts";
import { type Envelope, envelopeResponse, errorEnvelope } from "./errors/envelope.ts";
import { localeOf } from "./i18n/messages.ts";
import { newId } from "./id.ts";
import { errorChain, type Log } from "./log.ts";
import { openApiDocument } from "./openapi/document.ts";
import { appRoutes } from "./routes/app.ts";
import { readJson } from "./routes/body.ts";
import { completionRoutes } from "./routes/completion.ts";
import { healthRoutes } from "./routes/health.ts";
import { toValidateError } from "./routes/problems.ts";
import { openScope, type Scope, scopeOf } from "./routes/scope.ts";
import { swaggerRoutes } from "./routes/swagger.ts";
import type { AppService } from "./services/app.ts";
import type { CompletionService } from "./services/completion.ts";
import type { HealthService } from "./services/health.ts";

/** What the routes need; whoever calls has built it. */
export interface AppNeeds {
  apps: AppService;
  completions: CompletionService;
  health: HealthService;
  admit: Admission;
  drain: Drain;
  log: Log;
  /** Adds private error text to answers. */
  debug: boolean;
}

/** What a listening server lends to a request; a test has none. */
export interface Connection {
  timeout(request: Request, seconds: number): void;
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

/** Every route of the system, for the app itself and for its documentation. */
export const allRoutes = (needs: AppNeeds, renderError: (error: unknown, scope: Scope) => Envelope) =>
  new Elysia({ normalize: false, handler: { standardHostname: false } })
    .onParse(({ request }) => readJson(request))
    .mapResponse(({ responseValue }) =>
      responseValue instanceof Response ? responseValue : envelopeResponse(responseValue as Envelope),
    )
    .onError(({ error, request, set }) => {
      set.status = 200; // Elysia would put its own status over the answer's.
      return envelopeResponse(renderError(unwrap(error), scopeOf(request)));
    })
    .use(healthRoutes(needs))
    .use(completionRoutes({ ...needs, renderError }))
    .use(appRoutes(needs));

/** Builds the app: admission first, then the routes, each answer with the id under which it stands in the log. */
export function createApp(needs: AppNeeds): App {
  const { admit, log, debug } = needs;

  const renderError = (error: unknown, { requestId, locale }: Scope): Envelope => {
    if (!(error instanceof AppError)) log.error("request failed", { request_id: requestId }, error);
    else if (error.cause !== undefined) {
      log.warn("request failed", {
        request_id: requestId,
        code: error.code,
        key: error.key,
        cause: errorChain(error.cause),
      });
    }
    return errorEnvelope(error, { locale, requestId, debug });
  };

  const routes = allRoutes(needs, renderError).use(
    swaggerRoutes({ document: () => openApiDocument(allRoutes(needs, renderError)) }),
  );

  return {
    async fetch(request, connection) {
      const started = performance.now();
      const path = pathOf(request.url);
      const scope = openScope(request, {
        requestId: newId(),
        locale: localeOf(request.headers.get("accept-language")),
        caller: undefined,
        untimed: () => connection?.timeout(request, 0),
      });
      let response: Response;
      try {
        scope.caller = admit(request, path, scope.locale);
        response = await routes.fetch(request);
      } catch (error) {
        response = envelopeResponse(renderError(error, scope));
      }
      response.headers.set("x-request-id", scope.requestId);
      log.info("request", {
        request_id: scope.requestId,
        method: request.method,
        path: path.slice(0, 256),
        status: response.status,
        code: response.headers.get("x-llmops-code") ?? undefined,
        ms: Math.round((performance.now() - started) * 100) / 100,
      });
      return response;
    },
  };
}

/** The path as it was sent: not decoded, not normalised. */
function pathOf(url: string): string {
  const start = url.indexOf("/", url.indexOf("://") + 3);
  const end = url.indexOf("?", start);
  return end === -1 ? url.slice(start) : url.slice(start, end);
}
