import { type Envelope, success } from "../errors/envelope.ts";
import type { Audit, AuditFilter, AuditService } from "../services/audit.ts";

/** What every handler of this file needs. */
interface Needs {
  audit: Pick<AuditService, "list">;
}

/** An entry of the audit log as callers see it. */
export type WireAudit = Omit<Audit, "at" | "prev_hash" | "hash"> & { at: string; hash: string };

const toWireAudit = ({ prev_hash: _, at, hash, ...entry }: Audit): WireAudit => ({
  ...entry,
  at: at.toISOString(),
  hash: Buffer.from(hash).toString("hex"),
});

/** The filters of `GET /audit`. */
export interface ListAuditQuery {
  limit?: string;
  cursor?: string;
  actor_id?: string;
  action?: string;
  subject_kind?: string;
  subject_id?: string;
  from?: string;
  to?: string;
}

/** `GET /audit` */
export async function listAudit(
  { audit }: Needs,
  { query }: { query: ListAuditQuery },
): Promise<Envelope<{ items: WireAudit[]; next_cursor: string | null }>> {
  const filter: AuditFilter = {
    ...(query.actor_id !== undefined && { actorId: query.actor_id }),
    ...(query.action !== undefined && { action: query.action }),
    ...(query.subject_kind !== undefined && { subjectKind: query.subject_kind }),
    ...(query.subject_id !== undefined && { subjectId: query.subject_id }),
    ...(query.from !== undefined && { from: new Date(query.from) }),
    ...(query.to !== undefined && { to: new Date(query.to) }),
    ...(query.cursor !== undefined && { before: query.cursor }),
    limit: Number(query.limit ?? "20"),
  };
  const { items, nextCursor } = await audit.list(filter);
  return success("", { items: items.map(toWireAudit), next_cursor: nextCursor });
}
