import icon from "swagger-ui-dist/favicon-32x32.png" with { type: "file" };
import styles from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import bundle from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };

const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>llmops API</title>
    <link rel="icon" type="image/png" href="/swagger/favicon.png">
    <link rel="stylesheet" href="/swagger/swagger-ui.css">
    <script src="/swagger/swagger-ui-bundle.js" defer></script>
    <script src="/swagger/initializer.js" defer></script>
  </head>
  <body>
    <div id="swagger-ui"></div>
    <noscript>This page needs JavaScript; the API's description is at <a href="/swagger/json">/swagger/json</a>.</noscript>
  </body>
</html>
`;

/** In a file of its own, so that the page can do without inline scripts. `validatorUrl`: tell no other host. */
const initializer = `SwaggerUIBundle({
  url: "/swagger/json",
  dom_id: "#swagger-ui",
  validatorUrl: null,
  deepLinking: true,
  displayRequestDuration: true,
});
`;

/** Nothing from anywhere else, nothing inline, in nobody's frame; `data:` holds the icons of the style sheet. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** Answers with something that stays the same for as long as the program runs. */
export type Content = (request: Request) => Promise<Response>;

/**
 * Serves what `load` gives, which is asked when somebody first wants it. Caches may keep it, but ask each time whether
 * it has changed (RFC 9111, `no-cache`): a new version of the program is seen at once, and no address needs a hash.
 */
export function content(type: string, load: () => Promise<string | Uint8Array<ArrayBuffer>>): Content {
  const hashed = async () => {
    const body = await load();
    return { body, tag: `"${new Bun.CryptoHasher("sha256").update(body).digest("base64url")}"` };
  };
  let loaded: ReturnType<typeof hashed> | undefined;
  return async (request) => {
    loaded ??= hashed();
    const { body, tag } = await loaded.catch((error: unknown) => {
      loaded = undefined;
      throw error;
    });
    const fresh = names(request.headers.get("if-none-match"), tag);
    return new Response(fresh ? null : body, {
      status: fresh ? 304 : 200,
      headers: {
        "content-type": type,
        etag: tag,
        "cache-control": "no-cache",
        "content-security-policy": contentSecurityPolicy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
      },
    });
  };
}

/** Whether an `If-None-Match` header names this tag; compared weakly (RFC 9110, section 13.1.2). */
const names = (header: string | null, tag: string): boolean =>
  (header ?? "").split(",").some((each) => ["*", tag].includes(each.trim().replace(/^W\//, "")));

const file = (type: string, path: string) => content(type, () => Bun.file(path).bytes());
const script = "text/javascript; charset=utf-8";

/** The page, what it loads, and the document that it shows. */
export const createSwagger = ({ document }: { document: () => Promise<object> }) => ({
  page: content("text/html; charset=utf-8", async () => page),
  initializer: content(script, async () => initializer),
  bundle: file(script, bundle),
  styles: file("text/css; charset=utf-8", styles),
  icon: file("image/png", icon),
  document: content("application/json", async () => JSON.stringify(await document())),
});
