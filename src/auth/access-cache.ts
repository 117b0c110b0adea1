import type { Sql } from "../database/pool.ts";
import { FailError } from "../errors/app-error.ts";
import type { Soon } from "../soon.ts";

/** One thing that was looked up, with what it depends on. */
interface Entry<T> {
  value: T;
  /** `account:<id>` and the like: a change of one of them ends the entry. */
  subjects: readonly string[];
  loadedAt: number;
  /** Something may have changed that was not heard of: good only while the database cannot be asked. */
  doubtful: boolean;
}

/**
 * Remembers who may do what, so that a known key or login costs no trip to the database. `load` must end with
 * {@link FailError} where the database is away.
 */
export interface AccessCache<T> {
  /**
   * What `load` finds for `id`: from memory where that can be trusted, else from the database; `undefined` is not
   * remembered. While the database is away, what was known before goes on for {@link graceMs}.
   */
  get(id: string): Soon<T | undefined>;
}

/** How often each process sends itself a word through the database, in milliseconds. */
const beatMs = 300;
/**
 * How long after sending a word that has come back the memory is trusted. PostgreSQL delivers notifications in the
 * order of the commits: a word that came back means that every revocation committed before it has come too. So what
 * was revoked is refused after this time at the latest, whatever became of the connection.
 */
const trustMs = 800;
/** How long a known key or login is good for while the database cannot be asked, in milliseconds. */
export const graceMs = 10 * 60_000;
/** Most entries of one cache; the oldest go first. */
const entriesMax = 20_000;

/** Hears of every change of access, from this process and all others. */
export interface AccessChanges extends AsyncDisposable {
  /** Creates a cache that forgets what has changed. `load` names all subjects that its answer depends on. */
  cache<T>(
    load: (id: string) => Promise<{ value: T; subjects: readonly string[] } | undefined>,
  ): AccessCache<T>;
}

/** Listens on a connection of its own (`listener`, a pool of one, closed with this) for the triggers' notifications. */
export async function watchAccess({
  sql,
  listener,
  now = () => performance.now(),
}: {
  sql: Sql;
  listener: Sql;
  now?: () => number;
}): Promise<AccessChanges> {
  const self = crypto.randomUUID();
  /** Forgets what depends on a subject, or doubts all. */
  const caches = new Set<(subject: string | undefined) => void>();
  let trustedUntil = Number.NEGATIVE_INFINITY;
  let generation = 0;
  let closing = false;
  const sentAt = new Map<string, number>();

  const hear = (payload: string) => {
    if (payload.startsWith("beat:")) {
      const sent = sentAt.get(payload);
      if (sent !== undefined) trustedUntil = Math.max(trustedUntil, sent + trustMs);
      sentAt.delete(payload);
      return;
    }
    generation++;
    for (const forget of caches) forget(payload);
  };
  // Also called when a lost connection is back: what was said in between was not heard.
  const startOver = () => {
    generation++;
    for (const forget of caches) forget(undefined);
  };
  await listener.listen("llmops_access", hear, startOver);

  let beats = 0;
  const beat = async () => {
    const word = `beat:${self}:${beats++}`;
    sentAt.set(word, now());
    if (sentAt.size > 10) sentAt.delete(sentAt.keys().next().value ?? "");
    await sql`select pg_notify('llmops_access', ${word})`.catch(() => {});
  };
  await beat();
  let timer: Timer | undefined;
  const schedule = () => {
    timer = setTimeout(() => void beat().finally(() => closing || schedule()), beatMs);
  };
  schedule();

  return {
    cache<T>(load: (id: string) => Promise<{ value: T; subjects: readonly string[] } | undefined>) {
      const entries = new Map<string, Entry<T>>();
      const loading = new Map<string, Promise<T | undefined>>();
      caches.add((subject) => {
        for (const [id, entry] of entries) {
          if (subject === undefined) entry.doubtful = true;
          else if (entry.subjects.includes(subject)) entries.delete(id);
        }
      });

      const fetch = async (id: string): Promise<T | undefined> => {
        const before = generation;
        const loadedAt = now();
        const found = await load(id);
        if (found === undefined) {
          entries.delete(id);
          return undefined;
        }
        // A change that came in while it was looked up may be younger than what was found.
        if (before === generation) {
          if (entries.size >= entriesMax) entries.delete(entries.keys().next().value ?? "");
          entries.set(id, { ...found, loadedAt, doubtful: false });
        }
        return found.value;
      };

      const ask = async (id: string, known: Entry<T> | undefined): Promise<T | undefined> => {
        try {
          let asked = loading.get(id);
          if (!asked) {
            asked = fetch(id).finally(() => loading.delete(id));
            loading.set(id, asked);
          }
          return await asked;
        } catch (error) {
          // It held for as long as anything was heard, whenever it was looked up.
          const heldUntil = known && Math.max(known.loadedAt, trustedUntil);
          if (heldUntil !== undefined && error instanceof FailError && now() - heldUntil < graceMs)
            return known?.value;
          throw error;
        }
      };

      return {
        get(id) {
          const known = entries.get(id);
          return known && !known.doubtful && now() < trustedUntil ? known.value : ask(id, known);
        },
      };
    },
    async [Symbol.asyncDispose]() {
      closing = true;
      clearTimeout(timer);
      await listener.end({ timeout: 0 });
    },
  };
}
