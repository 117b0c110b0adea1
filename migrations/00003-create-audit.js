/** @param {import("postgres").TransactionSql} sql */
export async function up(sql) {
  // Every change with a name on it. Each entry is hashed together with the hash of the one before; two cannot follow
  // the same one. Numbers have no gaps: they come from audit_head and not from a sequence, which a rollback leaves holes
  // in. Milliseconds, because that is what the hash was made over.
  await sql`
    create table audit (
      seq bigint primary key,
      id uuid not null unique,
      at timestamptz(3) not null,
      actor_kind text not null check (actor_kind in ('account', 'key', 'cli', 'system', 'development')),
      actor_id uuid,
      actor_name text,
      ip text,
      request_id uuid,
      action text not null,
      subject_kind text not null,
      subject_id text,
      before jsonb,
      after jsonb,
      prev_hash bytea not null unique check (length(prev_hash) = 32),
      hash bytea not null check (length(hash) = 32)
    )`;
  await sql`create index audit_subject_id_seq on audit (subject_id, seq desc)`;
  await sql`create index audit_actor_id_seq on audit (actor_id, seq desc)`;
  await sql`create index audit_action_seq on audit (action, seq desc)`;
  await sql`create index audit_at on audit (at)`;

  // Where the chain ends, authenticated with a key that the database does not hold in the clear.
  await sql`
    create table audit_head (
      singleton boolean primary key default true check (singleton),
      seq bigint not null,
      hash bytea not null check (length(hash) = 32),
      mac bytea check (length(mac) = 32)
    )`;
  await sql`insert into audit_head (seq, hash) values (0, decode(repeat('00', 32), 'hex'))`;

  await sql`
    create function refuse_change() returns trigger language plpgsql as $$
    begin
      raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
    end $$`;
  await sql`
    create trigger audit_append_only before update or delete or truncate on audit
    for each statement execute function refuse_change()`;
  await sql`
    create trigger audit_head_stays before delete or truncate on audit_head
    for each statement execute function refuse_change()`;
  await sql`
    create trigger audit_head_forward before update on audit_head
    for each row when (new.seq <> old.seq + 1) execute function refuse_change()`;
  // Also where triggers are off for whoever applies changes of another server.
  await sql`alter table audit enable always trigger audit_append_only`;
  await sql`alter table audit_head enable always trigger audit_head_stays`;
  await sql`alter table audit_head enable always trigger audit_head_forward`;
}

/** @param {import("postgres").TransactionSql} sql */
export async function down(sql) {
  await sql`drop table audit, audit_head`;
  await sql`drop function refuse_change`;
}
