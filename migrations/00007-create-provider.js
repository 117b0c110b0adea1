/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  await sql`
    create table provider (
      id uuid primary key,
      name text not null unique check (char_length(name) between 1 and 255),
      dialect text not null check (dialect in ('openai', 'anthropic', 'echo')),
      base_url text not null default '' check (char_length(base_url) <= 2048),
      key_sealed bytea,
      headers_sealed bytea,
      header_names text[] not null default '{}',
      timeouts jsonb not null default '{}' check (jsonb_typeof(timeouts) = 'object'),
      concurrency_max integer check (concurrency_max > 0),
      local boolean not null default false,
      status text not null default '' check (status in ('', 'disabled')),
      created_at timestamptz not null,
      updated_at timestamptz not null
    )`;

  // A model is one name at one provider, or a list of other models to choose from. Without a provider the one of the
  // settings answers.
  await sql`
    create table model (
      id uuid primary key,
      name text not null unique check (char_length(name) between 1 and 255),
      provider_id uuid references provider (id) on delete restrict,
      upstream_name text check (char_length(upstream_name) between 1 and 255),
      parameter_rules jsonb not null default '{}' check (jsonb_typeof(parameter_rules) = 'object'),
      targets jsonb not null default '[]' check (jsonb_typeof(targets) = 'array'),
      routing text not null default 'ordered' check (routing in ('ordered', 'weighted')),
      output_tokens_max integer check (output_tokens_max > 0),
      image_tokens_max integer check (image_tokens_max > 0),
      status text not null default '' check (status in ('', 'disabled')),
      created_at timestamptz not null,
      updated_at timestamptz not null,
      constraint model_kind check ((upstream_name is null) = (targets <> '[]') and (provider_id is null or upstream_name is not null))
    )`;
  await sql`create index model_provider_id on model (provider_id)`;

  // Prices per million tokens. A version holds from its time until the next one; a kind of token without a price of its
  // own costs what its base costs (cached and cache-write: prompt; reasoning: completion).
  await sql`
    create table price (
      id uuid primary key,
      model_id uuid not null references model (id) on delete cascade,
      valid_from timestamptz not null,
      above_prompt_tokens integer not null default 0 check (above_prompt_tokens >= 0),
      currency text not null check (currency ~ '^[A-Z]{3}$'),
      prompt numeric(24, 12) not null check (prompt >= 0),
      cached numeric(24, 12) check (cached >= 0),
      cache_write numeric(24, 12) check (cache_write >= 0),
      completion numeric(24, 12) not null check (completion >= 0),
      reasoning numeric(24, 12) check (reasoning >= 0),
      source text not null default '' check (char_length(source) <= 2048),
      created_at timestamptz not null,
      constraint price_version unique (model_id, valid_from, above_prompt_tokens)
    )`;

  // Every process keeps all of these in memory.
  await sql`
    create function notify_registry() returns trigger language plpgsql as $$
    begin
      perform pg_notify('llmops_access', 'registry');
      return null;
    end $$`;
  for (const table of ["provider", "model", "price"]) {
    await sql`
      create trigger ${sql(`${table}_registry`)} after insert or update or delete on ${sql(table)}
      for each statement execute function notify_registry()`;
  }

  // Counts the changes of an app, so that a record can say which state of it answered.
  await sql`alter table app add column version integer not null default 1`;
}

/** @param {import("postgres").TransactionSql} sql */
export async function down(sql) {
  await sql`alter table app drop column version`;
  await sql`drop table price, model, provider`;
  await sql`drop function notify_registry`;
}
