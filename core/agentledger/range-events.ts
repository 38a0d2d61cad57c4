/** Which events a range of the log holds: every one that begins in it, so that none can be shown to nobody. */
import type { BundleRecords } from "./bundle-answers.ts";
import type { EventIndexes } from "./evidence-bundle.ts";
import { formatEventGroup } from "./join.ts";
import type { LeafRange } from "./merkle.ts";

/**
 * The events that begin in a range, with all their records that are known.
 *
 * A decision or an outcome whose intent lies before the range begins none.
 *
 * @param records - by log index, in order.
 */
export function eventsOfRange(records: BundleRecords, { start, end }: LeafRange): readonly EventIndexes[] {
  const groups = new Map<string, { readonly event_id: string; readonly indexes: number[] }>();
  for (const [index, record] of records) {
    const group = formatEventGroup(record);
    const { kind, value } = record.unverified;
    const known = groups.get(group);
    if (known !== undefined) known.indexes.push(index);
    else if (index >= start && index < end && kind !== "decision" && kind !== "outcome")
      groups.set(group, { event_id: value.event_id, indexes: [index] });
  }
  return [...groups.values()];
}
