import type { Config } from "../config/config.ts";
import type { Log } from "../log.ts";

/** A database that can be reached at `url` until it is disposed of. */
export interface Database extends AsyncDisposable {
  readonly url: string;
  readonly embedded: boolean;
}

/**
 * The database that the settings name: an external one as it is, or the embedded one in the data
 * folder, started or joined. `serve` keeps the embedded one alive and is the only one of its kind on a folder.
 * @throws {StartupError} the embedded one cannot be started, and what to do.
 */
export async function openDatabase(
  { database: { url }, dataDir }: Config,
  { role, log }: { role: "serve" | "attach"; log: Log },
): Promise<Database> {
  if (url !== undefined) {
    return { url, embedded: false, [Symbol.asyncDispose]: async () => {} };
  }
  const [{ startEmbedded }, { embeddedPostgresArchive }] = await Promise.all([
    import("./embedded.ts"),
    import("./archive.ts"),
  ]);
  const embedded = await startEmbedded({ dataDir, archive: embeddedPostgresArchive, log, role });
  return { url: embedded.url, embedded: true, [Symbol.asyncDispose]: () => embedded.stop() };
}
