/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  await sql`
    create table app (
      id uuid primary key,
      account_id uuid not null,
      name text not null check (char_length(name) between 1 and 255),
      icon text not null default '' check (char_length(icon) <= 2048),
      description text not null default '' check (char_length(description) <= 2000),
      status text not null default '' check (status in ('', 'disabled', 'archived')),
      config jsonb not null default '{}' check (jsonb_typeof(config) = 'object'),
      created_at timestamptz not null,
      updated_at timestamptz not null,
      deleted_at timestamptz
    )`;
  // An account's apps, newest first: ids are UUIDv7 and sort by the time they were made.
  await sql`create index app_account_id_id on app (account_id, id desc) where deleted_at is null`;
}

/** @param {import("postgres").TransactionSql} sql */
export async function down(sql) {
  await sql`drop table app`;
}
