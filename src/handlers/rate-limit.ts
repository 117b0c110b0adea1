import type { Principal } from "../auth/principal.ts";
import { type Envelope, success } from "../errors/envelope.ts";
import { type Locale, t } from "../i18n/messages.ts";
import type { Uuid } from "../id.ts";
import type {
  NewRateLimit,
  RateLimitChange,
  RateLimitRow,
  RateLimitScope,
  RateLimitService,
} from "../services/rate-limit.ts";
import { type PageQuery, toPage, toWirePage } from "./page.ts";

interface Needs {
  rateLimits: RateLimitService;
}

interface Caller {
  principal: Principal;
  locale: Locale;
}

/** A limit as callers see it. */
export type WireRateLimit = Omit<RateLimitRow, "created_at" | "updated_at"> & {
  created_at: string;
  updated_at: string;
};

const toWireRateLimit = (limit: RateLimitRow): WireRateLimit => ({
  ...limit,
  created_at: limit.created_at.toISOString(),
  updated_at: limit.updated_at.toISOString(),
});

/** `POST /rate-limit` */
export async function createRateLimit(
  { rateLimits }: Needs,
  { principal, locale, body }: Caller & { body: NewRateLimit },
): Promise<Envelope<WireRateLimit>> {
  const limit = await rateLimits.create(principal, body);
  return success(t(locale, "rate_limit.created"), toWireRateLimit(limit));
}

/** `GET /rate-limit` */
export async function listRateLimits(
  { rateLimits }: Needs,
  {
    principal,
    query: { scope, subject, ...page },
  }: { principal: Principal; query: PageQuery & { scope?: RateLimitScope; subject?: string } },
): Promise<Envelope<{ items: WireRateLimit[]; next_cursor: Uuid | null }>> {
  const filter = {
    ...toPage(page),
    ...(scope !== undefined && { scope }),
    ...(subject !== undefined && { subject }),
  };
  return success("", toWirePage(await rateLimits.list(principal, filter), toWireRateLimit));
}

/** `GET /rate-limit/:id` */
export async function getRateLimit(
  { rateLimits }: Needs,
  { principal, id }: { principal: Principal; id: Uuid },
): Promise<Envelope<WireRateLimit>> {
  return success("", toWireRateLimit(await rateLimits.get(principal, id)));
}

/** `POST /rate-limit/:id` */
export async function updateRateLimit(
  { rateLimits }: Needs,
  { principal, locale, id, body }: Caller & { id: Uuid; body: RateLimitChange },
): Promise<Envelope<WireRateLimit>> {
  const limit = await rateLimits.update(principal, id, body);
  return success(t(locale, "rate_limit.updated"), toWireRateLimit(limit));
}

/** `POST /rate-limit/:id/delete` */
export async function deleteRateLimit(
  { rateLimits }: Needs,
  { principal, locale, id }: Caller & { id: Uuid },
): Promise<Envelope<Record<string, never>>> {
  await rateLimits.delete(principal, id);
  return success(t(locale, "rate_limit.deleted"), {});
}
