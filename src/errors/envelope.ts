import type { Locale } from "../i18n/messages.ts";
import { type MessageKey, t } from "../i18n/messages.ts";
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

/** Type names stand in messages as JSON calls them, in every language. */
const problemText = (locale: Locale, key: MessageKey, params: Record<string, string | number> = {}) =>
  t(locale, key, params);

/** The one place that turns an error into an envelope. An unknown error becomes `FAIL` with the request id only. */
export function errorEnvelope(error: unknown, { locale, requestId, debug }: RenderOptions): Envelope {
  const detail = debug ? { debug: { error: describe(error) } } : {};
  if (error instanceof ValidateError) {
    const data = Object.fromEntries(
      Object.entries(error.problems).map(([field, problems]) => [
        field,
        problems.map(({ key, params }) => problemText(locale, key, params)),
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

const describe = (error: unknown): string =>
  error instanceof Error
    ? `${error.name}: ${error.message}${error.cause === undefined ? "" : ` <- ${describe(error.cause)}`}`
    : String(error);

/** An envelope as an HTTP answer: always 200, and never to be kept by a cache. */
export function envelopeResponse(envelope: Envelope): Response {
  return Response.json(envelope, {
    headers: { "cache-control": "no-store", "x-llmops-code": envelope.code },
  });
}
