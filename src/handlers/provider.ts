import type { Principal } from "../auth/principal.ts";
import { type Envelope, success } from "../errors/envelope.ts";
import { type Locale, t } from "../i18n/messages.ts";
import type { Uuid } from "../id.ts";
import type { Provider, ProviderChange, ProviderService } from "../services/provider.ts";
import { type PageQuery, toPage, toWirePage } from "./page.ts";

interface Needs {
  providers: ProviderService;
}

interface Caller {
  principal: Principal;
  locale: Locale;
}

/** A provider as callers see it: never its key, nor the values of its headers. */
export type WireProvider = Omit<Provider, "key_sealed" | "headers_sealed" | "created_at" | "updated_at"> & {
  has_key: boolean;
  created_at: string;
  updated_at: string;
};

const toWireProvider = ({ key_sealed, headers_sealed: _, ...provider }: Provider): WireProvider => ({
  ...provider,
  has_key: key_sealed !== null,
  created_at: provider.created_at.toISOString(),
  updated_at: provider.updated_at.toISOString(),
});

/** `POST /provider` */
export async function createProvider(
  { providers }: Needs,
  { principal, locale, body }: Caller & { body: ProviderChange & { name: string } },
): Promise<Envelope<WireProvider>> {
  const provider = await providers.create(principal, body);
  return success(t(locale, "provider.created", { name: provider.name }), toWireProvider(provider));
}

/** `GET /provider` */
export async function listProviders(
  { providers }: Pick<Needs, "providers">,
  query: PageQuery,
): Promise<Envelope<{ items: WireProvider[]; next_cursor: Uuid | null }>> {
  return success("", toWirePage(await providers.list(toPage(query)), toWireProvider));
}

/** `GET /provider/:id` */
export async function getProvider({ providers }: Needs, id: Uuid): Promise<Envelope<WireProvider>> {
  return success("", toWireProvider(await providers.get(id)));
}

/** `POST /provider/:id` */
export async function updateProvider(
  { providers }: Needs,
  { principal, locale, id, body }: Caller & { id: Uuid; body: ProviderChange },
): Promise<Envelope<WireProvider>> {
  const provider = await providers.update(principal, id, body);
  return success(t(locale, "provider.updated", { name: provider.name }), toWireProvider(provider));
}

/** `POST /provider/:id/delete` */
export async function deleteProvider(
  { providers }: Needs,
  { principal, locale, id }: Caller & { id: Uuid },
): Promise<Envelope<Record<string, never>>> {
  await providers.delete(principal, id);
  return success(t(locale, "provider.deleted"), {});
}

/** Most models that a test tells of. */
const modelsMax = 100;

/** `POST /provider/:id/test` */
export async function testProvider(
  { providers }: Needs,
  { locale, id, signal }: { locale: Locale; id: Uuid; signal: AbortSignal },
): Promise<Envelope<{ models: string[]; latency_ms: number }>> {
  const { models, latencyMs } = await providers.test(id, signal);
  return success(t(locale, "provider.works"), { models: models.slice(0, modelsMax), latency_ms: latencyMs });
}
