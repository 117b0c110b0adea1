import type { Principal } from "../auth/principal.ts";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import { NotFoundError, ValidateError } from "../errors/app-error.ts";
import { newId, type Uuid } from "../id.ts";
import { formatDecimal, parseDecimal } from "../metering/money.ts";
import {
  type BudgetFilter,
  type BudgetRow,
  deleteBudget,
  findBudget,
  insertBudget,
  listBudget,
  updateBudget,
} from "../sql/budget.ts";
import {
  type BudgetLeaseRow,
  type BudgetState,
  type BudgetSums,
  hasTimeZone,
  type LedgerEntry,
  listBudgetLease,
  listBudgetLedger,
  listBudgetState,
  sumBudgetLedger,
} from "../sql/budget-state.ts";
import type { Db } from "../sql/db.ts";
import type { AuditService } from "./audit.ts";
import { requireSubject } from "./limit-subject.ts";
import { type Page, pageOf } from "./page.ts";

export type { BudgetScope } from "../sql/budget.ts";
export type { BudgetLeaseRow, BudgetState, BudgetSums, LedgerEntry } from "../sql/budget-state.ts";

/** A budget, and how it stands. */
export type Budget = BudgetRow & { state: BudgetState };

/** What may be changed of a budget; a field that is absent stays as it is. */
export type BudgetChange = Partial<Pick<BudgetRow, "name" | "amount" | "hard" | "warn_at" | "status">>;

/** A new budget. */
export type NewBudget = BudgetChange &
  Pick<BudgetRow, "name" | "scope" | "subject_id" | "period" | "currency" | "amount"> &
  Partial<Pick<BudgetRow, "end_user" | "time_zone">>;

/** What a budget's state comes from. */
export interface BudgetExplanation {
  state: BudgetState;
  leases: BudgetLeaseRow[];
  ledger: Page<LedgerEntry>;
  sums: BudgetSums;
}

/** Most leases that are told of. */
const leasesMax = 1000;

/** Names of IANA, and none of the offsets that PostgreSQL reads the other way round. */
const timeZoneForm = /^(?:UTC|[A-Z][\w+-]*(?:\/[\w+-]+)+)$/i;

