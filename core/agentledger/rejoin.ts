/**
 * Whether an event is what its records say: for whoever was told of an event and has the entries at its indexes.
 */
import { formatCanonicalJson } from "../json.ts";
import { formatEventGroup, type JoinedEvent, joinRecord } from "./join.ts";
import { parseRecord } from "./record.ts";

/**
 * Joins the entries again and compares every member.
 *
 * Shows that nothing in the event is made up. A record that the event does not name is not missed: an answer without an
 * outcome that the log has is true of an earlier log.
 *
 * @param entries - by log index; the event's and perhaps others.
 * @throws the codes of `parseRecord`.
 */
export function isSaidByEntries(event: JoinedEvent, entries: ReadonlyMap<number, Uint8Array>): boolean {
  let joined: JoinedEvent | null = null;
  let group: string | null = null;
  for (const index of event.indexes) {
    const entry = entries.get(index);
    if (entry === undefined) return false;
    const record = parseRecord(entry);
    group ??= formatEventGroup(record);
    if (formatEventGroup(record) !== group || record.unverified.value.event_id !== event.event_id)
      return false;
    joined = joinRecord(joined, record, index);
  }
  return joined !== null && spell(joined) === spell(event);
}

function spell(event: JoinedEvent): string {
  return formatCanonicalJson({
    ...event,
    chain: [...event.chain],
    reasons: [...event.reasons],
    indexes: [...event.indexes],
  });
}
