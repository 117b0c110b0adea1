/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  // One row for the whole installation: the provider that people may log in with.
  await sql`
    create table oidc (
      singleton boolean primary key default true check (singleton),
      issuer text not null check (char_length(issuer) between 1 and 2048),
      client_id text not null check (char_length(client_id) between 1 and 255),
      client_secret_sealed bytea,
      scopes text not null default 'openid email profile' check (char_length(scopes) <= 1024),
      allowed_domains text[] not null default '{}',
      role_claim text check (char_length(role_claim) between 1 and 255),
      role_map jsonb not null default '{}' check (
        jsonb_typeof(role_map) = 'object'
        and not jsonb_path_exists(role_map, '$.* ? (@.type() != "string" || (@ != "admin" && @ != "editor" && @ != "viewer"))')
      ),
      default_role text not null default 'viewer' check (default_role in ('editor', 'viewer')),
      enabled boolean not null default true,
      created_at timestamptz not null,
      updated_at timestamptz not null
    )`;

  // Who somebody is at a provider. An account is one person there, and so has one subject for each issuer.
  await sql`
    create table account_identity (
      issuer text not null,
      subject text not null check (char_length(subject) between 1 and 255),
      account_id uuid not null references account (id) on delete cascade,
      created_at timestamptz not null,
      primary key (issuer, subject),
      constraint account_identity_account unique (account_id, issuer)
    )`;
}

/** @param {import("postgres").TransactionSql} sql */
export async function down(sql) {
  await sql`drop table account_identity, oidc`;
}
