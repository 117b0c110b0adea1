import type { Uuid } from "../id.ts";
import type { Db } from "./db.ts";

/** One change, as it was written down. */
export interface Audit {
  /** 1, 2, 3 … without gaps. */
  seq: number;
  id: Uuid;
  at: Date;
  actor_kind: "account" | "key" | "cli" | "system" | "development";
  actor_id: Uuid | null;
  actor_name: string | null;
  ip: string | null;
  request_id: Uuid | null;
  /** Noun and verb, such as `app.update`. */
  action: string;
  subject_kind: string;
  subject_id: string | null;
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
  prev_hash: Uint8Array;
  hash: Uint8Array;
}

/** The end of the chain: its last number and hash, and their authentication; `null` before the first entry. */
export interface AuditHead {
  seq: number;
  hash: Uint8Array;
  mac: Uint8Array | null;
}

// A double holds every whole number up to 2^53, and the driver would give a bigint as text.
const columns = (db: Db) =>
  db`seq::float8 as seq, id, at, actor_kind, actor_id, actor_name, ip, request_id, action, subject_kind, subject_id, before, after, prev_hash, hash`;

/** The end of the chain; `lock` keeps it there for this transaction, so that entries are written one after another. */
export async function findAuditHead(db: Db, { lock = false } = {}): Promise<AuditHead> {
  const [head] = await db<AuditHead[]>`
    select seq::float8 as seq, hash, mac from audit_head ${lock ? db`for update` : db``}`;
  if (!head) throw new Error("the audit log's head is missing");
  return head;
}

/** Moves the end of the chain by one entry. */
export async function updateAuditHead(db: Db, { seq, hash, mac }: AuditHead): Promise<void> {
  await db`update audit_head set seq = ${seq}, hash = ${hash}, mac = ${mac}`;
}

/** Stores an entry; the caller holds the lock on the head. */
export async function insertAudit(db: Db, entry: Audit): Promise<void> {
  const json = (value: Audit["before"]) => (value === null ? null : db.json(value as never));
  await db`
    insert into audit (seq, id, at, actor_kind, actor_id, actor_name, ip, request_id, action, subject_kind,
      subject_id, before, after, prev_hash, hash)
    values (${entry.seq}, ${entry.id}, ${entry.at}, ${entry.actor_kind}, ${entry.actor_id}, ${entry.actor_name},
      ${entry.ip}, ${entry.request_id}, ${entry.action}, ${entry.subject_kind}, ${entry.subject_id},
      ${json(entry.before)}, ${json(entry.after)}, ${entry.prev_hash}, ${entry.hash})`;
}

/** What to list; what is absent does not matter. */
export interface AuditFilter {
  actorId?: Uuid;
  action?: string;
  subjectKind?: string;
  subjectId?: string;
  /** Not before this time. */
  from?: Date;
  /** Before this time. */
  to?: Date;
  /** The last id of the page before. */
  before?: Uuid;
  limit: number;
}

/** Lists entries, newest first, by keyset on the number, which unlike the time is never the same twice. */
export async function listAudit(db: Db, filter: AuditFilter): Promise<Audit[]> {
  const { actorId, action, subjectKind, subjectId, from, to, before, limit } = filter;
  return db<Audit[]>`
    select ${columns(db)} from audit
    where true
      ${actorId === undefined ? db`` : db`and actor_id = ${actorId}`}
      ${action === undefined ? db`` : db`and action = ${action}`}
      ${subjectKind === undefined ? db`` : db`and subject_kind = ${subjectKind}`}
      ${subjectId === undefined ? db`` : db`and subject_id = ${subjectId}`}
      ${from === undefined ? db`` : db`and at >= ${from}`}
      ${to === undefined ? db`` : db`and at < ${to}`}
      ${before === undefined ? db`` : db`and seq < (select seq from audit where id = ${before})`}
    order by audit.seq desc
    limit ${limit}`;
}

/** Lists entries in the order of the chain, after the number `after`. Uses the primary key. */
export async function listAuditChain(
  db: Db,
  { after, limit }: { after: number; limit: number },
): Promise<Audit[]> {
  return db<Audit[]>`
    select ${columns(db)} from audit where seq > ${after} order by audit.seq limit ${limit}`;
}
