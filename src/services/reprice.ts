import type { Sql } from "../database/pool.ts";
import type { Target } from "../gateway/target.ts";
import { totalOf } from "../gateway/total.ts";
import { createRules } from "../limits/rules.ts";
import { type StoredAttempt, storedAttempts, wholeAttempts } from "../metering/attempts.ts";
import { costOf } from "../metering/cost.ts";
import { correctionOf } from "../metering/ledger.ts";
import { sum } from "../metering/money.ts";
import type { AttemptRecord, CallRecord, Charge } from "../metering/record.ts";
import { rollUp } from "../metering/rollup.ts";
import { insertLedgerMany, listBookedSum } from "../sql/ledger.ts";
import { listAllRate } from "../sql/rate.ts";
import { listPricedRequest, updateRequestCostMany } from "../sql/reprice.ts";
import { insertUsageMany } from "../sql/usage-rollup.ts";
import type { Registry } from "./registry.ts";
import { idAt } from "./request.ts";

/** What pricing anew came to: amounts by currency, exact decimals. */
export interface Repricing {
  calls: number;
  changed: number;
  before: Map<string, string>;
  after: Map<string, string>;
}

/** A call as it stands in its table. */
type StoredCall = Omit<CallRecord, "attempts"> & {
  attempts: readonly StoredAttempt[];
  charges: readonly Charge[] | null;
};

/** Calls of one transaction. */
const batchMax = 1000;

/** An attempt at what the prices say now; one that consumed nothing stays as it is. */
function repriced(attempt: AttemptRecord, targets: ReadonlyMap<string, Target>, at: Date): AttemptRecord {
  if (attempt.usage_source === "none") return attempt;
  const target = targets.get(`${attempt.provider}\n${attempt.model}`);
  if (!target) return attempt;
  const usage = {
    promptTokens: attempt.prompt_tokens,
    cachedTokens: attempt.cached_tokens,
    cacheWriteTokens: attempt.cache_write_tokens,
    cacheWriteLongTokens: attempt.cache_write_long_tokens ?? 0,
    completionTokens: attempt.completion_tokens,
    reasoningTokens: attempt.reasoning_tokens,
  };
  const priced = costOf(usage, target.prices, at);
  return { ...attempt, cost: priced?.cost ?? null, currency: priced?.currency ?? null };
}

const add = (totals: Map<string, string>, { cost, currency }: CallRecord) => {
  const key = cost === null ? "unpriced" : (currency ?? "-");
  totals.set(key, sum([totals.get(key) ?? "0", cost ?? "0"]));
};

/**
 * Prices the calls of a stretch of time anew, each by the version that was valid when it came in, and moves the difference into
 * the sums, and into the ledger of their budgets. What is told of a target is its provider and its name there; one that is no longer registered keeps its cost.
 */
export async function reprice(
  { sql, registry }: { sql: Sql; registry: Registry },
  {
    from,
    to,
    dryRun,
    progress,
  }: { from: Date; to: Date; dryRun: boolean; progress: (calls: number) => void },
): Promise<Repricing> {
  const targets = new Map<string, Target>();
  for (const { targets: all } of (await registry.all()).values()) {
    for (const { target } of all) targets.set(`${target.provider.name}\n${target.upstreamName}`, target);
  }
  const rules = createRules({ limits: [], budgets: [], rates: await listAllRate(sql) });
  const result: Repricing = { calls: 0, changed: 0, before: new Map(), after: new Map() };
  for (let after = idAt(from); ; ) {
    const last = await sql.begin(async (tx) => {
      const stored = await listPricedRequest<StoredCall>(tx, {
        after,
        to: idAt(to),
        limit: batchMax,
      });
      const records = stored.map((call) => ({ ...call, attempts: wholeAttempts(call, call.attempts) }));
      const old: typeof records = [];
      const fresh: typeof records = [];
      for (const record of records) {
        const at = new Date(record.created_at);
        const attempts = record.attempts.map((attempt) => repriced(attempt, targets, at));
        const priced = record.cache_hit ? record : { ...record, attempts, ...totalOf(attempts) };
        add(result.before, record);
        add(result.after, priced);
        if (JSON.stringify(attempts) === JSON.stringify(record.attempts)) continue;
        old.push(record);
        fresh.push(priced);
      }
      result.calls += records.length;
      result.changed += fresh.length;
      if (!dryRun && fresh.length > 0) {
        await updateRequestCostMany(
          tx,
          fresh.map((call) => ({ ...call, attempts: storedAttempts(call, call.attempts) })),
        );
        await insertUsageMany(tx, rollUp(old, -1));
        await insertUsageMany(tx, rollUp(fresh));
        const charged = fresh.flatMap(({ charges, ...record }) => (charges ? [{ ...record, charges }] : []));
        const ids = charged.map(({ id }) => id);
        const booked = ids.length > 0 ? await listBookedSum(tx, ids) : [];
        const rows = correctionOf(booked, charged, rules.rate, new Date().toISOString());
        if (!rows.empty) await insertLedgerMany(tx, rows, undefined);
      }
      return records.at(-1)?.id;
    });
    progress(result.calls);
    if (last === undefined) return result;
    after = last;
  }
}
