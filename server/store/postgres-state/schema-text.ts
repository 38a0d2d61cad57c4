/**
 * What whoever owns the database applies once, and once more for each later version: tables, the log of groups, roles.
 *
 * The server itself changes no table. It may read all of them, and call one function that applies a group of changes
 * under the number that comes next, for the writer whose epoch is the latest. A change by anybody else raises the number
 * and leaves a gap in the log of groups, from which every copy sees that it has to be made anew.
 *
 * @see docs/decisions/0045; docs/guides/state-storage.md
 */
import { latestVersion, type Migrations } from "../migrations/steps.ts";
import { statementsOfStep, tablesOf } from "./dialect.ts";

/** Groups that stay in the log: a copy that is further behind is made anew. */
const KEPT_GROUPS = 10_000;

const LOG = `
create schema trustwarden_state;
create schema trustwarden_state_log;
set local search_path = trustwarden_state_log;

-- One row: which version of the tables, how many groups they have seen, and whose they are to change.
create table store (
  only_row boolean primary key default true check (only_row),
  schema_version integer not null,
  store_id uuid not null default gen_random_uuid(),
  version bigint not null default 0,
  epoch bigint not null default 0,
  holder text,
  -- The holder goes on alone when it loses the database; nobody else takes the store from it unless it let go.
  goes_on boolean not null default false,
  source text
);
create table groups (
  version bigint primary key,
  id text not null,
  changes bytea not null
);
-- How the rows of a table are set and found; kept by arrange().
create table shapes (
  name text primary key,
  assignments text not null,
  columns text not null,
  same_key text not null
);
-- Which login reads the rows of which owner, and of nobody else.
create table readers (
  login name not null,
  owner_id text not null,
  primary key (login, owner_id)
);

-- Roles belong to the whole cluster, and another database of it may have them already.
do $$ begin create role trustwarden_state_server nologin; exception when duplicate_object then null; end $$;
do $$ begin create role trustwarden_state_reader nologin; exception when duplicate_object then null; end $$;
grant usage on schema trustwarden_state, trustwarden_state_log to trustwarden_state_server;
grant usage on schema trustwarden_state to trustwarden_state_reader;
grant select on store, groups to trustwarden_state_server;
`;

