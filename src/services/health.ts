import type { DatabaseHealth } from "../database/health.ts";
import type { Sql } from "../database/pool.ts";
import type { Drain } from "../drain.ts";

/** Whether the service can do its work. */
export type HealthService = ReturnType<typeof createHealthService>;

/** Creates the service; migrations need no look, because nothing is served before they have been applied. */
export function createHealthService({
  sql,
  database,
  drain,
}: {
  sql: Sql;
  database: DatabaseHealth;
  drain: Drain;
}) {
  const { ask } = database.guard({ ask: async () => sql`select 1` });
  return {
    /** Asks the database now; an answer or its absence is known within 2 s. */
    async ready(): Promise<{ database: boolean; draining: boolean }> {
      const answers = await ask().then(
        () => true,
        () => false,
      );
      return { database: answers, draining: drain.draining };
    },
  };
}
