/**
 * What came of an action, signed by the enforcement point that the intent names, or by the agent for its own process.
 */
import type { OutcomeAnswer } from "@trustwarden/core/api/action.ts";
import { type PublicKey, parseP256PublicKey } from "@trustwarden/core/crypto.ts";
import { parseEnvelope, verifyEnvelope } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type OutcomeRecord, parseOutcomeRecord } from "@trustwarden/core/event.ts";
import type { Principal } from "@trustwarden/core/principal.ts";
import type { RecordedDecision } from "../../ledger/recorded-decisions.ts";
import { instanceOf } from "../caller.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

/** Keys by the bytes that the store's reads hand out, which stay the same object until something is committed. */
const keys = new WeakMap<Uint8Array, PublicKey>();

/**
 * Records an outcome; sending the same one again gives the same answer.
 *
 * @throws TrustWardenError `outcome_refused`, `signature_invalid`, `event_conflict`, `ledger_unavailable`.
 */
export async function recordOutcome(
  services: Services,
  visit: Visit<{ readonly outcome: string }>,
): Promise<OutcomeAnswer> {
  const envelope = visit.body.outcome;
  const outcome = verifyOutcome(services, envelope, visit.caller.principal);
  const decision = await services.decisions.find(outcome.decision_index);
  requireBelonging(outcome, decision);
  requireEnforcementPoint(visit.caller.principal, decision);
  const { index, acknowledgement } = await services.outcomes.record(decision, envelope);
  return { index, acknowledgement };
}

/** An outcome that an SVID of the calling instance signed; not always the socket's, since SVIDs are renewed. */
function verifyOutcome({ reads }: Services, envelope: string, principal: Principal): OutcomeRecord {
  const parsed = parseEnvelope(envelope);
  const svid = reads.findSvid(parsed.unverifiedKeyid);
  if (svid?.instanceId !== instanceOf({ principal }).instanceId) throw refused("not the caller's signature");
  return parseOutcomeRecord(verifyEnvelope(parsed, "outcome", importOnce(svid.spki)));
}

/** Importing a key costs as much as checking a signature with it. */
function importOnce(spki: Uint8Array): PublicKey {
  const known = keys.get(spki);
  if (known !== undefined) return known;
  const key = parseP256PublicKey(spki);
  keys.set(spki, key);
  return key;
}

function requireBelonging(outcome: OutcomeRecord, decision: RecordedDecision): void {
  if (outcome.event_id !== decision.eventId) throw refused("event");
  if (outcome.intent_sha256 !== decision.intentSha256) throw refused("intent");
  if (!decision.isAllowed) throw refused("the decision was a deny");
}

function requireEnforcementPoint(principal: Principal, decision: RecordedDecision): void {
  if (principal.kind === "verifier") {
    if (decision.audience !== principal.spiffeId) throw refused("not the enforcement point");
    return;
  }
  if (
    principal.kind !== "agent" ||
    decision.enforcement !== "self" ||
    decision.agent !== principal.spiffeId
  ) {
    throw refused("not the enforcement point");
  }
}

function refused(reason: string): TrustWardenError {
  return new TrustWardenError("outcome_refused", { reason });
}
