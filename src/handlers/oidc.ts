import type { Principal } from "../auth/principal.ts";
import { AppError } from "../errors/app-error.ts";
import { type Envelope, success } from "../errors/envelope.ts";
import { type Locale, t } from "../i18n/messages.ts";
import type { Uuid } from "../id.ts";
import type { MappedRole, OidcChange, OidcService, OidcSettings } from "../services/oidc.ts";

interface Needs {
  oidc: OidcService;
}

/** Opens a session for an account; resolves with the `Set-Cookie` headers that carry it. */
export type SignIn = (accountId: Uuid, request: Request) => Promise<{ cookies: string[] }>;

interface PageNeeds extends Needs {
  /** Renders an error for this request, and logs it where it is not the caller's. */
  renderError: (error: unknown) => Envelope;
}

/** One value of the role claim and what it gives; a list, so that no value can be mistaken for a field. */
export interface WireRole {
  value: string;
  role: MappedRole;
}

/** The settings as callers see them. */
export type WireOidc = Omit<OidcSettings, "role_claim" | "role_map" | "created_at" | "updated_at"> & {
  role_claim: string;
  role_map: WireRole[];
  created_at: string;
  updated_at: string;
};

const toWireOidc = ({
  role_claim,
  role_map,
  created_at,
  updated_at,
  ...settings
}: OidcSettings): WireOidc => ({
  ...settings,
  role_claim: role_claim ?? "",
  role_map: Object.entries(role_map).map(([value, role]) => ({ value, role })),
  created_at: created_at.toISOString(),
  updated_at: updated_at.toISOString(),
});

/** `GET /oidc` */
export const getOidc = async ({ oidc }: Needs): Promise<Envelope<WireOidc>> =>
  success("", toWireOidc(await oidc.settings()));

/** `POST /oidc` */
export async function updateOidc(
  { oidc }: Needs,
  {
    principal,
    locale,
    body: { role_map, ...change },
  }: {
    principal: Principal;
    locale: Locale;
    body: Omit<OidcChange, "role_map"> & { role_map?: readonly WireRole[] };
  },
): Promise<Envelope<WireOidc>> {
  const settings = await oidc.configure(principal, {
    ...change,
    ...(role_map && { role_map: Object.fromEntries(role_map.map(({ value, role }) => [value, role])) }),
  });
  return success(t(locale, "oidc.updated"), toWireOidc(settings));
}

/** Nothing of a login is for a cache, for another site's frame, or for the next page to know where it came from. */
const headersWith = (cookies: readonly string[], headers: Record<string, string>): Headers => {
  const all = new Headers({ "cache-control": "no-store", "referrer-policy": "no-referrer", ...headers });
  for (const cookie of cookies) all.append("set-cookie", cookie);
  return all;
};

const redirect = (location: string, cookies: readonly string[]): Response =>
  new Response(null, { status: 302, headers: headersWith(cookies, { location }) });

/** A page for people that says why there was no login. It loads nothing. */
function page(
  error: unknown,
  { code, message }: Envelope,
  locale: Locale,
  cookies: readonly string[],
): Response {
  const title = t(locale, "oidc.page_title");
  const html = `<!doctype html>
<html lang="${locale}">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>${Bun.escapeHTML(title)}</title>
  </head>
  <body>
    <h1>${Bun.escapeHTML(title)}</h1>
    <p>${Bun.escapeHTML(message)}</p>
    <p><a href="/auth/oidc/start">${Bun.escapeHTML(t(locale, "oidc.retry"))}</a></p>
  </body>
</html>
`;
  return new Response(html, {
    status: error instanceof AppError ? error.status : 500,
    headers: headersWith(cookies, {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy":
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      "x-content-type-options": "nosniff",
      "x-llmops-code": code,
    }),
  });
}

/** `GET /auth/oidc/start`: sends the browser to the provider. */
export async function startOidc(
  { oidc, renderError }: PageNeeds,
  { returnTo, locale }: { returnTo: string | undefined; locale: Locale },
): Promise<Response> {
  try {
    const { redirectTo, cookie } = await oidc.start(returnTo);
    return redirect(redirectTo, [cookie]);
  } catch (error) {
    return page(error, renderError(error), locale, []);
  }
}

/** `GET /auth/oidc/callback`: the browser comes back. Whatever comes of it, the login's own cookie is removed. */
export async function finishOidc(
  { oidc, signIn, renderError }: PageNeeds & { signIn: SignIn },
  {
    request,
    cookie,
    clearing,
    locale,
  }: {
    request: Request;
    cookie: string | undefined;
    /** The header that removes the login's own cookie. */
    clearing: string;
    locale: Locale;
  },
): Promise<Response> {
  try {
    const { accountId, returnTo } = await oidc.callback(request.url, cookie);
    const { cookies } = await signIn(accountId, request);
    return redirect(returnTo, [clearing, ...cookies]);
  } catch (error) {
    return page(error, renderError(error), locale, [clearing]);
  }
}
