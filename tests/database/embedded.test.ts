import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { packPostgres, postgresArchive } from "../../scripts/postgres.ts";
import type { EmbeddedOptions } from "../../src/database/embedded.ts";
import { needs } from "../harness/require.ts";

setDefaultTimeout(30_000);
const isRoot = process.getuid?.() === 0;
const childScript = join(import.meta.dir, "../harness/embedded-child.ts");
/** A user that no passwd file knows. */
const stranger = { uid: 12345, gid: 12345 };

let root: string;
const children = new Set<Bun.Subprocess>();
const dataDirs = new Set<string>();

beforeAll(async () => {
  await packPostgres({ level: 1 });
  root = mkdtempSync(join(tmpdir(), "llmops-embedded-"));
  chmodSync(root, 0o711);
  usedDataDir = join(root, "used");
  await (await user(usedDataDir, "serve")).stop();
});

afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  await Promise.all([...children].map(({ exited }) => exited));
  children.clear();
  for (const dataDir of [usedDataDir, ...dataDirs]) {
    const pid = postmasterOf(dataDir);
    if (pid !== undefined && isPostgres(pid)) {
      process.kill(pid, "SIGQUIT");
      await until(() => !isPostgres(pid));
    }
  }
  for (const dataDir of dataDirs) rmSync(dataDir, { recursive: true, force: true });
  dataDirs.clear();
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A data folder that holds a stopped database, for the tests which need not see the first start. */
let usedDataDir: string;

/** A data folder of this test's own, not made yet. */
function newDataDir(...below: string[]): string {
  const dataDir = join(mkdtempSync(join(root, "t-")), ...below, "data");
  chmodSync(join(dataDir, ...below.map(() => ".."), ".."), 0o711);
  dataDirs.add(dataDir);
  return dataDir;
}

/** Waits until the condition holds; the test's own time limit bounds it. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await Bun.sleep(10);
}

const clusterOf = (dataDir: string) => join(dataDir, "postgres/data");

function postmasterOf(dataDir: string): number | undefined {
  const file = join(clusterOf(dataDir), "postmaster.pid");
  return existsSync(file) ? Number(readFileSync(file, "utf8").split("\n")[0]) : undefined;
}

/** Whether a process is there and no zombie, which has no command line. */
function isPostgres(pid: number): boolean {
  return (
    Bun.spawnSync(["ps", "-o", "stat=,command=", "-p", String(pid)])
      .stdout.toString()
      .match(/^[^Z].*postgres/) !== null
  );
}

/** Starts a process that uses the database of `dataDir`. */
async function user(dataDir: string, role: EmbeddedOptions["role"], as: { uid?: number; gid?: number } = {}) {
  const settings = { fsync: "off", shared_buffers: "16MB" };
  const options = { dataDir, role, settings, archive: postgresArchive };
  const child = Bun.spawn([process.execPath, childScript, JSON.stringify(options)], {
    ...as,
    cwd: "/",
    env: { PATH: process.env.PATH, PGPORT: "1", PGDATA: "/nonexistent" },
    stdio: ["pipe", "pipe", "pipe"],
  });
  children.add(child);
  const log = new Response(child.stderr).text();
  for await (const chunk of child.stdout) {
    const said: { url?: string; error?: string } = JSON.parse(Buffer.from(chunk).toString());
    const stop = async () => {
      child.stdin.end();
      expect(await child.exited).toBe(0);
    };
    const kill = async () => {
      child.kill("SIGKILL");
      await child.exited;
    };
    return { url: said.url ?? "", error: said.error, pid: child.pid, exited: child.exited, log, stop, kill };
  }
  throw new Error(`the child ended without a word: ${await log}`);
}

/** Asks the database behind `url`; the connection is closed at the end of the block. */
function connect(url: string) {
  const host = new URL(url).searchParams.get("host") ?? "";
  const sql = postgres("postgres://llmops@localhost:5432/llmops", { host, max: 1, onnotice: () => {} });
  return { sql, [Symbol.asyncDispose]: () => sql.end({ timeout: 0 }) };
}

