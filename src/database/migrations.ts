import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import ley, { type Driver } from "ley";
import type postgres from "postgres";
import { StartupError } from "../errors/startup.ts";
import type { Log } from "../log.ts";
import { createPool, type Sql, withoutPassword } from "./pool.ts";

/** Serialises everybody who migrates the same database; the number only has to be ours. */
const lockKey = 5_706_271_845;

/** One migration and when it was applied; `null` while it is pending. */
export interface Migration {
  /** File name, which is also what the database remembers. */
  name: string;
  appliedAt: Date | null;
}

/** Applies and reverts the schema's migrations, and says where the schema stands. */
export interface Migrations {
  /** Applies all pending ones in one transaction; returns their names. */
  up(): Promise<string[]>;
  /** Reverts the last `steps` ones, each in a transaction of its own; returns their names. */
  down(steps: number): Promise<string[]>;
  /** Every known migration in order, and after them what the database has and this program does not know. */
  list(): Promise<{ known: Migration[]; unknown: Migration[] }>;
}

/** The folder whose child `migrations` is: beside the sources, or inside the executable. */
export const migrationsRoot: string =
  [dirname(dirname(import.meta.dir)), import.meta.dir].find((root) => existsSync(join(root, "migrations"))) ??
  process.cwd();

interface MigrationFile {
  name: string;
  abs: string;
}

type Direction = "up" | "down";
type MigrationModule = Partial<Record<Direction, (tx: postgres.TransactionSql) => Promise<unknown>>>;

const migrationFailed = (name: string, cause: unknown) =>
  new StartupError(
    `Migration ${name} failed and was rolled back whole: ${cause instanceof Error ? cause.message : cause}; mend the cause and run 'llmops migrate up' again`,
    { cause },
  );

/** ley over postgres.js: its own driver cannot be loaded by Bun. */
function driverOver(sql: Sql, files: readonly string[]): Driver {
  const driver = {
    connect: async () => sql,
    async setup() {
      const [server] = await sql`select current_setting('server_version_num')::int / 10000 as major`;
      if (server?.major < majorMin) {
        throw new StartupError(
          `PostgreSQL ${majorMin} or later is needed, and this is ${server?.major}; set DATABASE_URL to a newer one`,
        );
      }
      await sql`
        create table if not exists migration (
          id integer generated always as identity primary key,
          name text not null unique,
          applied_at timestamptz not null default now()
        )`;
      const applied = await sql<{ name: string }[]>`select name from migration order by id`;
      const unknown = applied.find(({ name }) => !files.includes(name));
      if (unknown) {
        throw new StartupError(
          `The database schema is newer than this program: it has ${unknown.name}, which is not known here; use the newer llmops, or revert with it first ('llmops migrate down')`,
        );
      }
      const late = applied.findIndex(({ name }, index) => name !== files[index]);
      if (late !== -1) {
        throw new StartupError(
          `Migration ${files[late]} stands before ${applied[late]?.name}, which has been applied already; give it a later number`,
        );
      }
      return applied;
    },
    loop: (_client: unknown, batch: MigrationFile[], direction: Direction) =>
      sql
        .begin(async (tx) => {
          for (const file of batch) {
            try {
              const module: MigrationModule = await import(file.abs);
              await module[direction]?.(tx);
              await (direction === "up"
                ? tx`insert into migration (name) values (${file.name})`
                : tx`delete from migration where name = ${file.name}`);
            } catch (cause) {
              throw migrationFailed(file.name, cause);
            }
          }
        })
        .catch((cause: unknown) => {
          // What only fails at the commit, such as a deferred constraint, does not say whose it is.
          const names = batch.map(({ name }) => name).join(", ");
          throw cause instanceof StartupError ? cause : migrationFailed(names, cause);
        }),
    end: async () => {},
  };
  // The package's types ask `connect` for a client of every type at once, which no driver can have.
  return driver as unknown as Driver;
}

/**
 * Migrations of the database at `url`, read from `root`/migrations. Each call opens one direct connection and,
 * but for `list`, holds an advisory lock on it, so that instances that start together apply each one once.
 */
