/** Cookies of a browser's login. */
export const accessCookie = "llmops_access";
export const refreshCookie = "llmops_refresh";

/** The value of a cookie in a `Cookie` header; `undefined` where it is missing, or there twice and so in doubt. */
export function cookieOf(header: string | null, name: string): string | undefined {
  const values = (header ?? "")
    .split(";")
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
  return values.length === 1 ? values[0] : undefined;
}

/** Writes `Set-Cookie` headers. */
export interface CookieJar {
  /** The cookies of a login; their times are in seconds. */
  signIn(tokens: {
    access: string;
    accessSeconds: number;
    refresh: string;
    refreshSeconds: number;
  }): string[];
  /** Removes them. */
  signOut(): string[];
}

/**
 * Cookies that scripts cannot read. `secure` where browsers reach the service over https. The refresh token goes to
 * `/auth` alone; `Lax` lets the access token come along when somebody follows a link here.
 */
export function cookieJar({ secure }: { secure: boolean }): CookieJar {
  const cookie = (name: string, value: string, seconds: number, path: string, sameSite: "Lax" | "Strict") =>
    `${name}=${value}; Path=${path}; Max-Age=${seconds}; HttpOnly; SameSite=${sameSite}${secure ? "; Secure" : ""}`;
  return {
    signIn: (tokens) => [
      cookie(accessCookie, tokens.access, tokens.accessSeconds, "/", "Lax"),
      cookie(refreshCookie, tokens.refresh, tokens.refreshSeconds, "/auth", "Strict"),
    ],
    signOut: () => [cookie(accessCookie, "", 0, "/", "Lax"), cookie(refreshCookie, "", 0, "/auth", "Strict")],
  };
}