const FUNCTIONS = `
-- Owners that the login in use may read.
create function trustwarden_state_log.readable_owners() returns setof text
  language sql stable security definer set search_path = '' as
  $$ select owner_id from trustwarden_state_log.readers where login = session_user $$;

create function trustwarden_state_log.note_change() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  if coalesce(current_setting('trustwarden.group', true), '') = '' then
    update trustwarden_state_log.store set version = version + 1;
    perform pg_notify('trustwarden_state', 'gap');
  end if;
  return null;
end
$$;

-- Rights, row policies, triggers and shapes of every table; again after each new version.
create function trustwarden_state_log.arrange() returns void
  language plpgsql set search_path = trustwarden_state, trustwarden_state_log as $$
declare
  one record;
begin
  for one in select c.oid, c.relname as name,
      exists (select 1 from pg_attribute a where a.attrelid = c.oid and a.attname = 'owner_id') as is_owned
    from pg_class c where c.relnamespace = 'trustwarden_state'::regnamespace and c.relkind = 'r'
  loop
    execute format('drop trigger if exists note_change on %I', one.name);
    execute format('create trigger note_change after insert or update or delete or truncate on %I
      for each statement execute function trustwarden_state_log.note_change()', one.name);
    execute format('grant select on %I to trustwarden_state_server', one.name);
    execute format('alter table %I enable row level security', one.name);
    execute format('drop policy if exists server on %I', one.name);
    execute format('create policy server on %I for select to trustwarden_state_server using (true)', one.name);
    if one.is_owned then
      execute format('grant select on %I to trustwarden_state_reader', one.name);
      execute format('drop policy if exists reader on %I', one.name);
      execute format('create policy reader on %I for select to trustwarden_state_reader
        using (owner_id in (select trustwarden_state_log.readable_owners()))', one.name);
    end if;
    insert into shapes (name, assignments, columns, same_key)
      select one.name, string_agg(format('%1$I = d.%1$I', a.attname), ', ' order by a.attnum),
        string_agg(format('%I', a.attname), ', ' order by a.attnum),
        string_agg(format('t.%1$I = d.%1$I', a.attname), ' and ' order by a.attnum)
          filter (where a.attnum = any (i.indkey))
      from pg_attribute a join pg_index i on i.indrelid = a.attrelid and i.indisprimary
      where a.attrelid = one.oid and a.attnum > 0 and not a.attisdropped
      on conflict (name) do update set assignments = excluded.assignments, columns = excluded.columns,
        same_key = excluded.same_key;
  end loop;
end
$$;
revoke all on function trustwarden_state_log.arrange() from public;

-- Becomes the writer: from now on only this epoch's changes are taken.
create function trustwarden_state_log.take_over(p_holder text, p_goes_on boolean)
  returns table (epoch bigint, version bigint, store_id uuid, source text)
  language sql security definer set search_path = '' as $$
  update trustwarden_state_log.store as s set epoch = s.epoch + 1, holder = p_holder, goes_on = p_goes_on
  where s.holder is null or s.holder = p_holder or not s.goes_on
  returning s.epoch, s.version, s.store_id, s.source
$$;

-- Lets go; whoever comes next need not ask.
create function trustwarden_state_log.let_go(p_epoch bigint) returns void
  language sql security definer set search_path = '' as $$
  update trustwarden_state_log.store set holder = null where epoch = p_epoch
$$;

-- Remembers where a store that was moved here came from.
create function trustwarden_state_log.name_source(p_epoch bigint, p_source text) returns void
  language sql security definer set search_path = '' as $$
  update trustwarden_state_log.store set source = p_source where epoch = p_epoch
$$;

-- Applies one group of changes: all of it, under its number, or nothing.
create function trustwarden_state_log.apply_group(
  p_epoch bigint, p_version bigint, p_id text, p_changes jsonb, p_raw bytea
) returns void
  language plpgsql security definer set search_path = trustwarden_state, pg_temp as $$
declare
  part jsonb;
  shape record;
  wanted bigint;
  found_rows bigint;
begin
  update trustwarden_state_log.store set version = p_version where epoch = p_epoch and version = p_version - 1;
  if not found then
    perform 1 from trustwarden_state_log.store where epoch = p_epoch;
    if found then
      raise exception 'the store has moved on' using errcode = 'TW002';
    end if;
    raise exception 'another server is the writer' using errcode = 'TW001';
  end if;
  perform set_config('trustwarden.group', p_version::text, true);
  for part in select * from jsonb_array_elements(p_changes) loop
    select * into strict shape from trustwarden_state_log.shapes where name = part ->> 't';
    wanted := jsonb_array_length(part -> 'r');
    case part ->> 'o'
      when 'D' then
        execute format('delete from %1$I t using jsonb_populate_recordset(null::%1$I, $1) d where %2$s',
          shape.name, shape.same_key) using part -> 'r';
      when 'U' then
        execute format('update %1$I t set %3$s from jsonb_populate_recordset(null::%1$I, $1) d where %2$s',
          shape.name, shape.same_key, shape.assignments) using part -> 'r';
      when 'I' then
        execute format('insert into %1$I (%2$s) select %2$s from jsonb_populate_recordset(null::%1$I, $1)',
          shape.name, shape.columns) using part -> 'r';
    end case;
    get diagnostics found_rows = row_count;
    if found_rows <> wanted then
      raise exception 'the tables are not what the writer holds them for' using errcode = 'TW003';
    end if;
  end loop;
  if p_raw is not null then
    insert into trustwarden_state_log.groups (version, id, changes) values (p_version, p_id, p_raw);
    delete from trustwarden_state_log.groups where version <= p_version - ${KEPT_GROUPS};
  end if;
  perform pg_notify('trustwarden_state', p_version::text);
end
$$;

revoke all on function trustwarden_state_log.apply_group(bigint, bigint, text, jsonb, bytea),
  trustwarden_state_log.take_over(text, boolean), trustwarden_state_log.let_go(bigint),
  trustwarden_state_log.name_source(bigint, text) from public;
grant execute on function trustwarden_state_log.apply_group(bigint, bigint, text, jsonb, bytea),
  trustwarden_state_log.take_over(text, boolean), trustwarden_state_log.let_go(bigint),
  trustwarden_state_log.name_source(bigint, text) to trustwarden_state_server;
grant usage on schema trustwarden_state_log to trustwarden_state_reader;
`;

