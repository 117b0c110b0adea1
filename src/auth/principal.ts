import type { Uuid } from "../id.ts";
import type { AppConfig } from "../sql/app.ts";

/** What a person may do in the whole installation, from most to least. */
export const roles = ["owner", "admin", "editor", "viewer"] as const;
export type Role = (typeof roles)[number];

/** Whether `role` is at least `needed`. */
export const atLeast = (role: Role, needed: Role): boolean => roles.indexOf(role) <= roles.indexOf(needed);

/** Who does something, for the audit log: a person, a key, a command, the service itself. */
export interface Actor {
  kind: "account" | "development" | "key" | "cli" | "system";
  id?: Uuid;
  name?: string;
  /** Where from, as far as trusted proxies tell. */
  ip?: string;
  requestId?: Uuid;
}

/** Who a request acts as: a person who has logged in, or the owner in development mode. */
export interface Principal {
  accountId: Uuid;
  role: Role;
  /** Sees and changes everybody's things, as owners and admins do. */
  seesAll: boolean;
  /** `undefined` in development mode, where nobody has logged in. */
  sessionId: Uuid | undefined;
  actor: Actor;
}

/** An app key that a request carries: it opens `/v1` for one app and nothing else. */
export interface KeyPrincipal {
  keyId: Uuid;
  appId: Uuid;
  /** Owner of the app. */
  accountId: Uuid;
  /** What the key may call; empty for all that its app may. */
  models: readonly string[];
  /** The app's config, and the count of its changes. */
  app: { config: AppConfig; version: number };
}
