/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  // One row for the whole installation. Development mode needs an owner for what it makes: one id, made here once.
  await sql`
    create table installation (
      singleton boolean primary key default true check (singleton),
      development_account_id uuid not null,
      created_at timestamptz not null default now()
    )`;
  await sql`insert into installation (development_account_id) values (gen_random_uuid())`;
}

/** @param {import("postgres").TransactionSql} sql */
export async function down(sql) {
  await sql`drop table installation`;
}
