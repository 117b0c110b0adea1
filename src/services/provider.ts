import type { Principal } from "../auth/principal.ts";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import { ConflictError, NotFoundError, ValidateError } from "../errors/app-error.ts";
import type { TargetProvider } from "../gateway/target.ts";
import { newId, type Uuid } from "../id.ts";
import type { Keyring } from "../keyring/keyring.ts";
import { isPublicAddress } from "../providers/egress.ts";
import type { Db } from "../sql/db.ts";
import {
  deleteProvider,
  findProvider,
  insertProvider,
  listProvider,
  type Provider,
  type ProviderDialect,
  type ProviderTimeouts,
  updateProvider,
} from "../sql/provider.ts";
import type { AuditService } from "./audit.ts";
import { breaks } from "./constraint.ts";
import { type Page, pageOf } from "./page.ts";
import { sealContext } from "./registry.ts";

export type { Provider } from "../sql/provider.ts";

/** What may be set of a provider; a field that is absent stays as it is. `null` takes a key, or a limit, away. */
export interface ProviderChange {
  name?: string;
  dialect?: ProviderDialect;
  base_url?: string;
  api_key?: string | null;
  headers?: Record<string, string>;
  timeouts?: ProviderTimeouts;
  concurrency_max?: number | null;
  local?: boolean;
  status?: "" | "disabled";
}

export interface ProviderServiceOptions {
  sql: Sql;
  clock: Clock;
  keyring: Keyring;
  audit: AuditService;
  /** A stored provider, ready to be asked. */
  ready: (provider: Provider) => TargetProvider;
  /** The models that a provider's key may use. */
  listModels: (provider: TargetProvider, signal: AbortSignal) => Promise<string[]>;
}

/** Names of providers that are there without being stored. */
const reserved = ["default", "echo"];

/** Headers that are the dialect's, the connection's, or the address's. */
const forbiddenHeader =
  /^(?:host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|proxy-.*|content-.*|accept-encoding|authorization|x-api-key)$/i;

const newProvider = {
  dialect: "openai",
  base_url: "",
  key_sealed: null,
  headers_sealed: null,
  header_names: [],
  timeouts: {},
  concurrency_max: null,
  local: false,
  status: "",
} as const;

const invalid = (
  field: string,
  key: "provider.reserved" | "provider.url" | "provider.private" | "provider.https" | "provider.header",
) => new ValidateError({ [field]: [{ key }] });

/** @throws {ValidateError} what an address must not be; where names lead is looked at when a call is made. */
function checkAddress({ dialect, base_url, local }: Pick<Provider, "dialect" | "base_url" | "local">): void {
  if (dialect === "echo") return;
  const url = URL.parse(base_url);
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) {
    throw invalid("base_url", "provider.url");
  }
  if (local) return;
  if (url.protocol !== "https:") throw invalid("base_url", "provider.https");
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const literal = /^[\d.]+$|:/.test(host);
  if (host === "localhost" || host.endsWith(".localhost") || (literal && !isPublicAddress(host))) {
    throw invalid("base_url", "provider.private");
  }
}

const originOf = (url: string) => URL.parse(url)?.origin;

/** Rules of model providers, which administrators keep. */
export type ProviderService = ReturnType<typeof createProviderService>;

