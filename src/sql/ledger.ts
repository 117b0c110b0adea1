import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** What rows of the ledger share: the period of a budget that they are booked to, and why and how. */
export interface LedgerAccount {
  budget_id: Uuid;
  end_user: string;
  /** ISO 8601. */
  starts_at: string;
  kind: "call" | "reprice" | "write_off";
  /** Whose lease was written off. */
  holder_id: Uuid | null;
  /** In which the call cost something, exactly. */
  currency: string;
  /** What one unit of that was worth in the budget's currency; 0 where nobody knew. */
  rate: string;
  created_at: string;
}

/** An amount that is booked to a period of a budget; see the table's migration. */
export interface LedgerRow {
  account: LedgerAccount;
  id: Uuid;
  request_id: Uuid | null;
  cost: string;
  /** In the budget's currency. */
  amount: string;
  bound_exceeded: boolean;
}

/** How much memory an array has to begin with, in bytes. */
const arrayBytes = 1024;

/** A text that PostgreSQL reads as an array, of ASCII that needs no quotes; kept as bytes, which the collector need not look at. */
class ArrayText {
  #bytes = Buffer.allocUnsafeSlow(arrayBytes);
  #length = 0;

  add(value: string): void {
    const end = this.#length + 1 + value.length;
    if (end > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes, Buffer.allocUnsafeSlow(end)]);
    this.#bytes[this.#length] = 0x2c; // ,
    this.#bytes.write(value, this.#length + 1, "latin1");
    this.#length = end;
  }

  clear(): void {
    this.#length = 0;
  }

  toString(): string {
    return `{${this.#bytes.toString("latin1", 1, Math.max(1, this.#length))}}`;
  }
}

/** Rows of the ledger on their way there. */
export class LedgerRows {
  readonly #accounts = new Map<LedgerAccount, number>();
  readonly places = new ArrayText();
  readonly ids = new ArrayText();
  readonly requestIds = new ArrayText();
  readonly costs = new ArrayText();
  readonly amounts = new ArrayText();
  readonly exceeded = new ArrayText();

  static of(rows: readonly LedgerRow[]): LedgerRows {
    const all = new LedgerRows();
    for (const row of rows) all.add(row);
    return all;
  }

  add({ account, id, request_id, cost, amount, bound_exceeded }: LedgerRow): void {
    let place = this.#accounts.get(account);
    if (place === undefined) {
      place = this.#accounts.size;
      this.#accounts.set(account, place);
    }
    this.places.add(String(place));
    this.ids.add(id);
    this.requestIds.add(request_id ?? "null");
    this.costs.add(cost);
    this.amounts.add(amount);
    this.exceeded.add(bound_exceeded ? "t" : "f");
  }

  get empty(): boolean {
    return this.#accounts.size === 0;
  }

