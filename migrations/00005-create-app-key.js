/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  await sql`
    create table app_key (
      id uuid primary key,
      app_id uuid not null references app (id) on delete cascade,
      name text not null default '' check (char_length(name) <= 255),
      public_id text not null unique check (public_id ~ '^[0-9A-Za-z]{16}$'),
      secret_hash bytea not null check (length(secret_hash) = 32),
      models text[] not null default '{}',
      address_ranges text[] not null default '{}',
      expires_at timestamptz,
      used_at timestamptz,
      revoked_at timestamptz,
      created_by uuid,
      created_at timestamptz not null,
      updated_at timestamptz not null
    )`;
  await sql`create index app_key_app_id on app_key (app_id, id desc)`;
  // The time of last use is written often and changes nothing about what a key opens.
  await sql`
    create trigger app_key_access after update of revoked_at, expires_at, models, address_ranges or delete on app_key
    for each row execute function notify_access('key')`;
  // A key opens nothing once its app is disabled, archived or deleted.
  await sql`
    create trigger app_access after update of status, config, deleted_at or delete on app
    for each row execute function notify_access('app')`;
}

/** @param {import("postgres").TransactionSql} sql */
export async function down(sql) {
  await sql`drop trigger app_access on app`;
  await sql`drop table app_key`;
}
