import type { Db } from "./db.ts";

/** From this attempt on the next one has to wait: 1 s, then twice as long each time, at most 30 s. */
const freeAttempts = 5;

/**
 * Counts an attempt for `subject`, before it is known how it ends; `undefined` if it comes too early, and then when
 * it may come. In one statement, so that attempts at the same moment are counted one by one. A quarter of an hour
 * without an attempt starts anew.
 */
export async function takeLoginAttempt(
  db: Db,
  { subject, at }: { subject: string; at: Date },
): Promise<{ waitUntil?: Date }> {
  const taken = await db`
    insert into login_attempt as known (subject, attempts, next_at, updated_at) values (${subject}, 1, ${at}, ${at})
    on conflict (subject) do update set
      attempts = case when known.updated_at < ${at}::timestamptz - interval '15 minutes' then 1 else known.attempts + 1 end,
      next_at = ${at}::timestamptz + case
        when known.updated_at < ${at}::timestamptz - interval '15 minutes' or known.attempts + 1 < ${freeAttempts}::int
          then interval '0'
        else least(power(2, least(known.attempts + 1 - ${freeAttempts}::int, 5)), 30) * interval '1 second' end,
      updated_at = ${at}
    where known.next_at <= ${at}
    returning attempts`;
  if (taken.length > 0) return {};
  const [row] = await db<{ next_at: Date }[]>`select next_at from login_attempt where subject = ${subject}`;
  return { waitUntil: row?.next_at ?? at };
}

/** Forgets the attempts of a subject who has shown who they are. */
export async function deleteLoginAttempts(db: Db, subject: string): Promise<void> {
  await db`delete from login_attempt where subject = ${subject}`;
}

/**
 * Takes back one attempt that was good. The others stay: from one network may come a good login of one account and a
 * thousand guesses at others.
 */
export async function undoLoginAttempt(
  db: Db,
  { subject, at }: { subject: string; at: Date },
): Promise<void> {
  await db`
    update login_attempt set attempts = greatest(attempts - 1, 0), next_at = least(next_at, ${at})
    where subject = ${subject}`;
}

/** Forgets attempts from before `before`. */
export async function deleteOldLoginAttempts(db: Db, before: Date): Promise<void> {
  await db`delete from login_attempt where updated_at < ${before}`;
}
