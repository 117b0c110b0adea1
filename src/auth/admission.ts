import { ForbiddenError, UnauthorizedError } from "../errors/app-error.ts";
import type { Locale } from "../i18n/messages.ts";
import { t } from "../i18n/messages.ts";
import type { Principal } from "./principal.ts";

/** Decides, before a body is read, whether a request may come in, and as whom; `undefined` is nobody. */
export type Admission = (request: Request, path: string, locale: Locale) => Principal | undefined;

/** What needs no login, exactly as written; everything else is denied to nobody. */
const publicRoutes = new Set(["GET /ping", "GET /healthz", "GET /readyz", "GET /swagger"]);

const isPublic = (method: string, path: string): boolean => {
  const read = method === "HEAD" ? "GET" : method;
  return publicRoutes.has(`${read} ${path}`) || (read === "GET" && path.startsWith("/swagger/"));
};

/**
 * Production: only the public list, until there is a login to know anybody by.
 * @throws {UnauthorizedError} from the returned function, for everything else, known path or not.
 */
export function admitPublic(): Admission {
  return (request, path) => {
    if (isPublic(request.method, path)) return undefined;
    throw new UnauthorizedError("auth.required");
  };
}

const isProxyHeader = (name: string): boolean =>
  name === "forwarded" || name === "via" || name.startsWith("x-forwarded-");
const loopbackHost = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i;

/**
 * Development: everybody on this machine is the owner. What could carry a stranger's request here is refused: a
 * name that is not loopback (DNS rebinding), another site's page (`Origin`), a proxy.
 * @throws {ForbiddenError} from the returned function, for all of these.
 */
export function admitLoopback(owner: Principal): Admission {
  return (request, _path, locale) => {
    const refuse = (key: "dev.host" | "dev.origin" | "dev.proxy") =>
      new ForbiddenError("dev.forbidden", { params: { what: t(locale, key) } });
    const host = request.headers.get("host") ?? new URL(request.url).host;
    if (!loopbackHost.test(host)) throw refuse("dev.host");
    const origin = request.headers.get("origin");
    if (origin !== null && origin !== `http://${host}`) throw refuse("dev.origin");
    for (const name of request.headers.keys()) if (isProxyHeader(name)) throw refuse("dev.proxy");
    return owner;
  };
}
