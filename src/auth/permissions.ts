import type { Role } from "./principal.ts";

/**
 * Who may use a route at all: `public` needs no login; a role needs a person with at least that role; `key` needs an app
 * key. What of the things behind a route somebody may see or change is the services' to say.
 */
export type Permission = "public" | Role | "key";

/**
 * Every route there is; `*` at an end is whatever comes below. What does not stand here, as it is written here, is denied
 * to everybody.
 */
export const permissions = {
  "GET /ping": "public",
  "GET /healthz": "public",
  "GET /readyz": "public",
  "GET /swagger": "public",
  "GET /swagger/*": "public",
  "GET /setup": "public",
  "GET /setup/setup.js": "public",
  "GET /setup/setup.css": "public",

  "POST /auth/login": "public",
  "POST /auth/refresh": "public",
  "POST /auth/logout": "public",
  "POST /auth/setup": "public",
  "GET /auth/oidc/start": "public",
  "GET /auth/oidc/callback": "public",
  "GET /auth/me": "viewer",
  "POST /auth/password": "viewer",
  "GET /auth/session": "viewer",
  "POST /auth/session/:id/delete": "viewer",

  "GET /account": "admin",
  "POST /account": "admin",
  "GET /account/:id": "admin",
  "POST /account/:id": "admin",
  "POST /account/:id/delete": "admin",
  "GET /oidc": "owner",
  "POST /oidc": "owner",
  "GET /audit": "admin",

  "POST /app/completion": "viewer",
  "GET /app": "viewer",
  "POST /app": "editor",
  "GET /app/:id": "viewer",
  "POST /app/:id": "editor",
  "POST /app/:id/delete": "editor",
  "GET /app/:id/member": "viewer",
  "POST /app/:id/member": "editor",
  "POST /app/:id/member/:account_id/delete": "editor",
  "GET /app/:id/key": "viewer",
  "POST /app/:id/key": "editor",
  "POST /app/:id/key/:key_id/rotate": "editor",
  "POST /app/:id/key/:key_id/delete": "editor",

  "GET /provider": "admin",
  "POST /provider": "admin",
  "GET /provider/:id": "admin",
  "POST /provider/:id": "admin",
  "POST /provider/:id/delete": "admin",
  "POST /provider/:id/test": "admin",
  "GET /model": "viewer",
  "POST /model": "admin",
  "GET /model/:id": "viewer",
  "POST /model/:id": "admin",
  "POST /model/:id/delete": "admin",
  "POST /model/:id/test": "admin",
  "GET /model/:id/price": "viewer",
  "POST /model/:id/price": "admin",
  "POST /model/:id/price/:price_id/delete": "admin",
  "GET /rate-limit": "viewer",
  "POST /rate-limit": "admin",
  "GET /rate-limit/:id": "viewer",
  "POST /rate-limit/:id": "admin",
  "POST /rate-limit/:id/delete": "admin",
  "GET /budget": "viewer",
  "POST /budget": "admin",
  "GET /budget/:id": "viewer",
  "POST /budget/:id": "admin",
  "POST /budget/:id/delete": "admin",
  "GET /budget/:id/explain": "viewer",
  "GET /rate": "viewer",
  "POST /rate": "admin",
  "POST /rate/:id/delete": "admin",
  "GET /request": "viewer",
  "GET /request/export": "viewer",
  "GET /request/:id": "viewer",
  "GET /usage": "viewer",
  "GET /usage/export": "viewer",

  "POST /v1/chat/completions": "key",
  "POST /v1/embeddings": "key",
  "POST /v1/messages": "key",
  "POST /v1/messages/count_tokens": "key",
  "GET /v1/models": "key",
  "GET /v1/models/:model": "key",
} as const satisfies Record<string, Permission>;

interface Node {
  children: Map<string, Node>;
  any?: Node;
  permission?: Permission;
  /** Of everything below that is not named. */
  below?: Permission;
}

const newNode = (): Node => ({ children: new Map() });

/** Finds the permission of a path, segment by segment; a name goes before a place, as in the router. */
export function createPermissionTable(table: Readonly<Record<string, Permission>> = permissions) {
  const root = newNode();
  for (const [route, permission] of Object.entries(table)) {
    const whole = route.endsWith("/*");
    let node = root;
    for (const segment of (whole ? route.slice(0, -2) : route).split(/ \/|\//)) {
      if (segment.startsWith(":")) node = node.any ??= newNode();
      else {
        const child = node.children.get(segment) ?? newNode();
        node.children.set(segment, child);
        node = child;
      }
    }
    if (whole) node.below = permission;
    else node.permission = permission;
  }
  /** Those without a part that varies, which most calls go to: found at once. */
  const plain = new Map(
    Object.entries(table).filter(([route]) => !route.includes(":") && !route.endsWith("/*")),
  );
  /** `path` as it was sent: not decoded, not normalised; a disguise of a route is no route. HEAD counts as GET. */
  return (method: string, path: string): Permission | undefined => {
    const known = plain.get(`${method} ${path}`);
    if (known !== undefined) return known;
    const segments = path.slice(1).split("/");
    const walk = (node: Node | undefined, at: number): Permission | undefined => {
      const segment = segments[at];
      if (!node || segment === undefined) return node?.permission;
      const named = walk(node.children.get(segment), at + 1);
      return named ?? (segment === "" ? undefined : walk(node.any, at + 1)) ?? node.below;
    };
    if (!path.startsWith("/") || segments.length > 16) return undefined;
    return walk(root.children.get(method === "HEAD" ? "GET" : method), 0);
  };
}
