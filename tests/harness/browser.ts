/** Where a walk through redirects ended. */
export interface Visit {
  /** The last address. */
  url: URL;
  response: Response;
  /** Every address on the way, the last one included. */
  trail: readonly URL[];
}

/** Knows cookies and follows redirects, as far as a test needs. */
export interface Browser {
  /** Goes to an address and follows redirects, until `until` holds of the next one, which is then not visited. */
  visit: (address: string, options?: { until?: (next: URL) => boolean }) => Promise<Visit>;
  /** The cookie of this name for an origin, with its attributes as they were set. */
  cookie: (origin: string, name: string) => { value: string; header: string } | undefined;
  /** Puts a cookie of an origin where there was none, or another. */
  setCookie: (origin: string, header: string) => void;
}

interface Cookie {
  value: string;
  path: string;
  header: string;
}

const matches = (path: string, cookiePath: string): boolean =>
  path === cookiePath || path.startsWith(cookiePath.endsWith("/") ? cookiePath : `${cookiePath}/`);

/** A browser with no cookies; `local` answers for the origins that live in this process. */
export function openBrowser(
  local: Record<string, (request: Request) => Response | Promise<Response>>,
): Browser {
  const jars = new Map<string, Map<string, Cookie>>();
  const jarOf = (origin: string) => {
    const jar = jars.get(origin) ?? new Map<string, Cookie>();
    jars.set(origin, jar);
    return jar;
  };

  const keep = (origin: string, header: string) => {
    const [pair = "", ...attributes] = header.split(";").map((part) => part.trim());
    const name = pair.slice(0, pair.indexOf("="));
    const attribute = (wanted: string) =>
      attributes.find((each) => each.toLowerCase().startsWith(`${wanted}=`))?.slice(wanted.length + 1);
    const expires = attribute("expires");
    const gone = attribute("max-age") === "0" || (expires !== undefined && Date.parse(expires) < Date.now());
    const path = attribute("path") ?? "/";
    if (gone) jarOf(origin).delete(`${name} ${path}`);
    else jarOf(origin).set(`${name} ${path}`, { value: pair.slice(pair.indexOf("=") + 1), path, header });
  };

  const request = async (url: URL) => {
    const cookie = [...jarOf(url.origin)]
      .filter(([, { path }]) => matches(url.pathname, path))
      .map(([key, { value }]) => `${key.split(" ")[0]}=${value}`)
      .join("; ");
    const headers: Record<string, string> = cookie === "" ? {} : { cookie };
    const answer = local[url.origin] ?? ((asked: Request) => fetch(asked));
    const response = await answer(new Request(url.href, { redirect: "manual", headers }));
    for (const header of response.headers.getSetCookie()) keep(url.origin, header);
    return response;
  };

  return {
    async visit(address, { until = () => false } = {}) {
      const trail = [new URL(address)];
      for (;;) {
        const url = trail.at(-1) as URL;
        const response = await request(url);
        const location = response.headers.get("location");
        if (response.status < 300 || response.status > 399 || location === null) {
          return { url, response, trail };
        }
        const next = new URL(location, url);
        trail.push(next);
        if (until(next)) return { url: next, response, trail };
        if (trail.length > 20) throw new Error(`too many redirects: ${trail.join(" -> ")}`);
      }
    },
    cookie(origin, name) {
      const found = [...jarOf(origin)].find(([key]) => key.startsWith(`${name} `));
      return found && { value: found[1].value, header: found[1].header };
    },
    setCookie: keep,
  };
}
