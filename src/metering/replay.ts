import { existsSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Sql } from "../database/pool.ts";
import { tryExclusive } from "../file-lock.ts";
import { isId, type Uuid } from "../id.ts";
import type { Log } from "../log.ts";
import { Batch } from "./batch.ts";
import { createReject, writeOrReject } from "./flush.ts";
import { lockName, rejectedName, segmentsIn } from "./journal.ts";
import { type Closed, createJournalReader } from "./lines.ts";
import { releaseLease } from "./release.ts";

/**
 * Brings the journals of processes that are gone into the database: what they closed as it stands, and what they did not as
 * `interrupted`. A journal whose process lives is locked, and left alone; one that was brought in before adds nothing. Returns
 * how many records there were.
 * @throws where the database is away; the journals stay.
 */
export async function replayJournals({
  sql,
  root,
  log,
}: {
  sql: Sql;
  root: string;
  log: Log;
}): Promise<number> {
  if (!existsSync(root)) return 0;
  let count = 0;
  for (const name of readdirSync(root).filter(isId)) {
    const folder = join(root, name);
    if (segmentsIn(folder).length === 0 && existsSync(join(folder, rejectedName))) continue;
    // What this version cannot read is left to the one that has written it.
    if (readdirSync(folder).some((file) => /^\d{8}\.(?!rows$)/.test(file))) continue;
    const lock = tryExclusive(join(folder, lockName));
    if (!lock) continue;
    let damaged = false;
    try {
      const brought = await replay({ sql, folder, holderId: name, log });
      count += brought.count;
      damaged = brought.damaged;
      // What it spent is booked: the rest of what it held is free.
      await releaseLease(sql, name);
    } finally {
      lock.release();
    }
    if (existsSync(join(folder, rejectedName)))
      renameSync(join(folder, rejectedName), join(root, `${name}.${rejectedName}`));
    // Somebody may still make something of it.
    if (damaged) renameSync(folder, `${folder}.damaged`);
    else rmSync(folder, { recursive: true, force: true });
  }
  return count;
}

async function replay({
  sql,
  folder,
  holderId,
  log,
}: {
  sql: Sql;
  folder: string;
  holderId: Uuid;
  log: Log;
}): Promise<{ count: number; damaged: boolean }> {
  const reader = createJournalReader();
  let count = 0;
  const reject = createReject(folder, log);
  const write = async (items: readonly Closed[]) => {
    for (const batch of Batch.all(items)) await writeOrReject(sql, batch, holderId, reject);
    count += items.length;
  };
  for (const path of segmentsIn(folder)) await write(reader.read(path));
  const interrupted = reader.rest();
  await write(interrupted);
  if (reader.damaged > 0) log.error("lines of a journal make no sense", { folder, lines: reader.damaged });
  if (count > 0)
    log.info("records of an ended process were brought in", {
      records: count,
      interrupted: interrupted.length,
    });
  return { count, damaged: reader.damaged > 0 };
}
