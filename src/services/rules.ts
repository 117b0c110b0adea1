import type { AccessChanges } from "../auth/access-cache.ts";
import type { Guard } from "../database/health.ts";
import type { Sql } from "../database/pool.ts";
import { createRules, type Rules } from "../limits/rules.ts";
import { mapSoon, type Soon } from "../soon.ts";
import { listUsableBudget } from "../sql/budget.ts";
import { listAllRate } from "../sql/rate.ts";
import { listAllRateLimit } from "../sql/rate-limit.ts";

const orNone = (rules: Rules | undefined): Rules =>
  rules ?? createRules({ limits: [], budgets: [], rates: [] });

/**
 * The limits, budgets and rates that have been set, kept in memory; a change counts in every process as soon as that of a key
 * does. What is returned throws {@link FailError} where they were never read and the database is away.
 */
export function knownRules({
  sql,
  changes,
  guard,
}: {
  sql: Sql;
  changes: Pick<AccessChanges, "cache">;
  guard: Guard;
}): () => Soon<Rules> {
  const load = async () => {
    const [limits, budgets, rates] = await Promise.all([
      listAllRateLimit(sql),
      listUsableBudget(sql),
      listAllRate(sql),
    ]);
    return { value: createRules({ limits, budgets, rates }), subjects: ["limits"] };
  };
  const guarded = guard({ load });
  const cache = changes.cache(guarded.load);
  return () => mapSoon(cache.get("all"), orNone, undefined);
}
