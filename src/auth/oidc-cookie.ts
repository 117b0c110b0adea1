/** The cookie that carries a login with the OpenID provider from its start to its end. */
export const oidcCookie = "llmops_oidc";

/**
 * Writes the cookie: for the two addresses of the login alone, out of reach of scripts. `Lax`, because the browser
 * brings it back on its way from another site.
 */
export const setOidcCookie = (
  value: string,
  { seconds, secure }: { seconds: number; secure: boolean },
): string =>
  `${oidcCookie}=${value}; Path=/auth/oidc; Max-Age=${seconds}; HttpOnly; SameSite=Lax${secure ? "; Secure" : ""}`;

/** Removes it; needs no `Secure`, which says only where a cookie may be sent. */
export const clearOidcCookie = setOidcCookie("", { seconds: 0, secure: false });
