import type { Sql } from "../database/pool.ts";
import { newId, type Uuid } from "../id.ts";
import { deleteLeaseHolder, lockLeases } from "../sql/lease.ts";
import { insertLedgerMany, LedgerRows, listWriteOff } from "../sql/ledger.ts";

/**
 * Gives up what a process has on lease, all of whose calls are in the database now. Should somebody have written a part of it
 * off meanwhile, that was wrong, and is taken back.
 */
export async function releaseLease(sql: Sql, holderId: Uuid): Promise<void> {
  await sql.begin(async (tx) => {
    await lockLeases(tx, holderId);
    const now = new Date().toISOString();
    const wrong = (await listWriteOff(tx, holderId)).map(({ cost, amount, ...account }) => ({
      account: {
        ...account,
        kind: "write_off" as const,
        holder_id: holderId,
        rate: "1",
        created_at: now,
      },
      id: newId(),
      request_id: null,
      cost,
      amount,
      bound_exceeded: false,
    }));
    if (wrong.length > 0) await insertLedgerMany(tx, LedgerRows.of(wrong), undefined);
    await deleteLeaseHolder(tx, holderId);
  });
}
