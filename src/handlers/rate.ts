import type { Principal } from "../auth/principal.ts";
import { type Envelope, success } from "../errors/envelope.ts";
import { type Locale, t } from "../i18n/messages.ts";
import type { Uuid } from "../id.ts";
import type { NewRate, RateRow, RateService } from "../services/rate.ts";
import { type PageQuery, toPage, toWirePage } from "./page.ts";

interface Needs {
  rates: RateService;
}

interface Caller {
  principal: Principal;
  locale: Locale;
}

/** A rate as callers see it. */
export type WireRate = Omit<RateRow, "valid_from" | "created_at"> & {
  valid_from: string;
  created_at: string;
};

const toWireRate = (rate: RateRow): WireRate => ({
  ...rate,
  valid_from: rate.valid_from.toISOString(),
  created_at: rate.created_at.toISOString(),
});

/** `POST /rate` */
export async function createRate(
  { rates }: Needs,
  {
    principal,
    locale,
    body: { valid_from, ...fields },
  }: Caller & { body: Omit<NewRate, "valid_from"> & { valid_from?: string } },
): Promise<Envelope<WireRate>> {
  const at = valid_from === undefined ? {} : { valid_from: new Date(valid_from) };
  const rate = await rates.create(principal, { ...fields, ...at });
  return success(t(locale, "rate.created"), toWireRate(rate));
}

/** `GET /rate` */
export async function listRates(
  { rates }: Needs,
  { base, quote, ...page }: PageQuery & { base?: string; quote?: string },
): Promise<Envelope<{ items: WireRate[]; next_cursor: Uuid | null }>> {
  const filter = {
    ...toPage(page),
    ...(base !== undefined && { base }),
    ...(quote !== undefined && { quote }),
  };
  return success("", toWirePage(await rates.list(filter), toWireRate));
}

/** `POST /rate/:id/delete` */
export async function deleteRate(
  { rates }: Needs,
  { principal, locale, id }: Caller & { id: Uuid },
): Promise<Envelope<Record<string, never>>> {
  await rates.delete(principal, id);
  return success(t(locale, "rate.deleted"), {});
}
