import { type Static, Type } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { listAudit } from "../handlers/audit.ts";
import type { AuditService } from "../services/audit.ts";
import { cursor, digits, envelopeDoc, oneOf, strict, text, time, uuid } from "./contract.ts";
import { checkQuery } from "./query.ts";

const optional = Type.Optional;
const orNull = <S extends Parameters<typeof optional>[0]>(schema: S) => Type.Union([schema, Type.Null()]);
const word = (description: string) => text({ minLength: 1, maxLength: 64, description });

const Side = (description: string) => Type.Union([Type.Object({}, { description }), Type.Null()]);

const Entry = Type.Object({
  seq: Type.Integer({ description: "1, 2, 3 … without gaps" }),
  id: uuid(),
  at: Type.String({ format: "date-time" }),
  actor_kind: oneOf(["account", "key", "cli", "system", "development"]),
  actor_id: orNull(uuid()),
  actor_name: orNull(Type.String()),
  ip: orNull(Type.String({ description: "where from, as far as trusted proxies tell" })),
  request_id: orNull(uuid()),
  action: Type.String(),
  subject_kind: Type.String(),
  subject_id: orNull(Type.String()),
  before: Side("fields before the change; secrets are `***`"),
  after: Side("fields after the change; secrets are `***`"),
  hash: Type.String({ description: "SHA-256 over this entry and the hash of the one before, in hex" }),
});

const example: Static<typeof Entry> = {
  seq: 42,
  id: "019a1c2e-9c2d-7f10-8a3b-4c5d6e7f8091",
  at: "2026-11-23T08:00:00.000Z",
  actor_kind: "account",
  actor_id: "3f0e6f2a-6a51-4c55-8f0c-2d1a9b7c4e11",
  actor_name: "owner@example.com",
  ip: "203.0.113.7",
  request_id: "019a1c2e-9c2b-7a6f-b1c0-0d1e2f3a4b5c",
  action: "app.update",
  subject_kind: "app",
  subject_id: "019a1c2e-7b1a-7c3d-9e4f-5a6b7c8d9e0f",
  before: { name: "bot" },
  after: { name: "translator" },
  hash: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
};

const ListAuditContract = {
  query: strict({
    limit: optional(digits({ minimum: 1, maximum: 100, description: "most items of a page; 20 without it" })),
    cursor: optional(cursor({ description: "`next_cursor` of the page before" })),
    actor_id: optional(uuid({ description: "who did it" })),
    action: optional(word("what was done, such as `app.update`")),
    subject_kind: optional(word("to what kind of thing, such as `app`")),
    subject_id: optional(text({ minLength: 1, maxLength: 255, description: "to which one" })),
    from: optional(time({ description: "not before this time" })),
    to: optional(time({ description: "before this time" })),
  }),
  transform: ({ request }: { request: Request }) => checkQuery(request),
  detail: envelopeDoc({
    operationId: "listAudit",
    tag: "audit",
    summary: "List changes, newest first",
    description: "For owners and admins. `llmops audit verify` checks that nothing was altered or removed.",
    data: Type.Object({ items: Type.Array(Entry), next_cursor: Type.Union([uuid(), Type.Null()]) }),
    example: { message: "", data: { items: [example], next_cursor: null } },
    errors: ["VALIDATE_ERROR", "UNAUTHORIZED", "FORBIDDEN", "FAIL"],
    invalid: { from: ["不是有效的 RFC 3339 时间"] },
  }),
};

/** `/audit`: who changed what. */
export const auditRoutes = ({ audit }: { audit: AuditService }) =>
  new Elysia({ prefix: "/audit", normalize: false }).get(
    "/",
    ({ query }) => listAudit({ audit }, { query }),
    ListAuditContract,
  );
