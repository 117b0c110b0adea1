import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** A call as a JSON object of its columns; its cost is text, which is exact. */
export interface PricedRequest {
  id: Uuid;
  created_at: string;
  cost: string | null;
  currency: string | null;
  attempts: readonly object[];
}

/** Lists calls with their attempts, oldest first, by keyset on the id, and keeps them as they are until the commit. */
export async function listPricedRequest<T extends PricedRequest>(
  db: Db,
  { after, to, limit }: { after: Uuid; to: Uuid; limit: number },
): Promise<T[]> {
  const rows = await db<{ record: T }[]>`
    select to_jsonb(request) || jsonb_build_object('cost', trim_scale(cost)::text) as record
    from request where id > ${after} and id < ${to} order by id limit ${limit} for update`;
  // The time is written as the service writes it, whose first characters are the hour and the day.
  return rows.map(({ record }) => ({ ...record, created_at: new Date(record.created_at).toISOString() }));
}

/** Sets what calls cost, and their attempts with them. */
export async function updateRequestCostMany(db: Db, records: readonly PricedRequest[]): Promise<void> {
  const rows = JSON.stringify(
    records.map(({ id, cost, currency, attempts }) => ({ id, cost, currency, attempts })),
  );
  await db`
    update request set cost = priced.cost, currency = priced.currency, attempts = priced.attempts
    from json_to_recordset(${rows}::text::json) as priced (id uuid, cost numeric, currency text, attempts jsonb)
    where request.id = priced.id`;
}
