-- What a ledger keeps in PostgreSQL 14 or newer. Applied once by whoever owns the database; the server itself may not
-- change any of it and refuses to start beside another version.
--
--   psql -v ON_ERROR_STOP=1 --single-transaction -d <database> -f server/store/postgres-log.sql

create schema trustwarden_ledger;

create table trustwarden_ledger.version (
  only_row boolean primary key default true check (only_row),
  version integer not null
);
insert into trustwarden_ledger.version (version) values (1);

-- One row a log. Every write of its writer holds `epoch` for its own; taking the log over raises it.
create table trustwarden_ledger.log (
  id text primary key,
  epoch bigint not null default 0,
  segment bigint not null default 0,
  size bigint check (size >= 0),
  root bytea check (octet_length(root) = 32),
  checkpoint text,
  check ((size is null) = (root is null) and (size is null) = (checkpoint is null))
) with (fillfactor = 50);

-- The write-ahead log: what was acknowledged and may not be in the object store yet.
create table trustwarden_ledger.wal (
  log text not null,
  segment bigint not null,
  position bigint not null,
  record bytea not null,
  primary key (log, segment, position)
);
alter table trustwarden_ledger.wal alter column record set storage external;

-- A log only grows, and one size has one root, whoever writes.
create function trustwarden_ledger.only_forward() returns trigger language plpgsql set search_path = '' as $$
begin
  if new.id <> old.id or new.epoch < old.epoch or new.segment < old.segment
    or (old.size is not null and (new.size is null or new.size < old.size))
    or (new.size = old.size and new.root <> old.root)
  then
    raise exception 'a log only goes forward' using errcode = 'check_violation';
  end if;
  return new;
end
$$;
create trigger only_forward before update on trustwarden_ledger.log
  for each row execute function trustwarden_ledger.only_forward();

-- All that the server may do. Give its login this role and nothing else.
create role trustwarden_ledger_writer nologin;
grant usage on schema trustwarden_ledger to trustwarden_ledger_writer;
grant select on trustwarden_ledger.version to trustwarden_ledger_writer;
grant select, insert, update on trustwarden_ledger.log to trustwarden_ledger_writer;
grant select, insert, delete on trustwarden_ledger.wal to trustwarden_ledger_writer;
