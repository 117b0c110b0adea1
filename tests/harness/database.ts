import { chmod, chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/clock.ts";
import { embeddedPostgresArchive } from "../../src/database/archive.ts";
import { startEmbedded } from "../../src/database/embedded.ts";
import { createMigrations } from "../../src/database/migrations.ts";
import { createPool, type Sql } from "../../src/database/pool.ts";
import { silentLog } from "../../src/log.ts";
import { createPartitionService } from "../../src/services/partition.ts";

/** One server for the whole run: TEST_DATABASE_URL, or an embedded one that needs not survive a power cut. */
interface TestServer {
  admin: Sql;
  urlOf: (database: string) => string;
  template: string;
  /** Where its databases are made: a clause of `create database`. */
  place: string;
  stop: () => Promise<void>;
}

let server: Promise<TestServer> | undefined;

const startUnsafely = (dataDir: string) =>
  startEmbedded({
    dataDir,
    archive: embeddedPostgresArchive,
    log: silentLog,
    role: "serve",
    settings: { fsync: "off", synchronous_commit: "off", full_page_writes: "off" },
  });

/** Where Linux keeps files in memory. */
const memory = "/dev/shm";

/**
 * A folder in memory for the embedded server's databases, as a tablespace: to copy one there takes a tenth of the time
 * of a disk. `undefined` where the machine has none.
 */
async function memoryFolder(): Promise<string | undefined> {
  const folder = await mkdtemp(join(memory, "llmops-test-")).catch(() => undefined);
  if (folder && process.getuid?.() === 0) await chown(folder, 65_534, 65_534); // the database's own user
  return folder;
}

async function startServer(): Promise<TestServer> {
  const external = process.env.TEST_DATABASE_URL;
  const dataDir = external ? undefined : await mkdtemp(join(tmpdir(), "llmops-test-"));
  if (dataDir) await chmod(dataDir, 0o711); // the database's own user must get through
  const embedded = dataDir === undefined ? undefined : await startUnsafely(dataDir);
  const base = external ?? embedded?.url ?? "";
  const urlOf = (database: string) => {
    const url = new URL(base);
    url.pathname = `/${database}`;
    return url.href;
  };
  const admin = createPool(base, { size: 1 });
  const template = `llmops_test_${process.pid}`;
  const folder = embedded && (await memoryFolder());
  if (folder) await admin.unsafe(`create tablespace memory location '${folder}'`);
  const place = folder ? "tablespace memory" : "";
  await admin.unsafe(`drop database if exists ${template}`);
  await admin.unsafe(`create database ${template} ${place}`);
  await createMigrations({ url: urlOf(template), log: silentLog }).up();
  // Days do not have to be made for every test anew.
  const first = createPool(urlOf(template), { size: 1 });
  const retention = { requestDays: 90, contentDays: 14 };
  await createPartitionService({ sql: first, clock: systemClock, log: silentLog, retention }).upkeep();
  await first.end();
  return {
    admin,
    urlOf,
    template,
    place,
    async stop() {
      await admin.unsafe(`drop database if exists ${template}`);
      await admin.end();
      await embedded?.stop();
      for (const used of [dataDir, folder]) if (used) await rm(used, { recursive: true, force: true });
    },
  };
}

/** Stops what the tests have started; called once, after the last. */
export async function stopServer(): Promise<void> {
  await (await server)?.stop();
}

/** A database of a test's own. */
export interface TestDatabase extends AsyncDisposable {
  url: string;
  sql: Sql;
}

let count = 0;

/** A fresh database, cloned from the migrated template; `empty` has nothing in it, not even tables. */
export async function createDatabase({ empty = false } = {}): Promise<TestDatabase> {
  server ??= startServer();
  const { admin, urlOf, template, place } = await server;
  const name = `${template}_${++count}`;
  // Files are copied as they are: without the log, which nobody will replay.
  const source = `template ${empty ? "template0" : template} strategy file_copy`;
  await admin.unsafe(`create database ${name} ${source} ${place}`);
  const url = urlOf(name);
  const sql = createPool(url, { size: 2 });
  return {
    url,
    sql,
    async [Symbol.asyncDispose]() {
      await sql.end();
      await admin.unsafe(`drop database if exists ${name} with (force)`);
    },
  };
}
