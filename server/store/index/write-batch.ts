/**
 * Entries into the index: the records of a batch are joined in memory, and each event that they touch is written once,
 * however many of its records came together.
 */
import { fieldTermsOf, linkTermsOf } from "@trustwarden/core/agentledger/event-terms.ts";
import { type JoinedEvent, joinRecord } from "@trustwarden/core/agentledger/join.ts";
import { intentDigestOf, type UnverifiedRecord } from "@trustwarden/core/agentledger/record.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import type { StoredEvent } from "./event-rows.ts";
import type { IndexTables } from "./search.ts";

/** An event that a batch touches. */
interface OpenEvent {
  readonly id: number;
  readonly digest: Uint8Array;
  /** As the file has it; undefined for a new one. */
  readonly stored: StoredEvent | undefined;
  /** Terms that its new records add. */
  readonly links: Set<string>;
  event: JoinedEvent | null;
  outcomeAt: number | null;
}

/**
 * Writes the records that come next, in the transaction that is open.
 *
 * @param options.from - log index of the first.
 * @param options.records - null for an entry that is none.
 */
export function writeBatch(
  tables: IndexTables,
  { from, records }: { readonly from: number; readonly records: readonly (UnverifiedRecord | null)[] },
): void {
  const open = new Map<string, OpenEvent>();
  let next = tables.rows.count();
  for (const [offset, record] of records.entries()) {
    if (record === null) continue;
    const event = openEvent(tables, open, { record, next });
    if (event.id === next) next += 1;
    const index = from + offset;
    event.event = joinRecord(event.event, record, index);
    if (record.unverified.kind === "outcome") event.outcomeAt ??= index;
    for (const term of linkTermsOf(record)) event.links.add(term);
  }
  for (const event of open.values()) writeEvent(tables, event);
  tables.changed.note(
    Array.from(open.values(), ({ id }) => id),
    from + records.length,
  );
  tables.postings.flush();
  tables.zones.flush();
}

/** A record that names another event id than its intent is an event of its own here; an audit refuses it. */
function openEvent(
  tables: IndexTables,
  open: Map<string, OpenEvent>,
  { record, next }: { readonly record: UnverifiedRecord; readonly next: number },
): OpenEvent {
  const name = intentDigestOf(record) ?? record.entrySha256;
  const eventId = record.unverified.value.event_id;
  const key = `${eventId} ${name}`;
  const known = open.get(key);
  if (known !== undefined) return known;
  const digest = parseBase64url(name);
  const stored = tables.rows.find({ eventId, digest });
  const event: OpenEvent = {
    id: stored?.id ?? next,
    digest,
    stored,
    links: new Set(),
    event: stored?.event ?? null,
    outcomeAt: stored?.outcomeAt ?? null,
  };
  open.set(key, event);
  return event;
}

function writeEvent({ rows, texts, postings, zones }: IndexTables, touched: OpenEvent): void {
  const { id, digest, stored, links, event, outcomeAt } = touched;
  if (event === null) throw new Error("an event that is open has a record");
  rows.put({ id, event, outcomeAt }, digest);
  zones.note(id, Date.parse(event.timestamp));
  const old = new Set(stored === undefined ? [] : fieldTermsOf(stored.event));
  for (const term of [...fieldTermsOf(event), ...links]) {
    if (!old.delete(term)) postings.add(texts.intern(term), id);
  }
  // What is left was true before these records.
  for (const term of old) postings.remove(texts.intern(term), id);
}