/** Creates the service over a pool. */
export function createProviderService({
  sql,
  clock,
  keyring,
  audit,
  ready,
  listModels,
}: ProviderServiceOptions) {
  const require = async (db: Db, id: Uuid, lock = false): Promise<Provider> => {
    const found = await findProvider(db, { id, lock });
    if (!found) throw new NotFoundError("provider.not_found");
    return found;
  };

  /** The provider with a change; throws what must not be. */
  const changed = (before: Provider, { api_key, headers, ...plain }: ProviderChange): Provider => {
    const after = { ...before, ...plain, updated_at: clock.now() };
    after.base_url = after.base_url.replace(/\/+$/, "");
    if (reserved.includes(after.name)) throw invalid("name", "provider.reserved");
    checkAddress(after);
    // A key goes nowhere but where it was given for.
    const moved = originOf(after.base_url) !== originOf(before.base_url);
    if (moved) Object.assign(after, { key_sealed: null, headers_sealed: null, header_names: [] });
    if (api_key !== undefined) {
      after.key_sealed = api_key === null ? null : keyring.seal(api_key, sealContext("key", before.id));
    }
    if (headers) {
      const names = Object.keys(headers);
      if (names.some((name) => forbiddenHeader.test(name) || !/^[\w-]{1,64}$/.test(name))) {
        throw invalid("headers", "provider.header");
      }
      after.header_names = names;
      after.headers_sealed =
        names.length === 0 ? null : keyring.seal(JSON.stringify(headers), sealContext("headers", before.id));
    }
    return after;
  };

  const record = (
    db: Db,
    { actor }: Principal,
    action: string,
    { before, after }: { before: Provider | null; after: Provider | null },
  ) =>
    audit.record(db, {
      actor,
      action: `provider.${action}`,
      subjectKind: "provider",
      subjectId: (after ?? before)?.id ?? "",
      before,
      after,
    });

  const exists = () => new ConflictError("provider.exists");

  return {
    /** Makes a provider. @throws {ValidateError} what it must not be. @throws {ConflictError} the name is taken. */
    create: async (principal: Principal, fields: ProviderChange & { name: string }): Promise<Provider> => {
      const now = clock.now();
      const empty = {
        ...newProvider,
        header_names: [],
        id: newId(),
        name: "",
        created_at: now,
        updated_at: now,
      };
      const provider = changed({ ...empty, base_url: fields.base_url ?? "" }, fields);
      return breaks("provider_name_key", exists, () =>
        sql.begin(async (tx) => {
          await insertProvider(tx, provider);
          await record(tx, principal, "create", { before: null, after: provider });
          return provider;
        }),
      );
    },

    /** @throws {NotFoundError} */
    get: (id: Uuid): Promise<Provider> => require(sql, id),

    /** A page of providers, newest first. */
    async list({ before, limit }: { before?: Uuid; limit: number }): Promise<Page<Provider>> {
      return pageOf(
        await listProvider(sql, { limit: limit + 1, ...(before !== undefined && { before }) }),
        limit,
      );
    },

    /**
     * Changes the given fields. With another origin in `base_url` the key and the headers are gone, unless they come with it.
     * @throws as `create`, and {NotFoundError}.
     */
    update: (principal: Principal, id: Uuid, change: ProviderChange): Promise<Provider> =>
      breaks("provider_name_key", exists, () =>
        sql.begin(async (tx) => {
          const before = await require(tx, id, true);
          const after = changed(before, change);
          await updateProvider(tx, after);
          await record(tx, principal, "update", { before, after });
          return after;
        }),
      ),

    /** Deletes a provider. @throws {NotFoundError} @throws {ConflictError} models use it. */
    delete: (principal: Principal, id: Uuid): Promise<void> =>
      breaks(
        "model_provider_id_fkey",
        () => new ConflictError("provider.in_use"),
        () =>
          sql.begin(async (tx) => {
            const before = await require(tx, id, true);
            await deleteProvider(tx, id);
            await record(tx, principal, "delete", { before, after: null });
          }),
      ),

    /** Asks the provider for its models. @throws {UpstreamError} it cannot be asked, and why. */
    async test(id: Uuid, signal: AbortSignal): Promise<{ models: string[]; latencyMs: number }> {
      const provider = ready(await require(sql, id));
      if (provider.dialect === "echo") return { models: ["echo"], latencyMs: 0 };
      const startedAt = performance.now();
      const models = await listModels(provider, signal);
      return { models, latencyMs: Math.round(performance.now() - startedAt) };
    },
  };
}
