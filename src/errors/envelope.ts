import { type Locale, t } from "../i18n/messages.ts";
import { errorChain } from "../log.ts";
import { AppError, type Code, ValidateError } from "./app-error.ts";

/** What every management call answers, with HTTP status 200. */
export interface Envelope<T = unknown> {
  code: Code;
  message: string;
  data: T;
}

/** A successful outcome. */
export const success = <T>(message: string, data: T): Envelope<T> => ({ code: "SUCCESS", message, data });

/** What the renderer knows of the request. */
export interface RenderOptions {
  locale: Locale;
  requestId: string;
  /** Adds the private error text; never in production. */
  debug: boolean;
}

/** The one place that turns an error into an envelope. An unknown error becomes `FAIL` with the request id only. */
export function errorEnvelope(error: unknown, { locale, requestId, debug }: RenderOptions): Envelope {
  const detail = debug ? { debug: { error: errorChain(error) } } : {};
  if (error instanceof ValidateError) {
    const data = Object.fromEntries(
      Object.entries(error.problems).map(([field, problems]) => [
        field,
        problems.map(({ key, params }) => t(locale, key, params)),
      ]),
    );
    return { code: error.code, message: t(locale, error.key), data };
  }
  if (error instanceof AppError) {
    return {
      code: error.code,
      message: t(locale, error.key, error.params),
      data: { ...error.data, ...detail },
    };
  }
  return {
    code: "FAIL",
    message: t(locale, "internal.failed", { requestId }),
    data: { request_id: requestId, ...detail },
  };
}

/** An envelope as an HTTP answer: always 200, and never to be kept by a cache. */
export function envelopeResponse(envelope: Envelope): Response {
  return Response.json(envelope, {
    headers: { "cache-control": "no-store", "x-llmops-code": envelope.code },
  });
}
