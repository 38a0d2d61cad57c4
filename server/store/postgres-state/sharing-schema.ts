/**
 * What servers that share a store have in the database beside its tables: their beats, what waits for the sequencer, what was
 * used once, and notes. Nobody changes it but by its functions.
 *
 * @see docs/decisions/0053, 0064
 */

import { WINDOW, WINDOW_SINCE } from "./window-schema.ts";

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

/** What came after one version, up to another. */
export function sharingBetween(from: number, to: number): string {
  return [
    { since: REPLICAS_SINCE, text: REPLICAS },
    { since: USES_SINCE, text: USES },
    { since: NOTES_SINCE, text: NOTES },
    { since: WINDOW_SINCE, text: WINDOW },
  ]
    .filter(({ since }) => from < since && since <= to)
    .map(({ text }) => text)
    .join("");
}
