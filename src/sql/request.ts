import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/**
 * Writes calls down; `json` is a list of records whose members are the table's columns. One that is there already stays as it
 * is: returns the ids of the others. One text for the whole batch, which PostgreSQL takes apart: a value at a time costs the
 * driver more than everything else.
 */
export async function insertRequestMany(db: Db, json: string): Promise<Uuid[]> {
  const rows = await db<{ id: Uuid }[]>`
    insert into request select * from json_populate_recordset(null::request, ${json}::text::json)
    on conflict (id) do nothing
    returning id`;
  return rows.map(({ id }) => id);
}

/** Writes down what was asked and answered; `json` as above, with question and answer as JSON values. */
export async function insertRequestContentMany(db: Db, json: string): Promise<void> {
  await db`
    insert into request_content (id, app_id, question, answer, truncated)
    select id, app_id, question::text, answer::text, coalesce(truncated, false)
    from json_to_recordset(${json}::text::json)
      as content (id uuid, app_id uuid, question json, answer json, truncated boolean)
    on conflict (id) do nothing`;
}
