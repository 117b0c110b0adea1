import type { Sql } from "../../src/database/pool.ts";

/** Every row of `app`, deleted ones too, as text that also changes when a row is written again with the same values. */
export async function appRows(sql: Sql): Promise<string[]> {
  const rows = await sql<
    { row: string }[]
  >`select xmin::text || ' ' || app::text as row from app order by id`;
  return rows.map(({ row }) => row);
}
