/** Sentences that both forms of a report have. */
import type { Figure, NamedEvent, Report } from "./make-report.ts";

export const TITLE = "What the ledger shows, control by control";

export const HOW_TO_READ =
  "Each figure is counted from the log's own records after every entry, signature and join of the log was verified; no search index was asked. Events are named by their entries in the log: `warden ledger prove` with the event's id gives the proof of each. What the ledger cannot show is said at each control. This is evidence for an assessment, and no certificate of conformity.";

/** What the report is about. */
export function describeLog({ log, range, events }: Report): readonly (readonly [string, string])[] {
  return [
    ["Log", `${log.origin}, ${log.size} entries, root ${log.root}`],
    ["Key of the log", log.vkey],
    ["Verified", `${log.signatures} signatures; ${log.alarms} alarms of the audit, none of them damage`],
    ["Trust", log.trust],
    ["Witnesses", log.witnessed],
    ["Range", `${range.since} to before ${range.until}, ${events} events`],
  ];
}

/** The entries of the events that are named, and how many are not; or what was found instead of events. */
export function describeEvents({ events, count, found }: Figure): string {
  if (found !== undefined) return found.length === 0 ? "none" : found.join("; ");
  if (events.length === 0) return "none";
  const named = events.map(describeEvent).join("; ");
  return count > events.length ? `${named}; and ${count - events.length} more` : named;
}

/** An event by its id, with its entries. */
export function describeEvent({ event_id: id, indexes }: NamedEvent): string {
  return `${id} (${indexes.join(", ")})`;
}
