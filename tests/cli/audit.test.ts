import { expect, setDefaultTimeout, test } from "bun:test";
import { systemClock } from "../../src/clock.ts";
import { newId } from "../../src/id.ts";
import { createAuditService } from "../../src/services/audit.ts";
import { createDatabase } from "../harness/database.ts";
import { createProgram } from "../harness/program.ts";
import { one, open, two } from "../keyring/fixture.ts";

setDefaultTimeout(60_000);

test("finds a log good with code 0 and the last hash, and names the first broken entry with code 1", async () => {
  await using database = await createDatabase();
  using program = createProgram();
  const { sql } = database;
  const audit = createAuditService({ sql, clock: systemClock, keyring: await open(sql, { key: one }) });
  for (const name of ["a", "b", "c"]) {
    const change = { before: null, after: { name } };
    await sql.begin((tx) =>
      audit.record(tx, {
        actor: { kind: "system" },
        action: "app.create",
        subjectKind: "app",
        subjectId: newId(),
        ...change,
      }),
    );
  }
  const env = { DATABASE_URL: database.url, LLMOPS_SECRET_KEY: one };
  const [last] = await sql`select encode(hash, 'hex') as hash from audit where seq = 3`;
  expect(await program.run(["audit", "verify"], env)).toEqual({
    code: 0,
    stdout: `good: 3 entries, the last with hash ${last?.hash}\n`,
    stderr: "",
  });

  const foreign = await program.run(["audit", "verify"], { ...env, LLMOPS_SECRET_KEY: two });
  expect(foreign).toMatchObject({ code: 1, stdout: "" });
  expect(foreign.stderr).toContain("LLMOPS_SECRET_KEY is not the secret of this installation");

  await sql`alter table audit disable trigger all`;
  await sql`update audit set actor_kind = 'cli' where seq > 1`;
  expect(await program.run(["audit", "verify"], env)).toEqual({
    code: 1,
    stdout: "broken: entry 2 is not what was written; 1 entries before it are good\n",
    stderr: "",
  });
});
