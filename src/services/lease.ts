import type { Actor } from "../auth/principal.ts";
import type { Sql } from "../database/pool.ts";
import { ConflictError, NotFoundError, ValidateError } from "../errors/app-error.ts";
import { newId, type Uuid } from "../id.ts";
import { fromUnits, toUnits } from "../metering/money.ts";
import {
  findBudgetLease,
  type HeldLease,
  listHeldLease,
  lockLeases,
  updateBudgetLeaseWrittenOff,
} from "../sql/lease.ts";
import { insertLedgerMany, LedgerRows } from "../sql/ledger.ts";
import type { AuditService } from "./audit.ts";

export type { HeldLease } from "../sql/lease.ts";

/** How much of a lease is taken to have been spent: all of it, nothing, or an amount of each. */
export type Spent = "all" | "none" | { amount: string };

/** Creates the service of what processes hold of budgets, and what becomes of it when nobody can tell any more. */
export function createLeaseService({ sql, audit }: { sql: Sql; audit: AuditService }) {
  return {
    /** What is held; `unknown` only by processes that are gone. */
    list: (filter: { unknown?: boolean } = {}): Promise<HeldLease[]> => listHeldLease(sql, filter),

    /**
     * Writes off what a process that is gone held of budgets: `spent` of it stays booked as spent, the rest is free. Should its
     * journal turn up after all, what it says takes the place of that.
     * @throws {NotFoundError} it holds nothing. @throws {ConflictError} it lives. @throws {ValidateError} more than it holds.
     */
    settle: (actor: Actor, holderId: Uuid, spent: Spent): Promise<HeldLease[]> =>
      sql.begin(async (tx) => {
        await lockLeases(tx, holderId);
        const held = await listHeldLease(tx, { holderId });
        if (held.length === 0) throw new NotFoundError("lease.not_found");
        if (held.some(({ unknown }) => !unknown)) throw new ConflictError("lease.alive");
        const settled: HeldLease[] = [];
        for (const lease of held) {
          const { budget_id: budgetId, end_user: endUser, starts_at: startsAt } = lease;
          const at = { budgetId, endUser, startsAt, holderId };
          const amount = (await findBudgetLease(tx, at)) ?? "0";
          const lost = spent === "all" ? amount : spent === "none" ? "0" : spent.amount;
          if (toUnits(lost) > toUnits(amount)) {
            throw new ValidateError({
              spent: [{ key: "lease.too_much", params: { amount, budget: lease.budget } }],
            });
          }
          await updateBudgetLeaseWrittenOff(tx, { ...at, amount });
          if (toUnits(lost) > 0n) {
            const account = {
              budget_id: budgetId,
              end_user: endUser,
              starts_at: startsAt.toISOString(),
              kind: "write_off" as const,
              holder_id: holderId,
              currency: lease.currency,
              rate: "1",
              created_at: new Date().toISOString(),
            };
            const row = {
              account,
              id: newId(),
              request_id: null,
              cost: fromUnits(toUnits(lost)),
              amount: fromUnits(toUnits(lost)),
              bound_exceeded: false,
            };
            await insertLedgerMany(tx, LedgerRows.of([row]), undefined);
          }
          settled.push({ ...lease, amount });
        }
        await audit.record(tx, {
          actor,
          action: "lease.settle",
          subjectKind: "lease",
          subjectId: holderId,
          before: {
            holder_id: holderId,
            leases: settled.map(({ budget_id, amount }) => ({ budget_id, amount })),
          },
          after: { holder_id: holderId, spent: typeof spent === "string" ? spent : spent.amount },
        });
        return settled;
      }),
  };
}
