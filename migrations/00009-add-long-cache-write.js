/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  // What is written to the cache for longer than usual (Anthropic: an hour) has a price of its own; without one it costs what
  // is written for the usual time. A nullable column without a default: no row is touched.
  await sql`alter table price add column cache_write_long numeric(24, 12) check (cache_write_long >= 0)`;
}

/** @param {import("postgres").TransactionSql} sql */
export async function down(sql) {
  await sql`alter table price drop column cache_write_long`;
}