/** Since version 6: servers that share the store. */
const REPLICAS_SINCE = 6;
const REPLICAS = `
-- The servers that share the store, each process under a name of its own; see docs/decisions/0053.
create table trustwarden_state_log.replicas (
  name text primary key,
  beats bigint not null default 1,
  acked bigint not null,
  leases integer not null,
  seen_at timestamptz not null default now()
);
grant select on trustwarden_state_log.replicas to trustwarden_state_server;

-- Becomes one of several writers: none of them waits for another, and each group is under the number that comes next.
create function trustwarden_state_log.join_store()
  returns table (epoch bigint, version bigint, store_id uuid, source text)
  language sql security definer set search_path = '' as $$
  update trustwarden_state_log.store as s
  set epoch = s.epoch + (s.holder is distinct from 'replicas')::int, holder = 'replicas', goes_on = false
  where s.holder is null or s.holder = 'replicas' or not s.goes_on
  returning s.epoch, s.version, s.store_id, s.source
$$;

-- Keeps that a server lives, before it asks for anything. Whoever waits for what it acknowledged is told at once.
create function trustwarden_state_log.beat(p_name text, p_acked bigint, p_leases integer) returns void
  language plpgsql security definer set search_path = '' as $$
begin
  if exists (select 1 from trustwarden_state_log.replicas where name = p_name and acked >= p_acked) then
    -- What a crash of the database forgets of these is less than what a silent server is waited for.
    set local synchronous_commit = off;
  else
    perform pg_notify('trustwarden_replicas', '');
    delete from trustwarden_state_log.replicas where seen_at < now() - interval '1 day';
  end if;
  insert into trustwarden_state_log.replicas as r (name, acked, leases) values (p_name, p_acked, p_leases)
  on conflict (name) do update set beats = r.beats + 1, acked = greatest(r.acked, excluded.acked),
    leases = excluded.leases, seen_at = now();
end
$$;

-- What servers append that do not sequence the ledger, until whoever does has answered it.
create table trustwarden_state_log.appends (
  number bigint generated always as identity primary key,
  id text not null unique,
  entries text[] not null,
  asked_at timestamptz not null default clock_timestamp(),
  is_answered boolean not null default false,
  answered_at timestamptz,
  position bigint,
  refusal text
);
create index on trustwarden_state_log.appends (number) where not is_answered;
grant select on trustwarden_state_log.appends to trustwarden_state_server;

create function trustwarden_state_log.ask_appends(p_asked jsonb) returns void
  language plpgsql security definer set search_path = '' as $$
begin
  insert into trustwarden_state_log.appends (id, entries)
    select a ->> 'id', array(select jsonb_array_elements_text(a -> 'entries')) from jsonb_array_elements(p_asked) a
    on conflict (id) do nothing;
  perform pg_notify('trustwarden_appends', '');
end
$$;

-- An answer that is there stays; those that nobody can be waiting for any more go. It counts from the answer: whoever
-- asked while nobody sequenced is still to hear of it, and would otherwise ask for the same entries as if for others.
create function trustwarden_state_log.answer_appends(p_answers jsonb) returns void
  language plpgsql security definer set search_path = '' as $$
begin
  update trustwarden_state_log.appends a
    set is_answered = true, answered_at = now(), position = (d ->> 'position')::bigint, refusal = d ->> 'refusal'
    from jsonb_array_elements(p_answers) d where a.id = d ->> 'id' and not a.is_answered;
  delete from trustwarden_state_log.appends where answered_at < now() - interval '10 minutes';
  perform pg_notify('trustwarden_appends', '');
end
$$;

revoke all on function trustwarden_state_log.join_store(), trustwarden_state_log.ask_appends(jsonb),
  trustwarden_state_log.answer_appends(jsonb), trustwarden_state_log.beat(text, bigint, integer) from public;
grant execute on function trustwarden_state_log.join_store(), trustwarden_state_log.ask_appends(jsonb),
  trustwarden_state_log.answer_appends(jsonb), trustwarden_state_log.beat(text, bigint, integer)
  to trustwarden_state_server;
`;