async function works(url: string): Promise<boolean> {
  await using db = connect(url);
  return await db.sql`select 1`.then(
    () => true,
    () => false,
  );
}

describe("start and stop", () => {
  test("keeps rows from the first start to a later one, and leaves no process behind", async () => {
    const dataDir = newDataDir();
    const first = await user(dataDir, "serve");
    {
      await using db = connect(first.url);
      await db.sql`create table kept (id int)`;
      await db.sql`insert into kept values (7)`;
    }
    const pid = postmasterOf(dataDir) ?? 0;
    expect(isPostgres(pid)).toBe(true);
    await first.stop();
    expect(isPostgres(pid)).toBe(false);
    expect(readdirSync(join(dataDir, "postgres/run"))).toEqual([]);

    const second = await user(dataDir, "serve");
    expect(second.url).toBe(first.url);
    {
      await using db = connect(second.url);
      expect([...(await db.sql`select id from kept`)]).toEqual([{ id: 7 }]);
    }
    await second.stop();
  });

  test("offers UTF-8, the builtin locale, the wanted extensions, and trigrams of Chinese words", async () => {
    const { url } = await user(usedDataDir, "attach");
    await using db = connect(url);
    const [facts] = await db.sql`
      select datcollate, datlocale, datlocprovider, pg_encoding_to_char(encoding) as encoding,
        current_setting('TimeZone') as zone, current_setting('server_version_num')::int / 10000 as major
      from pg_database where datname = 'llmops'`;
    expect(facts).toEqual({
      datcollate: "C",
      datlocale: "C.UTF-8",
      datlocprovider: "b",
      encoding: "UTF8",
      zone: "UTC",
      major: 18,
    });
    await db.sql`create extension pg_trgm`;
    await db.sql`create extension pgcrypto`;
    const [row] = await db.sql`
      select similarity('月之暗面', '月之暗影') as likeness, encode(digest('x', 'sha256'), 'hex') as digest,
        to_tsvector('english', 'running')::text as stem, upper('é') as upper`;
    expect(row?.likeness).toBeGreaterThan(0.3);
    expect(row?.digest).toStartWith("2d711642");
    expect(row?.stem).toBe("'run':1");
    expect(row?.upper).toBe("É");
  });

  test("serves through a short socket path where the data folder's own is too long", async () => {
    const dataDir = newDataDir("long".repeat(20), "longer".repeat(20));
    const { url, stop } = await user(dataDir, "serve");
    const socketDir = new URL(url).searchParams.get("host") ?? "";
    expect(socketDir).toStartWith("/tmp/llmops-");
    expect(statSync(socketDir).mode & 0o777).toBe(0o700);
    expect(await works(url)).toBe(true);
    await stop();
    rmSync(socketDir, { recursive: true });
  });

  test("removes the runtime of an earlier release and what a killed start left behind", async () => {
    const dataDir = usedDataDir;
    const home = join(dataDir, "postgres");
    for (const name of ["17.1-0123456789ab", "18.9-0123456789ab.tmp", "not-a-runtime"])
      mkdirSync(join(home, name));
    await (await user(dataDir, "serve")).stop();
    const left = readdirSync(home);
    expect(left).not.toContain("17.1-0123456789ab");
    expect(left).not.toContain("18.9-0123456789ab.tmp");
    expect(left).toContain("not-a-runtime");
  });

  test("makes a whole database from what a start that was killed while unpacking left", async () => {
    const dataDir = newDataDir();
    for (const name of ["data.tmp/base", "run"])
      mkdirSync(join(dataDir, "postgres", name), { recursive: true });
    writeFileSync(join(dataDir, "postgres/data.tmp/PG_VERSION"), "1");
    for (const folder of [dataDir, join(dataDir, "postgres")]) chmodSync(folder, 0o711);
    chmodSync(join(dataDir, "postgres/run"), 0o700);
    const { url } = await user(dataDir, "serve");
    expect(await works(url)).toBe(true);
    expect(existsSync(join(dataDir, "postgres/data.tmp"))).toBe(false);
  });
});

