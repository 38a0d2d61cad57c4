/**
 * What whoever owns the database applies once, and once more for each later version: tables, the log of groups, roles.
 *
 * The server itself changes no table. It may read all of them, and call one function that applies a group of changes
 * under the number that comes next, for the writer whose epoch is the latest. A change by anybody else raises the number
 * and leaves a gap in the log of groups, from which every copy sees that it has to be made anew.
 *
 * @see docs/decisions/0045; docs/guides/state-storage.md
 */
import { reasonsToStop } from "../migrations/rules.ts";
import { latestVersion, type Migrations } from "../migrations/steps.ts";
import { statementsOfStep, tablesOf } from "./dialect.ts";
import { sharingBetween } from "./sharing-schema.ts";
import { KEPT_GROUPS, WINDOW_SINCE } from "./window-schema.ts";

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

/** The whole schema at the latest version, for a database that has none. */
export function formatStateSchema(migrations: Migrations): string {
  const version = latestVersion(migrations);
  return `${LOG}insert into store (schema_version) values (${version});
${inTables(tablesOf(migrations))}${FUNCTIONS}${sharingBetween(0, version)}${nameTables(version)}${ARRANGE}`;
}

/**
 * What brings a schema of an earlier version up; nothing changes unless it is of that version. Where servers of that version
 * can live with what comes, it stays theirs until none of them is left.
 */
export function formatStateUpgrade(migrations: Migrations, from: number): string {
  const version = latestVersion(migrations);
  const steps = migrations.steps.filter((step) => step.version > from);
  const reasons = from < version - 1 ? ["more than one version"] : steps.flatMap(reasonsToStop);
  const [first = "", settled] =
    reasons.length === 0
      ? [`-- Servers of version ${from} may work on while this runs, and after it.`, ""]
      : [
          `-- Stop all servers first: ${reasons.join("; ")}.`,
          `update trustwarden_state_log.store set schema_version = ${version}, version = version + 1;\n`,
        ];
  return `${first}
set local lock_timeout = '2s';
do $$ begin
  if exists (select 1 from trustwarden_state_log.store s where s.schema_version <> ${from}
      or coalesce((to_jsonb(s) ->> 'tables_version')::integer, ${from}) <> ${from}) then raise exception 'of another version'; end if;
end $$;
${settled}${inTables(steps.flatMap(statementsOfStep))}${sharingBetween(from, version)}${nameTables(version)}${ARRANGE}`;
}

const ARRANGE = "set local search_path = '';\nselect trustwarden_state_log.arrange();\n";

function nameTables(version: number): string {
  if (version < WINDOW_SINCE) return "";
  return `update trustwarden_state_log.store set tables_version = ${version};\n`;
}

function inTables(statements: readonly string[]): string {
  return `set local search_path = trustwarden_state;\n${statements.map((text) => `${text};\n`).join("")}`;
}