/** Since version 7: what is used once, whichever server it is shown to. */
const USES_SINCE = 7;
const USES = `
-- What may be used once (intents, nonces, requests that owners sign), until it would not be taken any more anyway.
create table trustwarden_state_log.uses (
  kind text not null,
  name text not null,
  mark text not null,
  forget_at timestamptz not null,
  primary key (kind, name)
);
create index on trustwarden_state_log.uses (forget_at);

-- Uses up what nobody has used yet; gives back what somebody has, with the mark it was used under.
create function trustwarden_state_log.claim_uses(p_claims jsonb) returns table (kind text, name text, mark text)
  language plpgsql security definer set search_path = '' as $$
declare
  used jsonb;
begin
  delete from trustwarden_state_log.uses u where (u.kind, u.name) in (
    select f.kind, f.name from trustwarden_state_log.uses f where f.forget_at < now() limit 256 for update skip locked);
  with asked as (
    select c ->> 'kind' as kind, c ->> 'name' as name, c ->> 'mark' as mark, (c ->> 'seconds')::integer as seconds
    from jsonb_array_elements(p_claims) c),
  taken as (
    insert into trustwarden_state_log.uses (kind, name, mark, forget_at)
      -- In one order everywhere: two servers that are shown the same two never wait for each other.
      select a.kind, a.name, a.mark, now() + make_interval(secs => a.seconds) from asked a order by a.kind, a.name
      on conflict do nothing returning uses.kind, uses.name)
  select coalesce(jsonb_agg(jsonb_build_object('kind', a.kind, 'name', a.name)), '[]') into used
    from asked a where not exists (select 1 from taken t where t.kind = a.kind and t.name = a.name);
  -- A statement of its own: it sees what others committed while the one before waited for them.
  return query select d ->> 'kind', d ->> 'name', coalesce(u.mark, '')
    from jsonb_array_elements(used) d
    left join trustwarden_state_log.uses u on u.kind = d ->> 'kind' and u.name = d ->> 'name';
end
$$;

-- The outbox's ids go on from here in a copy that is made anew: no id is ever given twice, whoever held it back.
create function trustwarden_state_log.fresh_outbox_id() returns bigint
  language sql volatile security definer set search_path = '' as
  $$ select greatest((extract(epoch from clock_timestamp()) * 1000000)::bigint,
    (select coalesce(max(outbox_id), 0) from trustwarden_state.outbox)) $$;

-- As before, but what the outbox still owes is answered for as long as it does, however long everybody was away.
create or replace function trustwarden_state_log.answer_appends(p_answers jsonb) returns void
  language plpgsql security definer set search_path = '' as $$
begin
  update trustwarden_state_log.appends a
    set is_answered = true, answered_at = now(), position = (d ->> 'position')::bigint, refusal = d ->> 'refusal'
    from jsonb_array_elements(p_answers) d where a.id = d ->> 'id' and not a.is_answered;
  delete from trustwarden_state_log.appends a where a.answered_at < now() - interval '10 minutes'
    and not exists (select 1 from trustwarden_state.outbox o
      where split_part(a.id, ' ', 1) = 'outbox' and split_part(a.id, ' ', 2) = o.outbox_id::text);
  perform pg_notify('trustwarden_appends', '');
end
$$;

-- As before, but what the outbox owes no more is in the ledger: whoever was held up for longer than its answer is kept asks
-- for nothing new.
create or replace function trustwarden_state_log.ask_appends(p_asked jsonb) returns void
  language plpgsql security definer set search_path = '' as $$
begin
  insert into trustwarden_state_log.appends (id, entries)
    select a ->> 'id', array(select jsonb_array_elements_text(a -> 'entries')) from jsonb_array_elements(p_asked) a
    where split_part(a ->> 'id', ' ', 1) <> 'outbox' or exists (select 1 from trustwarden_state.outbox o
      where o.outbox_id::text = split_part(a ->> 'id', ' ', 2))
    on conflict (id) do nothing;
  perform pg_notify('trustwarden_appends', '');
end
$$;

revoke all on function trustwarden_state_log.claim_uses(jsonb), trustwarden_state_log.fresh_outbox_id() from public;
grant execute on function trustwarden_state_log.claim_uses(jsonb), trustwarden_state_log.fresh_outbox_id()
  to trustwarden_state_server;
`;