describe("several users", () => {
  test("refuses a second serve with the first one's pid, and leaves the database alone", async () => {
    const dataDir = usedDataDir;
    const first = await user(dataDir, "serve");
    const second = await user(dataDir, "serve");
    expect(second.error).toContain(
      `llmops serve (pid ${first.pid}) already runs on the data folder ${dataDir}`,
    );
    expect(await second.exited).toBe(1);
    expect(await works(first.url)).toBe(true);
  });

  test("attaches while another serves, and stops the database only with the last user", async () => {
    const dataDir = usedDataDir;
    const serve = await user(dataDir, "serve");
    const pid = postmasterOf(dataDir) ?? 0;
    const one = await user(dataDir, "attach");
    const two = await user(dataDir, "attach");
    expect(one.url).toBe(serve.url);
    expect(postmasterOf(dataDir)).toBe(pid);
    await one.stop();
    await serve.stop();
    expect(isPostgres(pid)).toBe(true);
    expect(await works(two.url)).toBe(true);
    await two.stop();
    expect(isPostgres(pid)).toBe(false);
  });

  test("starts one database for users who come at once", async () => {
    const dataDir = usedDataDir;
    const roles = ["serve", "attach", "attach", "attach"] as const;
    const users = await Promise.all(roles.map((role) => user(dataDir, role)));
    expect(new Set(users.map(({ url }) => url)).size).toBe(1);
    expect(await works(users[0]?.url ?? "")).toBe(true);
    const pid = postmasterOf(dataDir) ?? 0;
    await Promise.all(users.map(({ stop }) => stop()));
    expect(isPostgres(pid)).toBe(false);
  });
});

