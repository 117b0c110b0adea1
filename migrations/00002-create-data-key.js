/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  // Random keys that sign, hash and seal. The database holds them wrapped only: the secret that opens them is elsewhere.
  await sql`
    create table data_key (
      id uuid primary key,
      purpose text not null check (purpose in ('sign', 'hash', 'seal')),
      wrapped bytea not null check (length(wrapped) = 61),
      wrapped_by text not null,
      created_at timestamptz not null,
      retired_at timestamptz
    )`;
  await sql`create unique index data_key_purpose on data_key (purpose) where retired_at is null`;
}

/** @param {import("postgres").TransactionSql} sql */
export async function down(sql) {
  await sql`drop table data_key`;
}