/** Since version 8: what servers that share the store keep for one another beside the state. */
const NOTES_SINCE = 8;
const NOTES = `
-- Places of sinks, what witnesses cosigned, streams of receivers: whichever server needs it next reads it here.
create table trustwarden_state_log.notes (
  kind text not null,
  name text not null,
  revision bigint not null,
  body text not null,
  primary key (kind, name)
);
grant select on trustwarden_state_log.notes to trustwarden_state_server;

-- Keeps a note over the one that was read, 0 for none; null takes it away. Gives its revision, or nothing where another was faster.
create function trustwarden_state_log.keep_note(p_kind text, p_name text, p_revision bigint, p_body text) returns bigint
  language plpgsql security definer set search_path = '' as $$
declare
  kept bigint;
begin
  if p_body is null then
    delete from trustwarden_state_log.notes where kind = p_kind and name = p_name and revision = p_revision
      returning revision into kept;
  elsif p_revision = 0 then
    -- No revision comes twice under one name, also when the note was taken away in between.
    insert into trustwarden_state_log.notes (kind, name, revision, body)
      values (p_kind, p_name, (extract(epoch from clock_timestamp()) * 1000000)::bigint, p_body)
      on conflict do nothing returning revision into kept;
  else
    update trustwarden_state_log.notes set body = p_body, revision = revision + 1
      where kind = p_kind and name = p_name and revision = p_revision returning revision into kept;
  end if;
  return kept;
end
$$;

revoke all on function trustwarden_state_log.keep_note(text, text, bigint, text) from public;
grant execute on function trustwarden_state_log.keep_note(text, text, bigint, text) to trustwarden_state_server;
`;

/** The whole schema at the latest version, for a database that has none. */
export function formatStateSchema(migrations: Migrations): string {
  const version = latestVersion(migrations);
  return `${LOG}insert into store (schema_version) values (${version});
${inTables(tablesOf(migrations))}${FUNCTIONS}${version < REPLICAS_SINCE ? "" : REPLICAS}${version < USES_SINCE ? "" : USES}${version < NOTES_SINCE ? "" : NOTES}${ARRANGE}`;
}

/** What brings a schema of an earlier version up; nothing changes unless it is of that version. */
export function formatStateUpgrade(migrations: Migrations, from: number): string {
  const version = latestVersion(migrations);
  const steps = migrations.steps.filter((step) => step.version > from);
  return `do $$ begin
  if (select schema_version from trustwarden_state_log.store) <> ${from} then raise exception 'of another version'; end if;
end $$;
update trustwarden_state_log.store set schema_version = ${version}, version = version + 1;
${inTables(steps.flatMap(statementsOfStep))}${from < REPLICAS_SINCE ? REPLICAS : ""}${from < USES_SINCE ? USES : ""}${from < NOTES_SINCE ? NOTES : ""}${ARRANGE}`;
}

const ARRANGE = "set local search_path = '';\nselect trustwarden_state_log.arrange();\n";

function inTables(statements: readonly string[]): string {
  return `set local search_path = trustwarden_state;\n${statements.map((text) => `${text};\n`).join("")}`;
}