describe("sudden ends", () => {
  /** Inserts 1, 2, 3 … until the connection breaks; the last number whose insert was acknowledged. */
  async function insertUntilBroken(url: string, killed: () => Promise<void>): Promise<number> {
    await using db = connect(url);
    await db.sql`drop table if exists acknowledged`;
    await db.sql`create table acknowledged (id int primary key)`;
    let last = 0;
    let killing: Promise<void> | undefined;
    try {
      for (;;) {
        await db.sql`insert into acknowledged values (${last + 1})`;
        last += 1;
        if (last === 50) killing = killed();
        if (last === 500) return last;
      }
    } catch {
      return last;
    } finally {
      await killing;
    }
  }
  async function expectRows(url: string, last: number) {
    await using db = connect(url);
    const [row] = await db.sql<
      { n: number }[]
    >`select count(*)::int as n from acknowledged where id <= ${last}`;
    expect(row?.n).toBe(last);
  }

  test("adopts the database of a killed service, with every acknowledged row", async () => {
    const dataDir = usedDataDir;
    const first = await user(dataDir, "serve");
    const pid = postmasterOf(dataDir);
    const last = await insertUntilBroken(first.url, first.kill);
    expect(last).toBeGreaterThanOrEqual(50);
    const second = await user(dataDir, "serve");
    expect(postmasterOf(dataDir)).toBe(pid);
    await expectRows(second.url, last);
    await second.stop();
    expect(isPostgres(pid ?? 0)).toBe(false);
  });

  test("recovers every acknowledged row after service and database were killed together", async () => {
    const dataDir = usedDataDir;
    const first = await user(dataDir, "serve");
    const pid = postmasterOf(dataDir) ?? 0;
    const last = await insertUntilBroken(first.url, async () => {
      process.kill(pid, "SIGKILL");
      await first.kill();
    });
    const second = await user(dataDir, "serve");
    expect(postmasterOf(dataDir)).not.toBe(pid);
    await expectRows(second.url, last);
  });

  test("starts although another program has the pid that a killed database left in its files", async () => {
    const dataDir = usedDataDir;
    const first = await user(dataDir, "serve");
    const pid = postmasterOf(dataDir) ?? 0;
    await first.kill();
    process.kill(pid, "SIGKILL");
    await until(() => !isPostgres(pid));
    // Of the database's own user: others' processes it does not take for its predecessor.
    const owner = isRoot ? { uid: 65534, gid: 65534 } : {};
    const another = Bun.spawn(["sleep", "60"], { ...owner, cwd: "/" });
    children.add(another);
    for (const file of [
      join(clusterOf(dataDir), "postmaster.pid"),
      join(dataDir, "postgres/run/.s.PGSQL.5432.lock"),
    ]) {
      writeFileSync(file, readFileSync(file, "utf8").replace(/^\d+/, String(another.pid)));
    }
    const second = await user(dataDir, "serve");
    expect(await works(second.url)).toBe(true);
  });

  test("runs the database in a session of its own, which Ctrl-C in the terminal does not reach", async () => {
    await user(usedDataDir, "serve");
    const pid = postmasterOf(usedDataDir);
    const session = Bun.spawnSync(["ps", "-o", "sess=", "-p", String(pid)]).stdout.toString();
    expect(Number(session)).toBe(pid ?? 0);
  });

  test("starts the database again under the same URL when it is killed while serving", async () => {
    const dataDir = usedDataDir;
    const serve = await user(dataDir, "serve");
    for (let time = 1; time <= 2; time++) {
      const pid = postmasterOf(dataDir) ?? 0;
      process.kill(pid, "SIGKILL");
      await until(async () => postmasterOf(dataDir) !== pid && (await works(serve.url)));
    }
    const pid = postmasterOf(dataDir) ?? 0;
    await serve.stop();
    expect(isPostgres(pid)).toBe(false);
    expect((await serve.log).match(/ended unexpectedly/g)).toHaveLength(2);
  });

  test("waits for a connection's process that outlives the killed database, then starts again", async () => {
    const serve = await user(usedDataDir, "serve");
    const log = join(usedDataDir, "postgres/postgres.log");
    const pid = postmasterOf(usedDataDir) ?? 0;
    await using db = connect(serve.url);
    const [row] = await db.sql<{ backend: number }[]>`select pg_backend_pid() as backend`;
    const backend = row?.backend ?? 0;
    process.kill(backend, "SIGSTOP");
    try {
      process.kill(pid, "SIGKILL");
      await until(() => readFileSync(log, "utf8").includes("shared memory block"));
    } finally {
      process.kill(backend, "SIGKILL");
    }
    await until(async () => postmasterOf(usedDataDir) !== pid && (await works(serve.url)));
    await serve.stop();
    expect(await serve.log).not.toContain("could not be started again");
  });

  test("starts the database again that it adopted, when that is killed", async () => {
    const dataDir = usedDataDir;
    await (await user(dataDir, "serve")).kill();
    const serve = await user(dataDir, "serve");
    const pid = postmasterOf(dataDir) ?? 0;
    process.kill(pid, "SIGKILL");
    await until(async () => postmasterOf(dataDir) !== pid && (await works(serve.url)));
  });

  test("waits for a database that is just being stopped and then starts it", async () => {
    const dataDir = usedDataDir;
    const first = await user(dataDir, "serve");
    const pid = postmasterOf(dataDir) ?? 0;
    await first.kill();
    process.kill(pid, "SIGINT");
    const second = await user(dataDir, "serve");
    await until(() => works(second.url));
  });
});