export function createMigrations({
  url,
  log,
  root = migrationsRoot,
}: {
  url: string;
  log: Log;
  root?: string;
}): Migrations {
  async function locked<T>(work: (sql: Sql, files: string[]) => Promise<T>): Promise<T> {
    const files = await listFiles(root);
    const sql = createPool(url, { size: 1, arrays: false });
    let patience: Timer | undefined;
    try {
      await connect(url, () => sql`select 1`);
      patience = setTimeout(() => log.info("another instance is migrating; waiting for it"), 2000);
      await sql`select pg_advisory_lock(${lockKey})`;
      clearTimeout(patience);
      return await work(sql, files);
    } finally {
      clearTimeout(patience);
      await sql.end({ timeout: 1 });
    }
  }

  const run = (direction: Direction, sql: Sql, files: string[]): Promise<string[]> =>
    ley[direction]({ cwd: root, dir: "migrations", driver: driverOver(sql, files), config: {} });

  return {
    up: () =>
      locked(async (sql, files) => {
        const names = await run("up", sql, files);
        for (const name of names) log.info("migration applied", { name });
        return names;
      }),
    down: (steps) =>
      locked(async (sql, files) => {
        const reverted: string[] = [];
        while (reverted.length < steps) {
          const names = await run("down", sql, files);
          if (names.length === 0) break;
          for (const name of names) log.info("migration reverted", { name });
          reverted.push(...names);
        }
        return reverted;
      }),
    async list() {
      const files = await listFiles(root);
      const sql = createPool(url, { size: 1, arrays: false });
      try {
        const applied = await connect(url, () => readApplied(sql));
        return {
          known: files.map((name) => ({ name, appliedAt: applied.get(name) ?? null })),
          unknown: [...applied]
            .filter(([name]) => !files.includes(name))
            .map(([name, appliedAt]) => ({ name, appliedAt })),
        };
      } finally {
        await sql.end({ timeout: 5 });
      }
    },
  };
}

/** The oldest major that is tested. */
const majorMin = 15;

/** What is wrong and what to do about it, by PostgreSQL's error code, where the server answered but let nobody in. */
const obstacles: Readonly<Record<string, readonly [problem: string, remedy: string]>> = {
  "28P01": ["refuses the password", "correct DATABASE_URL"],
  "28000": ["refuses the login", "correct DATABASE_URL, or allow it in pg_hba.conf"],
  "3D000": ["does not exist", "create it with 'createdb', or correct DATABASE_URL"],
  "53300": ["has no connection left", "raise its max_connections, or lower DATABASE_POOL_SIZE"],
  "57P03": ["is starting up or shutting down", "try again in a moment"],
};

/** How long the first statement may take, in milliseconds: the driver alone tries for ever where it is cut off. */
const firstStatementMs = 5000;

/** Runs the first statement on a connection: what fails there is the way to the database, not the statement. */
async function connect<T>(url: string, first: () => Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const limit = setTimeout(
    () => reject(new Error(`no answer within ${firstStatementMs / 1000} s`)),
    firstStatementMs,
  );
  try {
    return await Promise.race([first(), late]);
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
    const reason = cause instanceof Error ? cause.message || code : cause;
    const [problem, remedy] = obstacles[code] ?? ["does not answer", "start it, or correct DATABASE_URL"];
    throw new StartupError(`The database at ${withoutPassword(url)} ${problem}: ${reason}; ${remedy}`, {
      cause,
    });
  } finally {
    clearTimeout(limit);
  }
}

const listFiles = async (root: string): Promise<string[]> =>
  (await readdir(join(root, "migrations"))).filter((name) => name.endsWith(".js")).sort();

async function readApplied(sql: Sql): Promise<Map<string, Date>> {
  const [table] = await sql`select to_regclass('migration') as found`;
  if (table?.found === null) return new Map();
  const rows = await sql<
    { name: string; applied_at: Date }[]
  >`select name, applied_at from migration order by id`;
  return new Map(rows.map((row) => [row.name, row.applied_at]));
}

const template = `/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  await sql\`\`;
}

/** @param {import("postgres").TransactionSql} sql */
export async function down(sql) {
  await sql\`\`;
}
`;

/**
 * Writes an empty migration with the next number into `root`/migrations; returns its path.
 * @throws {StartupError} a name that is not `verb-noun` in lower case, or no such folder.
 */
export async function newMigration(name: string, root: string): Promise<string> {
  if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name)) {
    throw new StartupError("A migration's name is lower-case words with hyphens, such as create-app", {
      exitCode: 2,
    });
  }
  if (!existsSync(join(root, "migrations"))) {
    throw new StartupError("There is no folder 'migrations' here; run this in a checkout of the sources");
  }
  const last = (await listFiles(root)).at(-1);
  const number = last === undefined ? 0 : Number.parseInt(last, 10) + 1;
  const file = `${String(number).padStart(5, "0")}-${name}.js`;
  const path = join("migrations", file);
  await Bun.write(join(root, path), template);
  return path;
}
