import type { Principal } from "../auth/principal.ts";
import { type Envelope, success } from "../errors/envelope.ts";
import { type Locale, t } from "../i18n/messages.ts";
import type { Uuid } from "../id.ts";
import type { NewPrice, PriceRow, PriceService } from "../services/price.ts";
import { type PageQuery, toPage, toWirePage } from "./page.ts";

interface Needs {
  prices: PriceService;
}

/** A version of a model's prices as callers see it. */
export type WirePrice = Omit<PriceRow, "valid_from" | "created_at"> & {
  valid_from: string;
  created_at: string;
};

const toWirePrice = (price: PriceRow): WirePrice => ({
  ...price,
  valid_from: price.valid_from.toISOString(),
  created_at: price.created_at.toISOString(),
});

/** `POST /model/:id/price` */
export async function createPrice(
  { prices }: Needs,
  {
    principal,
    locale,
    modelId,
    body: { valid_from, ...fields },
  }: {
    principal: Principal;
    locale: Locale;
    modelId: Uuid;
    body: Omit<NewPrice, "valid_from"> & { valid_from?: string };
  },
): Promise<Envelope<WirePrice>> {
  const at = valid_from === undefined ? {} : { valid_from: new Date(valid_from) };
  const price = await prices.create(principal, modelId, { ...fields, ...at });
  return success(t(locale, "price.created"), toWirePrice(price));
}

/** `GET /model/:id/price` */
export async function listPrices(
  { prices }: Needs,
  { modelId, query }: { modelId: Uuid; query: PageQuery },
): Promise<Envelope<{ items: WirePrice[]; next_cursor: Uuid | null }>> {
  return success("", toWirePage(await prices.list(modelId, toPage(query)), toWirePrice));
}

/** `POST /model/:id/price/:price_id/delete` */
export async function deletePrice(
  { prices }: Needs,
  { principal, locale, modelId, id }: { principal: Principal; locale: Locale; modelId: Uuid; id: Uuid },
): Promise<Envelope<Record<string, never>>> {
  await prices.delete(principal, modelId, id);
  return success(t(locale, "price.deleted"), {});
}
