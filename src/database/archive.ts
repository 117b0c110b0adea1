import archive from "../../dist/postgres.tar.zst" with { type: "file" };

/** Where the packed PostgreSQL is: in the executable, or in `dist/` when run from the source. */
export const embeddedPostgresArchive: string = archive;
