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
import type { ProvenRecord, ProvenRecords } from "../../ledger/queries.ts";
import type { Caller } from "../caller.ts";
import { ownerLimitOf } from "../relation.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

/** Events of one answer with proofs: about 3 KB each. */
const MAX_PROVEN = 100;
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

/** @throws TrustWardenError `request_malformed` for a time or a cursor that is none; the codes of `LedgerQueries`. */
export async function searchEvents(
  services: Services,
  visit: Visit<unknown, z.output<typeof eventQuery>>,
): Promise<EventPage> {
  const { since, until, cursor, limit, order, proofs, ...filter } = visit.query;
  const isProven = proofs === "true";
  if (isProven && limit > MAX_PROVEN) throw new TrustWardenError("request_malformed", { field: "limit" });
  const { events, nextCursor, previousCursor } = await services.events.search(
    { ...filter, sinceMs: parseTime(since), untilMs: parseTime(until), within: subtreeOf(visit.caller) },
    { limit, cursor, order },
  );
  const page = { events: events.map(formatEvent), next_cursor: nextCursor, previous_cursor: previousCursor };
  if (!isProven || events.length === 0) return page;
  return { ...page, proof: formatProven(await services.events.prove(events)) };
}

/** @throws TrustWardenError `not_found`, also for an event of somebody else. */
export async function showEvent(
  services: Services,
  visit: Visit<unknown, unknown, { readonly event_id: string }>,
): Promise<EventAnswer> {
  const { event, ...proven } = await services.events.show({
    eventId: visit.params.event_id,
    within: subtreeOf(visit.caller),
  });
  return { event: formatEvent(event), ...formatProven(proven) };
}

function formatProven({ records, heads }: ProvenRecords): NonNullable<EventPage["proof"]> {
  return {
    records: records.map(formatRecord),
    checkpoint: (heads.at(-1) ?? heads[0]).checkpoint,
    witnessed: heads.every(({ isWitnessed }) => isWitnessed),
    shards: heads.map(({ isWitnessed, ...head }) => ({ ...head, witnessed: isWitnessed })),
  };
}

function formatRecord({ index, entry, inclusionProof }: ProvenRecord): EventAnswer["records"][number] {
  return { index, entry, inclusion_proof: [...inclusionProof] };
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
    case "person":
      return ownerLimitOf(principal);
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
