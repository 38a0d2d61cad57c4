/** An evidence bundle for whoever may read what it shows. */
import type { EvidenceQuery } from "@trustwarden/core/api/ledger.ts";
import { parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type EvidenceRequest, makeEvidenceBundle } from "../../evidence/make-bundle.ts";
import type { RawAnswer, Visit } from "../route.ts";
import type { Services } from "../services.ts";
import { parseTime, subtreeOf } from "./events.ts";

/**
 * @throws TrustWardenError `request_malformed` unless one thing is asked for, `denied` for a time range asked by an
 *   owner: everybody's events are in it, and for payloads; the codes of `makeEvidenceBundle`.
 */
export async function makeEvidence(
  services: Services,
  visit: Visit<unknown, EvidenceQuery>,
): Promise<RawAnswer> {
  const request = requestOf(visit);
  const content = await makeEvidenceBundle(services, request);
  return { isRaw: true, contentType: "application/zip", cacheControl: "no-store", content };
}

function requestOf({ query, caller }: Visit<unknown, EvidenceQuery>): EvidenceRequest {
  const since = canonicalTime(query.since);
  const until = canonicalTime(query.until);
  const within = subtreeOf(caller);
  const hasPayloads = query.payloads === "true";
  if (hasPayloads && within !== undefined) throw new TrustWardenError("denied", { reason: "payloads" });
  const earlier = query.earlier === undefined ? null : parseUtf8(parseBase64url(query.earlier));
  const times = { since, until, within, earlier, hasPayloads };
  const chosen = (["event", "agent", "job"] as const).filter((kind) => query[kind] !== undefined);
  const [kind] = chosen;
  if (chosen.length > 1)
    throw new TrustWardenError("request_malformed", { reason: "one of event, agent and job" });
  if (kind !== undefined) return { kind, value: query[kind] ?? null, ...times };
  if (since === null && until === null)
    throw new TrustWardenError("request_malformed", { reason: "event, agent, job, or a time" });
  // Everything of a time is an export of everybody's; nobody in front of a browser makes one alone (`confirmed-rows.ts`, K9).
  if (within !== undefined) throw new TrustWardenError("denied", { reason: "a time range is everybody's" });
  return { kind: "range", value: null, ...times };
}

function canonicalTime(text: string | undefined): string | null {
  const timeMs = parseTime(text);
  return timeMs === undefined ? null : new Date(timeMs).toISOString();
}
