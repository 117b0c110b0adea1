import { expect, test } from "bun:test";
import { Elysia, ValidationError } from "elysia";
import { type Envelope, errorEnvelope } from "../../src/errors/envelope.ts";
import { newId } from "../../src/id.ts";
import { auditRoutes } from "../../src/routes/audit.ts";
import { toValidateError } from "../../src/routes/problems.ts";
import { createAuditService } from "../../src/services/audit.ts";
import { createDatabase } from "../harness/database.ts";

interface Page {
  items: Record<string, unknown>[];
  next_cursor: string | null;
}

const at = new Date("2026-11-23T08:00:00.000Z");
const accountId = newId();
const appId = newId();

/** `GET /audit` over a log of three entries. */
async function withLog() {
  const database = await createDatabase();
  const { sql } = database;
  let now = at.getTime();
  const clock = { now: () => new Date(now++) };
  const audit = createAuditService({ sql, clock, keyring: { hash: () => new Uint8Array(32) } });
  for (const name of ["a", "b", "c"]) {
    await sql.begin((tx) =>
      audit.record(tx, {
        actor: { kind: "account", id: accountId, name: "a@b.cd", ip: "::1" },
        action: name === "a" ? "app.create" : "app.update",
        subjectKind: "app",
        subjectId: appId,
        before: null,
        after: { name, secret: "canary" },
      }),
    );
  }
  const routes = new Elysia({ normalize: false })
    .onError(({ error, set }) => {
      set.status = 200;
      const known = error instanceof ValidationError ? toValidateError(error) : error;
      return errorEnvelope(known, { locale: "en", requestId: "", debug: false });
    })
    .use(auditRoutes({ audit }));
  return {
    list: async (query = "") => {
      const response = await routes.fetch(new Request(`http://localhost/audit${query}`));
      return (await response.json()) as Envelope<Page>;
    },
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

test("answers with the entries, newest first, secrets masked and the hash in hex", async () => {
  await using log = await withLog();
  const { code, data } = await log.list();
  expect(code).toBe("SUCCESS");
  expect(data.items.map(({ seq }) => seq)).toEqual([3, 2, 1]);
  expect(data.items[2]).toEqual({
    seq: 1,
    id: expect.any(String),
    at: "2026-11-23T08:00:00.000Z",
    actor_kind: "account",
    actor_id: accountId,
    actor_name: "a@b.cd",
    ip: "::1",
    request_id: null,
    action: "app.create",
    subject_kind: "app",
    subject_id: appId,
    before: null,
    after: { name: "a", secret: "***" },
    hash: expect.stringMatching(/^[0-9a-f]{64}$/),
  });
});

test("answers a page at a time, and what fits all filters", async () => {
  await using log = await withLog();
  const first = await log.list("?limit=2");
  const second = await log.list(`?limit=2&cursor=${first.data.next_cursor}`);
  expect(second.data.items.map(({ seq }) => seq)).toEqual([1]);
  expect(second.data.next_cursor).toBeNull();
  const filters = [
    `actor_id=${accountId}`,
    "action=app.update",
    "subject_kind=app",
    `subject_id=${appId.toUpperCase()}`,
    "from=2026-11-23T08:00:00.001Z",
    "to=2026-11-23T09:00:00.002%2B01:00",
  ];
  const found = await log.list(`?${filters.join("&")}`);
  expect(found.data.items.map(({ seq }) => seq)).toEqual([2]);
  expect((await log.list(`?actor_id=${appId}`)).data.items).toEqual([]);
});

test.each([
  ["from=yesterday", "from"],
  ["to=2026-11-23", "to"],
  ["actor_id=1", "actor_id"],
  ["limit=0", "limit"],
  ["cursor=1", "cursor"],
  ["action=", "action"],
  ["order=asc", "order"],
])("refuses a query that says nothing sensible: %s", async (query, field) => {
  await using log = await withLog();
  const { code, data } = await log.list(`?${query}`);
  expect(code).toBe("VALIDATE_ERROR");
  expect(Object.keys(data)).toEqual([field]);
});
