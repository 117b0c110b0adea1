import { newId, type Uuid } from "../../src/id.ts";
import { insertBudget } from "../../src/sql/budget.ts";
import type { Db } from "../../src/sql/db.ts";
import { insertRate } from "../../src/sql/rate.ts";
import { insertRateLimit, type RateLimitRow } from "../../src/sql/rate-limit.ts";
import { type GatewayApp, heard, startGateway } from "../harness/gateway.ts";

/** A question as short as it gets: what it may cost is by its bytes. */
export const question = { model: "app", max_tokens: 10, messages: [{ role: "user", content: "hi" }] };

/** Limits, budgets and rates to be set before the first call. */
export interface Planted {
  limits?: (ids: Ids) => Partial<RateLimitRow>[];
  budgets?: (ids: Ids) => object[];
  rates?: { base: string; quote: string; value: string }[];
}

export interface Ids {
  appId: Uuid;
  keyId: Uuid;
  accountId: Uuid;
}

/** Starts a gateway under limits. */
export async function startLimited(
  { limits, budgets, rates = [] }: Planted,
  options: Parameters<typeof startGateway>[0] = {},
): Promise<GatewayApp & Ids & { budgetIds: Uuid[] }> {
  const gateway = await startGateway(options);
  const sql = gateway.app.database.sql as unknown as Db;
  const [key] = await sql<{ id: Uuid; account_id: Uuid }[]>`
    select app_key.id, account_id from app_key join app on app.id = app_id where revoked_at is null`;
  const ids: Ids = { appId: gateway.appId, keyId: key?.id ?? "", accountId: key?.account_id ?? "" };
  const at = { created_at: new Date(), updated_at: new Date() };
  for (const limit of limits?.(ids) ?? []) {
    const empty = { subject: "", end_user: "", requests: null, tokens: null, concurrency: null };
    await insertRateLimit(sql, { id: newId(), scope: "key", ...empty, ...limit, ...at });
  }
  const budgetIds: Uuid[] = [];
  for (const budget of budgets?.(ids) ?? []) {
    const id = newId();
    budgetIds.push(id);
    await insertBudget(sql, {
      id,
      name: `budget ${budgetIds.length}`,
      scope: "app",
      subject_id: ids.appId,
      end_user: null,
      period: "forever",
      time_zone: "UTC",
      currency: "CNY",
      amount: "1",
      hard: true,
      warn_at: [],
      status: "",
      deleted_at: null,
      ...budget,
      ...at,
    });
  }
  for (const rate of rates) {
    await insertRate(sql, {
      id: newId(),
      ...rate,
      valid_from: new Date(0),
      source: "",
      created_at: new Date(),
    });
  }
  await heard(gateway.app, gateway.appId);
  return Object.assign(gateway, ids, { budgetIds });
}
