import type { Db } from "./db.ts";

/** The tables that have a partition for each day. */
const partitioned = ["request", "request_content"] as const;
type Partitioned = (typeof partitioned)[number];

/** Takes the right to look after the partitions until the end of the transaction; `false` where another process has it. */
export async function lockPartitions(db: Db): Promise<boolean> {
  const [row] = await db<{ locked: boolean }[]>`
    select pg_try_advisory_xact_lock(hashtextextended('llmops partitions', 0)) as locked`;
  return row?.locked ?? false;
}

/**
 * Makes the partitions of days where they are missing, with what the default partition holds of them. All in one statement: from the
 * first that is made until the commit nobody else can write.
 */
export async function ensurePartitionMany(db: Db, days: readonly string[]): Promise<void> {
  await db`
    select ensure_partition(parent, day)
    from unnest(${[...days]}::date[]) as day, unnest(${[...partitioned]}::text[]) as parent`;
}

/** Drops what is older than a day; returns how many partitions that were. */
export async function deletePartitions(
  db: Db,
  { table, before }: { table: Partitioned; before: string },
): Promise<number> {
  const [row] = await db<{ dropped: number }[]>`select drop_partitions(${table}, ${before}::date) as dropped`;
  return row?.dropped ?? 0;
}

/** Gives the calls of a day that is over their indexes for reading, where there are none. */
export async function indexPartition(db: Db, day: string): Promise<void> {
  await db`select index_partition(${day}::date)`;
}

/**
 * Gives the content of the newest part of a day that is over its index for texts; `false` where there is none to be indexed, or
 * another process is at it. Needs the extension.
 */
export async function indexTexts(db: Db, moment: Date): Promise<boolean> {
  const [row] = await db<{ indexed: boolean }[]>`select index_texts(${moment}) as indexed`;
  return row?.indexed ?? false;
}

/** Makes the extension that the search for text needs. Fails where this user may not. */
export async function insertTextExtension(db: Db): Promise<void> {
  await db`create extension if not exists pg_trgm`;
}

/** Whether that extension is there. */
export async function hasTextExtension(db: Db): Promise<boolean> {
  const [row] = await db`select from pg_extension where extname = 'pg_trgm'`;
  return row !== undefined;
}

/** How many rows are in no day's partition; none is as it should be. */
export async function countUnpartitioned(db: Db): Promise<number> {
  const [row] = await db<{ rows: number }[]>`
    select ((select count(*) from request_default) + (select count(*) from request_content_default))::int as rows`;
  return row?.rows ?? 0;
}

/** Deletes the sums by the hour from before a day; those by the day and the month stay. */
export async function deleteHourlyUsage(db: Db, before: Date): Promise<void> {
  await db`delete from usage where grain = 'hour' and starts_at < ${before}`;
}
