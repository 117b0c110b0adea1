import type postgres from "postgres";

/** Where a statement runs: the pool, or a transaction. */
// biome-ignore lint/complexity/noBannedTypes: the driver's own way to say "no custom types".
export type Db = postgres.ISql<{}>;
