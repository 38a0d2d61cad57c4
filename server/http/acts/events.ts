/**
 * Reading the ledger. Operators see all of it; an owner and an agent see what lies in their own subtree, and what does
 * not is, to them, not there.
 */
import type { JoinedEvent } from "@trustwarden/core/agentledger/join.ts";
import type {
  ConsistencyAnswer,
  consistencyQuery,
  EventAnswer,
  EventPage,
  EventView,
  eventQuery,
} from "@trustwarden/core/api/ledger.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { z } from "zod";
import type { Caller } from "../caller.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

/** @throws TrustWardenError `request_malformed` for a time or a cursor that is none. */
export async function searchEvents(
  services: Services,
  visit: Visit<unknown, z.output<typeof eventQuery>>,
): Promise<EventPage> {
  const { since, until, cursor, limit, ...filter } = visit.query;
  const { events, nextCursor } = await services.events.search(
    { ...filter, sinceMs: parseTime(since), untilMs: parseTime(until), within: subtreeOf(visit.caller) },
    { limit, cursor },
  );
  return { events: events.map(formatEvent), next_cursor: nextCursor };
}

/** @throws TrustWardenError `not_found`, also for an event of somebody else. */
export async function showEvent(
  services: Services,
  visit: Visit<unknown, unknown, { readonly event_id: string }>,
): Promise<EventAnswer> {
  const { event, records, checkpoint, isWitnessed } = await services.events.show({
    eventId: visit.params.event_id,
    within: subtreeOf(visit.caller),
  });
  return {
    event: formatEvent(event),
    records: records.map(({ index, entry, inclusionProof }) => ({
      index,
      entry,
      inclusion_proof: [...inclusionProof],
    })),
    checkpoint,
    witnessed: isWitnessed,
  };
}

/** @throws TrustWardenError `not_found` for sizes that the log has not published. */
export async function readConsistency(
  services: Services,
  visit: Visit<unknown, z.output<typeof consistencyQuery>>,
): Promise<ConsistencyAnswer> {
  const { proof, checkpoint } = await services.events.proveConsistency(visit.query);
  return { proof: [...proof], checkpoint };
}

/** Owner or agent whose subtree a caller may see; undefined for operators, who see everything. */
export function subtreeOf({ principal }: Caller): string | undefined {
  switch (principal.kind) {
    case "operator":
      return undefined;
    case "owner":
      return principal.ownerId;
    case "agent":
      return principal.agentId;
    case "verifier":
    case "node":
    case "enrollee":
      throw new Error("they do not read the ledger");
  }
}

/** The view that answers show. */
export function formatEvent(event: JoinedEvent): EventView {
  return { ...event, chain: [...event.chain], reasons: [...event.reasons], indexes: [...event.indexes] };
}

/** Unix milliseconds. @throws TrustWardenError `request_malformed`. */
export function parseTime(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const timeMs = RFC3339.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(timeMs)) throw new TrustWardenError("request_malformed", { reason: "time" });
  return timeMs;
}
