/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  await sql`
    create table account (
      id uuid primary key,
      email text not null check (email = lower(email) and char_length(email) between 3 and 254),
      name text not null default '' check (char_length(name) <= 255),
      role text not null check (role in ('owner', 'admin', 'editor', 'viewer')),
      status text not null default '' check (status in ('', 'disabled')),
      password_hash text,
      created_at timestamptz not null,
      updated_at timestamptz not null
    )`;
  await sql`create unique index account_email on account (email)`;

  await sql`
    create table session (
      id uuid primary key,
      account_id uuid not null references account (id) on delete cascade,
      address text not null,
      user_agent text not null check (char_length(user_agent) <= 512),
      created_at timestamptz not null,
      used_at timestamptz not null,
      expires_at timestamptz not null,
      ended_at timestamptz
    )`;
  await sql`create index session_account_id on session (account_id, id desc)`;

  // A token that was exchanged stays until its session ends, so that a second use of it is noticed.
  await sql`
    create table refresh_token (
      hash bytea primary key,
      session_id uuid not null references session (id) on delete cascade,
      created_at timestamptz not null,
      used_at timestamptz
    )`;
  await sql`create index refresh_token_session_id on refresh_token (session_id)`;

  await sql`
    create table setup_token (
      hash bytea primary key,
      expires_at timestamptz not null
    )`;

  // Attempts to log in, counted for an account and for an address; the next is taken at next_at and not before.
  await sql`
    create table login_attempt (
      subject text primary key,
      attempts integer not null,
      next_at timestamptz not null,
      updated_at timestamptz not null
    )`;

  await sql`
    create table app_member (
      app_id uuid not null references app (id) on delete cascade,
      account_id uuid not null references account (id) on delete cascade,
      role text not null check (role in ('editor', 'viewer')),
      created_at timestamptz not null,
      primary key (app_id, account_id)
    )`;
  await sql`create index app_member_account_id on app_member (account_id, app_id)`;

  // Whoever keeps what they know of an account or a session in memory is told, with the commit, to forget it.
  await sql`
    create function notify_access() returns trigger language plpgsql as $$
    begin
      perform pg_notify('llmops_access', tg_argv[0] || ':' || coalesce(new.id, old.id)::text);
      return null;
    end $$`;
  await sql`
    create trigger account_access after update or delete on account
    for each row execute function notify_access('account')`;
  await sql`
    create trigger session_access after update of ended_at, expires_at or delete on session
    for each row execute function notify_access('session')`;
}

/** @param {import("postgres").TransactionSql} sql */
export async function down(sql) {
  await sql`drop table app_member, login_attempt, setup_token, refresh_token, session, account`;
  await sql`drop function notify_access`;
}
