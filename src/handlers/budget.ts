import type { Principal } from "../auth/principal.ts";
import { type Envelope, success } from "../errors/envelope.ts";
import { type Locale, t } from "../i18n/messages.ts";
import type { Uuid } from "../id.ts";
import type {
  Budget,
  BudgetChange,
  BudgetExplanation,
  BudgetLeaseRow,
  BudgetScope,
  BudgetService,
  BudgetState,
  BudgetSums,
  LedgerEntry,
  NewBudget,
} from "../services/budget.ts";
import { type PageQuery, toPage, toWirePage } from "./page.ts";

interface Needs {
  budgets: BudgetService;
}

interface Caller {
  principal: Principal;
  locale: Locale;
}

type Timed<T, K extends keyof T> = Omit<T, K> & { [Each in K]: string | (null & T[Each]) };

/** How a budget stands, as callers see it. */
export type WireBudgetState = Timed<Omit<BudgetState, "budget_id">, "starts_at" | "ends_at">;

/** A budget as callers see it. */
export type WireBudget = Timed<
  Omit<Budget, "deleted_at" | "state"> & { state: WireBudgetState },
  "created_at" | "updated_at"
>;

/** What a budget's state comes from, as callers see it. */
export interface WireBudgetExplanation {
  state: WireBudgetState;
  leases: Timed<BudgetLeaseRow, "expires_at">[];
  ledger: { items: Timed<LedgerEntry, "created_at">[]; next_cursor: Uuid | null };
  sums: BudgetSums;
}

const toWireState = ({ budget_id: _, ...state }: BudgetState): WireBudgetState => ({
  ...state,
  starts_at: state.starts_at.toISOString(),
  ends_at: state.ends_at?.toISOString() ?? null,
});

const toWireBudget = ({ deleted_at: _, ...budget }: Budget): WireBudget => ({
  ...budget,
  created_at: budget.created_at.toISOString(),
  updated_at: budget.updated_at.toISOString(),
  state: toWireState(budget.state),
});

const toWireExplanation = ({ state, leases, ledger, sums }: BudgetExplanation): WireBudgetExplanation => ({
  state: toWireState(state),
  leases: leases.map((lease) => ({ ...lease, expires_at: lease.expires_at?.toISOString() ?? null })),
  ledger: toWirePage(ledger, (entry) => ({ ...entry, created_at: entry.created_at.toISOString() })),
  sums,
});

/** `POST /budget` */
export async function createBudget(
  { budgets }: Needs,
  { principal, locale, body }: Caller & { body: NewBudget },
): Promise<Envelope<WireBudget>> {
  const budget = await budgets.create(principal, body);
  return success(t(locale, "budget.created", { name: budget.name }), toWireBudget(budget));
}

/** `GET /budget` */
export async function listBudgets(
  { budgets }: Needs,
  {
    principal,
    query: { scope, subject_id: subjectId, ...page },
  }: { principal: Principal; query: PageQuery & { scope?: BudgetScope; subject_id?: Uuid } },
): Promise<Envelope<{ items: WireBudget[]; next_cursor: Uuid | null }>> {
  const filter = {
    ...toPage(page),
    ...(scope !== undefined && { scope }),
    ...(subjectId !== undefined && { subjectId }),
  };
  return success("", toWirePage(await budgets.list(principal, filter), toWireBudget));
}

/** `GET /budget/:id` */
export async function getBudget(
  { budgets }: Needs,
  { principal, id, query }: { principal: Principal; id: Uuid; query: { end_user?: string } },
): Promise<Envelope<WireBudget>> {
  return success("", toWireBudget(await budgets.get(principal, id, query.end_user)));
}

/** `POST /budget/:id` */
export async function updateBudget(
  { budgets }: Needs,
  { principal, locale, id, body }: Caller & { id: Uuid; body: BudgetChange },
): Promise<Envelope<WireBudget>> {
  const budget = await budgets.update(principal, id, body);
  return success(t(locale, "budget.updated", { name: budget.name }), toWireBudget(budget));
}

/** `POST /budget/:id/delete` */
export async function deleteBudget(
  { budgets }: Needs,
  { principal, locale, id }: Caller & { id: Uuid },
): Promise<Envelope<Record<string, never>>> {
  await budgets.delete(principal, id);
  return success(t(locale, "budget.deleted"), {});
}

/** `GET /budget/:id/explain` */
export async function explainBudget(
  { budgets }: Needs,
  {
    principal,
    id,
    query: { end_user: endUser, starts_at, ...page },
  }: { principal: Principal; id: Uuid; query: PageQuery & { end_user?: string; starts_at?: string } },
): Promise<Envelope<WireBudgetExplanation>> {
  const which = {
    ...toPage(page),
    ...(endUser !== undefined && { endUser }),
    ...(starts_at !== undefined && { moment: new Date(starts_at) }),
  };
  return success("", toWireExplanation(await budgets.explain(principal, id, which)));
}