function isTimeZone(name: string): boolean {
  if (!timeZoneForm.test(name)) return false;
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** The shares in order, each once. @throws {ValidateError} one has more than three decimals. */
function shares(warnAt: readonly number[]): number[] {
  if (warnAt.some((share) => Number(share.toFixed(3)) !== share)) {
    throw new ValidateError({ warn_at: [{ key: "budget.warn_at" }] });
  }
  return [...new Set(warnAt)].sort((a, b) => a - b);
}

/** Rules of budgets, which administrators keep. */
export type BudgetService = ReturnType<typeof createBudgetService>;

/** Creates the service over a pool. */
export function createBudgetService({ sql, clock, audit }: { sql: Sql; clock: Clock; audit: AuditService }) {
  const require = async (db: Db, viewer: Principal, id: Uuid, lock = false): Promise<BudgetRow> => {
    const found = await findBudget(db, { id, viewer, lock });
    if (!found) throw new NotFoundError("budget.not_found");
    return found;
  };

  const record = (
    db: Db,
    { actor }: Principal,
    action: string,
    { before, after }: { before: BudgetRow | null; after: BudgetRow | null },
  ) =>
    audit.record(db, {
      actor,
      action: `budget.${action}`,
      subjectKind: "budget",
      subjectId: (after ?? before)?.id ?? "",
      before,
      after,
    });

  /** The budget with a change. @throws {ValidateError} what must not be. */
  const changed = (before: BudgetRow, change: BudgetChange): BudgetRow => {
    const after = { ...before, ...change };
    return {
      ...after,
      amount: formatDecimal(parseDecimal(after.amount)),
      warn_at: shares(after.warn_at),
      updated_at: clock.now(),
    };
  };

  const stateOf = async (
    db: Db,
    id: Uuid,
    which: { endUser?: string; moment?: Date } = {},
  ): Promise<BudgetState> => {
    const [state] = await listBudgetState(db, { ...which, ids: [id] });
    if (!state) throw new NotFoundError("budget.not_found");
    return state;
  };

  /**
   * Which rows of a budget somebody asks for: those of one user, where each has the budget, or all.
   * @throws {ValidateError} the budget is not that user's.
   */
  const rowsOf = ({ scope, end_user }: BudgetRow, endUser: string | undefined): { endUser?: string } => {
    if (endUser === undefined || endUser === end_user) return {};
    if (scope === "user" && end_user === null) return { endUser };
    throw new ValidateError({ end_user: [{ key: "budget.not_theirs" }] });
  };

  return {
    /** Makes a budget. @throws {ValidateError} what it must not be, or there is nothing of the subject's id. */
    async create(principal: Principal, fields: NewBudget): Promise<Budget> {
      const { scope, subject_id: subject, end_user = null, time_zone = "UTC" } = fields;
      if (end_user !== null && scope !== "user") {
        throw new ValidateError({ end_user: [{ key: "budget.end_user" }] });
      }
      if (!isTimeZone(time_zone) || !(await hasTimeZone(sql, time_zone))) {
        throw new ValidateError({ time_zone: [{ key: "budget.time_zone" }] });
      }
      const now = clock.now();
      const usual = { hard: true, warn_at: [0.8], status: "" as const };
      const made = { id: newId(), created_at: now, updated_at: now, deleted_at: null };
      const budget = changed({ ...usual, ...fields, ...made, end_user, time_zone }, {});
      return sql.begin(async (tx) => {
        budget.subject_id = await requireSubject(tx, { scope, subject, field: "subject_id" });
        await insertBudget(tx, budget);
        await record(tx, principal, "create", { before: null, after: budget });
        return { ...budget, state: await stateOf(tx, budget.id) };
      });
    },

    /**
     * The budget with this id, and how it stands: for `endUser`, or for all.
     * @throws {NotFoundError} none, or not visible to `principal`. @throws {ValidateError} it is not that user's.
     */
    async get(principal: Principal, id: Uuid, endUser?: string): Promise<Budget> {
      const budget = await require(sql, principal, id);
      return { ...budget, state: await stateOf(sql, id, rowsOf(budget, endUser)) };
    },

    /** A page of the budgets that `principal` may see, newest first, and how they stand. */
    list: (principal: Principal, filter: Omit<BudgetFilter, "viewer">): Promise<Page<Budget>> =>
      sql.begin("isolation level repeatable read read only", async (tx) => {
        const rows = await listBudget(tx, { ...filter, viewer: principal, limit: filter.limit + 1 });
        const { items, nextCursor } = pageOf(rows, filter.limit);
        const states = await listBudgetState(tx, { ids: items.map(({ id }) => id) });
        const byId = new Map(states.map((state) => [state.budget_id, state]));
        return {
          items: items.flatMap((budget) => {
            const state = byId.get(budget.id);
            return state ? [{ ...budget, state }] : [];
          }),
          nextCursor,
        };
      }),

    /** Changes the given fields and no others. @throws {NotFoundError} @throws {ValidateError} as `create`. */
    update: (principal: Principal, id: Uuid, change: BudgetChange): Promise<Budget> =>
      sql.begin(async (tx) => {
        const before = await require(tx, principal, id, true);
        const same = Object.keys(change).length === 0;
        const after = same ? before : changed(before, change);
        if (!same) {
          await updateBudget(tx, after);
          await record(tx, principal, "update", { before, after });
        }
        return { ...after, state: await stateOf(tx, id) };
      }),

    /** Deletes a budget; what was spent of it stays on record. @throws {NotFoundError} */
    async delete(principal: Principal, id: Uuid): Promise<void> {
      await sql.begin(async (tx) => {
        const before = await require(tx, principal, id, true);
        await deleteBudget(tx, { id, at: clock.now() });
        await record(tx, principal, "delete", { before, after: null });
      });
    },

    /**
     * What a budget's state comes from, all as it stood at one moment. @throws as `get`.
     */
    explain: (
      principal: Principal,
      id: Uuid,
      { endUser, moment, before, limit }: { endUser?: string; moment?: Date; before?: Uuid; limit: number },
    ): Promise<BudgetExplanation> =>
      sql.begin("isolation level repeatable read read only", async (tx) => {
        const rows = rowsOf(await require(tx, principal, id), endUser);
        const state = await stateOf(tx, id, { ...rows, ...(moment && { moment }) });
        const at = { ...rows, budgetId: id, startsAt: state.starts_at };
        const ledger = await listBudgetLedger(tx, { ...at, limit: limit + 1, ...(before && { before }) });
        return {
          state,
          leases: await listBudgetLease(tx, { ...at, limit: leasesMax }),
          ledger: pageOf(ledger, limit),
          sums: await sumBudgetLedger(tx, at),
        };
      }),
  };
}
