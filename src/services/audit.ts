import type { Actor } from "../auth/principal.ts";
import type { Clock } from "../clock.ts";
import type { Sql } from "../database/pool.ts";
import { newId } from "../id.ts";
import type { Keyring } from "../keyring/keyring.ts";
import {
  type Audit,
  type AuditFilter,
  type AuditHead,
  findAuditHead,
  insertAudit,
  listAudit,
  listAuditChain,
  updateAuditHead,
} from "../sql/audit.ts";
import type { Db } from "../sql/db.ts";
import { hashEntry, maskChange, type SubjectKind, storedId, storedText } from "./audit-entry.ts";
import { type Page, pageOf } from "./page.ts";

export type { Audit, AuditFilter } from "../sql/audit.ts";
export type { SubjectKind } from "./audit-entry.ts";

/** A change to write down. */
export interface AuditEntry {
  actor: Actor;
  /** Noun and verb, such as `app.update`. */
  action: string;
  subjectKind: SubjectKind;
  subjectId: string | null;
  /** The subject before and after; secrets in it are masked here. `null` where it did not or does not exist. */
  before: object | null;
  after: object | null;
}

/**
 * What is wrong with the log: `missing`, an entry is not there; `unlinked`, it does not follow on the one before, which
 * was replaced, or their order was changed; `altered`, it is not what was written; `truncated`, entries are missing at the
 * end; `unaccounted`, there are entries after the end; `forged`, the end is not authentic: the chain was written anew.
 */
export type AuditFault = "missing" | "unlinked" | "altered" | "truncated" | "unaccounted" | "forged";

/** What a walk over the log has found. */
export interface AuditVerification {
  /** Entries that are good. */
  count: number;
  /** Hash of the last good entry, in hex; kept elsewhere, it shows later whether the log still has this entry. */
  hash: string;
  /** The first entry that is not good. */
  broken?: { seq: number; fault: AuditFault };
}

export interface AuditServiceOptions {
  sql: Sql;
  clock: Clock;
  /** Authenticates the end of the chain with a key that the database does not hold in the clear. */
  keyring: Pick<Keyring, "hash">;
}

/** The audit log: who changed what, when and from where. Entries are added, and nothing else. */
export type AuditService = ReturnType<typeof createAuditService>;

/** Entries of one step of a walk: with the largest apps in them some 15 MB. */
const stepMax = 200;

const equal = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0;

/** Creates the service over a pool. */
export function createAuditService({ sql, clock, keyring }: AuditServiceOptions) {
  const macOf = ({ seq, hash }: Pick<AuditHead, "seq" | "hash">): Uint8Array =>
    keyring.hash(`${seq}:${Buffer.from(hash).toString("hex")}`, "audit.head");

  return {
    /**
     * Writes a change down in the transaction that makes it: both are kept, or neither. Other changes wait from here to
     * the commit, so it belongs at the end of the transaction, after all other locks.
     */
    async record(tx: Db, { actor, action, subjectKind, subjectId, ...change }: AuditEntry): Promise<void> {
      const head = await findAuditHead(tx, { lock: true });
      const entry: Audit = {
        seq: head.seq + 1,
        id: newId(),
        at: clock.now(),
        actor_kind: actor.kind,
        actor_id: actor.id === undefined ? null : storedId(actor.id),
        actor_name: storedText(actor.name),
        ip: storedText(actor.ip),
        request_id: actor.requestId === undefined ? null : storedId(actor.requestId),
        action,
        subject_kind: subjectKind,
        subject_id: subjectId === null ? null : storedId(subjectId),
        ...maskChange(subjectKind, change.before, change.after),
        prev_hash: head.hash,
        hash: head.hash,
      };
      entry.hash = hashEntry(entry);
      await insertAudit(tx, entry);
      await updateAuditHead(tx, { seq: entry.seq, hash: entry.hash, mac: macOf(entry) });
    },

    /** A page of the log, newest first. */
    async list(filter: AuditFilter): Promise<Page<Audit>> {
      const { subjectId, limit } = filter;
      const entries = await listAudit(sql, {
        ...filter,
        ...(subjectId !== undefined && { subjectId: storedId(subjectId) }),
        limit: limit + 1,
      });
      return pageOf(entries, limit);
    },

    /**
     * Walks the whole log as it is at one moment, in steps, up to the first entry that is not good.
     *
     * Whoever changes the database behind the service's back cannot make the end of the chain authentic without the data
     * keys. Two things this cannot tell: that the log was put back to what it really was at an earlier time, its end
     * included (compare `hash` with one that was kept elsewhere), and what was done by somebody who also has the secret.
     */
    async verify(progress: (count: number) => void = () => {}): Promise<AuditVerification> {
      const verification = await sql.begin("isolation level repeatable read read only", async (tx) => {
        const head = await findAuditHead(tx);
        let last: Pick<Audit, "seq" | "hash"> = { seq: 0, hash: new Uint8Array(32) };
        const found = (fault?: AuditFault, seq = last.seq + 1): AuditVerification => ({
          count: last.seq,
          hash: Buffer.from(last.hash).toString("hex"),
          ...(fault && { broken: { seq, fault } }),
        });
        for (;;) {
          const entries = await listAuditChain(tx, { after: last.seq, limit: stepMax });
          if (entries.length === 0) break;
          for (const entry of entries) {
            if (entry.seq !== last.seq + 1) return found("missing");
            if (!equal(entry.prev_hash, last.hash)) return found("unlinked");
            if (!equal(entry.hash, hashEntry(entry))) return found("altered");
            if (entry.seq > head.seq) return found("unaccounted");
            last = entry;
          }
          progress(last.seq);
        }
        if (last.seq < head.seq) return found("truncated");
        const authentic = head.mac ? equal(head.mac, macOf(head)) : head.seq === 0;
        return equal(head.hash, last.hash) && authentic ? found() : found("forged", last.seq);
      });
      return verification;
    },
  };
}