describe("refusals", () => {
  test("names both majors and a way out for a cluster of another PostgreSQL, and touches nothing", async () => {
    const dataDir = newDataDir();
    mkdirSync(clusterOf(dataDir), { recursive: true, mode: 0o711 });
    chmodSync(dataDir, 0o711);
    chmodSync(join(dataDir, "postgres"), 0o711);
    writeFileSync(join(clusterOf(dataDir), "PG_VERSION"), "17\n");
    const { error } = await user(dataDir, "serve");
    expect(error).toContain("is of PostgreSQL 17, and this llmops brings 18");
    expect(error).toContain("pg_dump");
    expect(readdirSync(clusterOf(dataDir))).toEqual(["PG_VERSION"]);
  });

  test("refuses to put a cluster over files that are none", async () => {
    const dataDir = newDataDir();
    mkdirSync(clusterOf(dataDir), { recursive: true, mode: 0o711 });
    writeFileSync(join(clusterOf(dataDir), "precious"), "x");
    const { error } = await user(dataDir, "serve");
    expect(error).toContain("is not empty and not a PostgreSQL cluster: move it away");
    expect(readFileSync(join(clusterOf(dataDir), "precious"), "utf8")).toBe("x");
  });

  test("quotes PostgreSQL's own reason when it does not start", async () => {
    const dataDir = usedDataDir;
    const settings = join(clusterOf(dataDir), "postgresql.auto.conf");
    const before = readFileSync(settings);
    writeFileSync(settings, "no_such_setting = 1\n");
    const { error } = await user(dataDir, "serve");
    writeFileSync(settings, before);
    expect(error).toContain("did not start");
    expect(error).toContain("postgresql.auto.conf");
  });

  test("says that a build without PostgreSQL needs DATABASE_URL", async () => {
    const { startEmbedded } = await import("../../src/database/embedded.ts");
    const { silentLog } = await import("../../src/log.ts");
    const archive = join(root, "empty.tar.zst");
    writeFileSync(archive, "");
    const start = startEmbedded({ dataDir: join(root, "unused"), archive, log: silentLog, role: "serve" });
    await expect(start).rejects.toThrow("set DATABASE_URL");
  });

  needs(isRoot, "only root can act as another user")(
    "says which folder cannot be written and what to do",
    async () => {
      const dataDir = newDataDir();
      mkdirSync(dataDir, { mode: 0o755 });
      const { error } = await user(dataDir, "serve", stranger);
      expect(error).toContain(`cannot write in the data folder ${dataDir} as user ${stranger.uid} (EACCES)`);
      expect(error).toContain("--data-dir");
    },
  );
});

describe("users", () => {
  const test = needs(isRoot, "only root can act as other users");

  test("runs PostgreSQL as an ordinary user when started by root, whose folder none else can read", async () => {
    const dataDir = usedDataDir;
    const { url } = await user(dataDir, "serve");
    expect(await works(url)).toBe(true);
    expect(statSync(dataDir).mode & 0o777).toBe(0o711);
    expect(statSync(clusterOf(dataDir)).uid).toBe(65534);
    expect(statSync(`/proc/${postmasterOf(dataDir)}`).uid).toBe(65534);
    expect(statSync(join(dataDir, "postgres/run")).mode & 0o777).toBe(0o700);
  });

  test("keeps the cluster under /var/lib/llmops when root's folder cannot be reached, also once it can", async () => {
    const dataDir = newDataDir("closed");
    mkdirSync(dataDir, { recursive: true });
    chmodSync(join(dataDir, ".."), 0o700);
    const first = await user(dataDir, "serve");
    const socketDir = new URL(first.url).searchParams.get("host") ?? "";
    expect(socketDir).toStartWith("/var/lib/llmops/");
    expect(await works(first.url)).toBe(true);
    await first.stop();
    expect((await first.log).match(/lives elsewhere/g)).toHaveLength(1);
    expect(existsSync(clusterOf(dataDir))).toBe(false);

    chmodSync(join(dataDir, ".."), 0o711);
    const second = await user(dataDir, "serve");
    expect(second.url).toBe(first.url);
    await second.stop();
    rmSync(join(socketDir, ".."), { recursive: true });
  });

  test("works as a user without a passwd entry, in a folder that is all its own", async () => {
    const dataDir = newDataDir();
    chmodSync(join(dataDir, ".."), 0o777);
    const first = await user(dataDir, "serve", stranger);
    expect(first.error).toBeUndefined();
    expect(await works(first.url)).toBe(true);
    expect(statSync(dataDir).mode & 0o777).toBe(0o700);
    expect(statSync(clusterOf(dataDir)).uid).toBe(stranger.uid);
    await first.stop();
    const asRoot = await user(dataDir, "attach");
    expect(await works(asRoot.url)).toBe(true);
    expect(statSync(`/proc/${postmasterOf(dataDir)}`).uid).toBe(stranger.uid);
    await asRoot.stop();
  });
});