  /** What they share, each once, as a JSON text. */
  accounts(): string {
    return JSON.stringify([...this.#accounts].map(([account, place]) => ({ ...account, place })));
  }

  /** Forgets them. */
  clear(): void {
    this.#accounts.clear();
    for (const column of [this.places, this.ids, this.requestIds, this.costs, this.amounts, this.exceeded])
      column.clear();
  }
}

/**
 * Books rows, and takes them from what `holderId` has on lease, in the transaction of the calls that they are of. The periods
 * are locked first, in the order in which everybody locks them. One statement, so that the rows travel once, and what they share
 * only once for all that have it as one object.
 */
export async function insertLedgerMany(db: Db, rows: LedgerRows, holderId: Uuid | undefined): Promise<void> {
  await db`
    with account as materialized (
      select * from json_to_recordset(${rows.accounts()}::text::json) as account (place integer, budget_id uuid, end_user text,
        starts_at timestamptz, kind text, holder_id uuid, currency text, rate numeric(24, 12), created_at timestamptz)
    ), booked as materialized (
      select id, budget_id, end_user, starts_at, kind, request_id, holder_id, currency, cost, rate, amount, bound_exceeded,
        created_at
      from unnest(
        ${String(rows.places)}::text::integer[],
        ${String(rows.ids)}::text::uuid[],
        ${String(rows.requestIds)}::text::uuid[],
        ${String(rows.costs)}::text::numeric(38, 18)[],
        ${String(rows.amounts)}::text::numeric(38, 18)[],
        ${String(rows.exceeded)}::text::boolean[]
      ) as row (place, id, request_id, cost, amount, bound_exceeded) join account using (place)
    ), sums as materialized (
      select budget_id, end_user, starts_at, sum(amount) as amount,
        count(distinct request_id) filter (where bound_exceeded) as exceeded_calls,
        coalesce(sum(amount) filter (where bound_exceeded), 0) as exceeded
      from booked group by 1, 2, 3
    ), locked as materialized (
      select p.budget_id, p.end_user, p.starts_at, s.amount, s.exceeded_calls, s.exceeded
      from budget_period p join sums s using (budget_id, end_user, starts_at)
      order by p.budget_id, p.end_user, p.starts_at for update of p
    ), spent as (
      update budget_period p set spent = p.spent + l.amount, exceeded_calls = p.exceeded_calls + l.exceeded_calls,
        exceeded = p.exceeded + l.exceeded
      from locked l where p.budget_id = l.budget_id and p.end_user = l.end_user and p.starts_at = l.starts_at
    ), leased as (
      update budget_lease b set amount = b.amount - l.amount
      from locked l
      where b.budget_id = l.budget_id and b.end_user = l.end_user and b.starts_at = l.starts_at
        and b.holder_id = ${holderId ?? null}
    )
    insert into ledger select * from booked`;
}

/** What was written off of a process's leases, as it is taken back: less than nothing, for each period. */
export async function listWriteOff(
  db: Db,
  holderId: Uuid,
): Promise<Omit<BookedSum, "request_id" | "rate">[]> {
  const rows = await db<(Omit<BookedSum, "starts_at"> & { starts_at: Date })[]>`
    select l.budget_id, l.end_user, l.starts_at, l.currency, trim_scale(-sum(l.cost))::text as cost,
      trim_scale(-sum(l.amount))::text as amount
    from budget_lease b join ledger l using (budget_id, end_user, starts_at)
    where b.holder_id = ${holderId} and l.kind = 'write_off' and l.holder_id = ${holderId}
    group by 1, 2, 3, 4 having sum(l.amount) <> 0`;
  return rows.map(({ starts_at, ...row }) => ({ ...row, starts_at: starts_at.toISOString() }));
}

/** What a call was booked at in one budget, currency and rate. */
export type BookedSum = Pick<LedgerAccount, "budget_id" | "end_user" | "starts_at" | "currency" | "rate"> &
  Pick<LedgerRow, "request_id" | "cost" | "amount">;

/** Lists what calls were booked at, all corrections included. */
export async function listBookedSum(db: Db, requestIds: readonly Uuid[]): Promise<BookedSum[]> {
  const rows = await db<(Omit<BookedSum, "starts_at"> & { starts_at: Date })[]>`
    select budget_id, end_user, starts_at, request_id, currency, trim_scale(sum(cost))::text as cost,
      trim_scale(rate)::text as rate, trim_scale(sum(amount))::text as amount
    from ledger where request_id = any(${requestIds as Uuid[]})
    group by budget_id, end_user, starts_at, request_id, currency, rate having sum(cost) <> 0 or sum(amount) <> 0`;
  return rows.map(({ starts_at, ...row }) => ({ ...row, starts_at: starts_at.toISOString() }));
}

/** A budget whose figures do not agree. */
export interface LedgerFault {
  budget: string;
  end_user: string;
  starts_at: Date;
  /** What is wrong, and both sides of it. */
  what: "spent" | "calls";
  ledger: string;
  other: string;
}

/**
 * Lists where the ledger does not sum up: to what its period says was spent, or, currency by currency, to what the calls that
 * are on record cost. Calls that are no longer on record are left out on both sides.
 */
export async function listLedgerFault(db: Db): Promise<LedgerFault[]> {
  return db<LedgerFault[]>`
    with booked as (
      select budget_id, end_user, starts_at, sum(amount) as amount from ledger group by 1, 2, 3
    ), oldest as (
      select id from request order by id limit 1
    ), costs as (
      select c.budget_id, c.end_user, c.starts_at, a.currency, sum(a.cost) as cost
      from request r
        cross join lateral jsonb_to_recordset(r.charges) as c (budget_id uuid, end_user text, starts_at timestamptz)
        cross join lateral (
          select r.currency, r.cost where r.cost is not null
          union all
          select t.currency, t.cost from jsonb_to_recordset(r.attempts) as t (currency text, cost numeric)
          where t.currency is distinct from r.currency and t.currency is not null and t.cost is not null) a
      where r.charges is not null group by 1, 2, 3, 4
    ), calls as (
      select l.budget_id, l.end_user, l.starts_at, l.currency, sum(l.cost) as cost
      from ledger l, oldest
      where l.kind in ('call', 'reprice') and l.request_id >= oldest.id group by 1, 2, 3, 4
    ), faults as (
      select p.budget_id, p.end_user, p.starts_at, 'spent' as what, coalesce(b.amount, 0) as ledger, p.spent as other
      from budget_period p left join booked b using (budget_id, end_user, starts_at)
      where p.spent <> coalesce(b.amount, 0)
      union all
      select budget_id, end_user, starts_at, 'calls', coalesce(calls.cost, 0), coalesce(costs.cost, 0)
      from calls full join costs using (budget_id, end_user, starts_at, currency)
      where coalesce(calls.cost, 0) <> coalesce(costs.cost, 0)
    )
    select b.name as budget, f.end_user, f.starts_at, f.what, trim_scale(f.ledger)::text as ledger,
      trim_scale(f.other)::text as other
    from faults f join budget b on b.id = f.budget_id order by 1, 2, 3 limit 20`;
}
