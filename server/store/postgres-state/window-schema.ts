/**
 * What the database has, since version 9, for servers of two neighbouring versions on one store: the tables of the next
 * version are there while servers of the one before go on, and when none of these lives the store is the next version's alone.
 *
 * `schema_version` is the least that a server has to know, `tables_version` what the tables have. Raising the first fences
 * whoever does not know it, by the epoch, also one that stood still meanwhile.
 *
 * @see docs/decisions/0101
 */

/** Groups that stay in the log: a copy that is further behind is made anew. */
export const KEPT_GROUPS = 10_000;
/** Since version 9: two versions at a time. Version 8 calls the functions without a version. */
export const WINDOW_SINCE = 9;

export const WINDOW = `
alter table trustwarden_state_log.store add column tables_version integer;
-- The version that a server knows; null is version 8.
alter table trustwarden_state_log.replicas add column knows integer;

-- Locks the store's row whatever it says, and reads it after: so it is not settled while somebody comes in who does not know.
create function trustwarden_state_log.require_known(p_version integer) returns void
  language plpgsql security definer set search_path = '' as $$
begin
  perform 1 from trustwarden_state_log.store for update;
  if exists (select 1 from trustwarden_state_log.store where schema_version > p_version) then
    raise exception 'the tables are of a later version' using errcode = 'TW004';
  end if;
end
$$;

create function trustwarden_state_log.join_store(p_version integer)
  returns table (epoch bigint, version bigint, store_id uuid, source text, schema_version integer)
  language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
begin
  perform trustwarden_state_log.require_known(p_version);
  return query update trustwarden_state_log.store as s
    set epoch = s.epoch + (s.holder is distinct from 'replicas')::int, holder = 'replicas', goes_on = false
    where s.holder is null or s.holder = 'replicas' or not s.goes_on
    returning s.epoch, s.version, s.store_id, s.source, s.schema_version;
end
$$;
create or replace function trustwarden_state_log.join_store()
  returns table (epoch bigint, version bigint, store_id uuid, source text)
  language sql security definer set search_path = '' as
  $$ select j.epoch, j.version, j.store_id, j.source from trustwarden_state_log.join_store(8) j $$;

create function trustwarden_state_log.take_over(p_holder text, p_goes_on boolean, p_version integer)
  returns table (epoch bigint, version bigint, store_id uuid, source text, schema_version integer)
  language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
begin
  perform trustwarden_state_log.require_known(p_version);
  return query update trustwarden_state_log.store as s
    set epoch = s.epoch + 1, holder = p_holder, goes_on = p_goes_on
    where s.holder is null or s.holder = p_holder or not s.goes_on
    returning s.epoch, s.version, s.store_id, s.source, s.schema_version;
end
$$;
create or replace function trustwarden_state_log.take_over(p_holder text, p_goes_on boolean)
  returns table (epoch bigint, version bigint, store_id uuid, source text)
  language sql security definer set search_path = '' as $$
  select t.epoch, t.version, t.store_id, t.source from trustwarden_state_log.take_over(p_holder, p_goes_on, 8) t
$$;

-- As before, and who does not know the store's version has no lease from it any more.
create function trustwarden_state_log.beat(p_name text, p_acked bigint, p_leases integer, p_version integer) returns void
  language plpgsql security definer set search_path = '' as $$
begin
  if exists (select 1 from trustwarden_state_log.store where schema_version > p_version) then
    raise exception 'the tables are of a later version' using errcode = 'TW004';
  end if;
  if exists (select 1 from trustwarden_state_log.replicas where name = p_name and acked >= p_acked) then
    -- What a crash of the database forgets of these is less than what a silent server is waited for.
    set local synchronous_commit = off;
  else
    perform pg_notify('trustwarden_replicas', '');
    delete from trustwarden_state_log.replicas where seen_at < now() - interval '1 day';
  end if;
  insert into trustwarden_state_log.replicas as r (name, acked, leases, knows) values (p_name, p_acked, p_leases, p_version)
  on conflict (name) do update set beats = r.beats + 1, acked = greatest(r.acked, excluded.acked),
    leases = excluded.leases, seen_at = now(), knows = excluded.knows;
end
$$;
create or replace function trustwarden_state_log.beat(p_name text, p_acked bigint, p_leases integer) returns void
  language sql security definer set search_path = '' as
  $$ select trustwarden_state_log.beat(p_name, p_acked, p_leases, 8) $$;

-- From now on the store is for servers of this version: once none of the one before was heard of for so long. Whoever is of
-- that one all the same finds another epoch.
create function trustwarden_state_log.settle(p_version integer, p_quiet_seconds integer) returns boolean
  language plpgsql security definer set search_path = '' as $$
begin
  if exists (select 1 from trustwarden_state_log.replicas
      where coalesce(knows, 8) < p_version and seen_at > now() - make_interval(secs => p_quiet_seconds)) then
    return false;
  end if;
  update trustwarden_state_log.store set schema_version = p_version, epoch = epoch + 1
    where schema_version = p_version - 1 and tables_version >= p_version;
  if found then
    perform pg_notify('trustwarden_state', 'settled');
  end if;
  return found;
end
$$;

-- As before, but only what the writer names of a row is set: a column of the next version is not the older server's to empty.
create or replace function trustwarden_state_log.apply_group(
  p_epoch bigint, p_version bigint, p_id text, p_changes jsonb, p_raw bytea
) returns void
  language plpgsql security definer set search_path = trustwarden_state, pg_temp as $$
declare
  part jsonb;
  shape record;
  named text;
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
        -- A writer names the same columns of all rows of a table.
        select string_agg(format('%1$I = d.%1$I', key), ', ') into named from jsonb_object_keys(part -> 'r' -> 0) key;
        execute format('update %1$I t set %3$s from jsonb_populate_recordset(null::%1$I, $1) d where %2$s',
          shape.name, shape.same_key, named) using part -> 'r';
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

-- As before, but a table that has all of it is not touched: servers work on while this runs.
create or replace function trustwarden_state_log.arrange() returns void
  language plpgsql set search_path = trustwarden_state, trustwarden_state_log as $$
declare
  one record;
begin
  for one in select c.oid, c.relname as name,
      exists (select 1 from pg_attribute a where a.attrelid = c.oid and a.attname = 'owner_id') as is_owned,
      exists (select 1 from pg_trigger t where t.tgrelid = c.oid and t.tgname = 'note_change') as is_made,
      exists (select 1 from pg_policy p where p.polrelid = c.oid and p.polname = 'reader') as is_readable
    from pg_class c where c.relnamespace = 'trustwarden_state'::regnamespace and c.relkind = 'r'
  loop
    if not one.is_made then
      execute format('create trigger note_change after insert or update or delete or truncate on %I
        for each statement execute function trustwarden_state_log.note_change()', one.name);
      execute format('grant select on %I to trustwarden_state_server', one.name);
      execute format('alter table %I enable row level security', one.name);
      execute format('create policy server on %I for select to trustwarden_state_server using (true)', one.name);
    end if;
    if one.is_owned and not one.is_readable then
      execute format('grant select on %I to trustwarden_state_reader', one.name);
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
  delete from shapes where to_regclass(format('trustwarden_state.%I', name)) is null;
end
$$;

revoke all on function trustwarden_state_log.require_known(integer), trustwarden_state_log.join_store(integer),
  trustwarden_state_log.take_over(text, boolean, integer), trustwarden_state_log.settle(integer, integer),
  trustwarden_state_log.beat(text, bigint, integer, integer) from public;
grant execute on function trustwarden_state_log.join_store(integer), trustwarden_state_log.settle(integer, integer),
  trustwarden_state_log.take_over(text, boolean, integer), trustwarden_state_log.beat(text, bigint, integer, integer)
  to trustwarden_state_server;
`;
