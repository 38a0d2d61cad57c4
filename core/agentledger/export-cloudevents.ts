/**
 * Events as CloudEvents, in the JSON format.
 *
 * @see CloudEvents 1.0.2, JSON event format
 */
import type { ExportSource } from "./export.ts";
import type { JoinedEvent } from "./join.ts";

/** One event; its `id` changes when an outcome arrives, so a consumer that drops what it knows drops no outcome. */
export function formatCloudEvent(event: JoinedEvent, { origin }: ExportSource): object {
  return {
    specversion: "1.0",
    id: `${event.event_id}/${event.indexes.at(-1) ?? 0}`,
    source: `//${origin}`,
    type: `dev.trustwarden.ledger.${event.kind}.v1`,
    ...(event.agent_identity === null ? {} : { subject: event.agent_identity }),
    time: event.timestamp,
    datacontenttype: "application/json",
    data: event,
  };
}
