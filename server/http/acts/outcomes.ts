/**
 * What came of an action, signed by the enforcement point that the intent names, or by the agent for its own process.
 */
import type { OutcomeAnswer, OutcomeRequest, OutcomesAnswer } from "@trustwarden/core/api/action.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { parseEnvelope } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type OutcomeRecord, parseOutcomeRecord } from "@trustwarden/core/event.ts";
import type { Principal } from "@trustwarden/core/principal.ts";
import { verifyEnvelopes } from "../../intake/verify-envelopes.ts";
import type { RecordedOutcome, SignedOutcome } from "../../ledger/outcomes.ts";
import type { RecordedDecision } from "../../ledger/recorded-decisions.ts";
import { instanceOf } from "../caller.ts";
import { isStoppedAgent } from "../peer.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

/** An outcome that belongs to a decision, and its caller to both. */
interface ProvenOutcome {
  readonly decision: RecordedDecision;
  readonly status: OutcomeRecord["status"];
  readonly outcome: SignedOutcome;
}

/**
 * Records outcomes; sending the same one again gives the same answer. Several are recorded together: unless each of them
 * would be, none is.
 *
 * @throws TrustWardenError `identity_revoked`, `outcome_refused`, `signature_invalid`, `event_conflict`, `overloaded`, `ledger_unavailable`.
 */
export async function recordOutcomes(
  services: Services,
  { body, caller }: Visit<OutcomeRequest>,
): Promise<OutcomeAnswer | OutcomesAnswer> {
  const { principal } = caller;
  const envelopes = "outcome" in body ? [body.outcome] : body.outcomes;
  const leave = services.intake.admission.enter(instanceOf({ principal }).instanceId, envelopes.length);
  try {
    const proven = await prove(services, envelopes, principal);
    requireMaySay(services, principal, proven);
    if ("outcomes" in body) return await recordTogether(services, proven);
    const [only] = proven;
    if (only === undefined) throw new Error("one outcome came in");
    const { index, acknowledge } = await record(services, only);
    return { index, acknowledgement: acknowledge() };
  } finally {
    leave();
  }
}

async function recordTogether(services: Services, proven: readonly ProvenOutcome[]): Promise<OutcomesAnswer> {
  await requireNoOther(services, proven);
  const recorded = await Promise.allSettled(proven.map((outcome) => record(services, outcome)));
  return { indexes: recorded.map((result) => fulfilledOf(result).index) };
}

async function prove(
  services: Services,
  envelopes: readonly string[],
  principal: Principal,
): Promise<readonly ProvenOutcome[]> {
  const proven: ProvenOutcome[] = [];
  for (const { record, outcome } of await verifyOutcomes(services, envelopes, principal)) {
    const decision = await services.decisions.find(record.decision_index);
    requireBelonging(record, decision);
    requireEnforcementPoint(principal, decision);
    proven.push({ decision, status: record.status, outcome });
  }
  return proven;
}

/**
 * A stopped agent's last word is that what it had begun was broken off: of its own acts alone (`requireEnforcementPoint`),
 * which were decided before, and once of each. Anything else would be a key that is void and still says what happened.
 *
 * @throws TrustWardenError `identity_revoked`.
 */
function requireMaySay(
  services: Services,
  principal: Principal,
  proven: readonly Pick<ProvenOutcome, "status">[],
): void {
  if (principal.kind !== "agent" || proven.every(({ status }) => status === "aborted")) return;
  if (!isStoppedAgent(services, principal, services.clock.trustedSeconds())) return;
  throw new TrustWardenError("identity_revoked", { instance_id: principal.instanceId });
}

/** One end a decision, here and in the ledger. @throws TrustWardenError `event_conflict`. */
async function requireNoOther({ outcomes }: Services, proven: readonly ProvenOutcome[]): Promise<void> {
  const ends = new Map<RecordedDecision, string>();
  for (const { decision, outcome } of proven) {
    await outcomes.requireNoOther(decision, outcome);
    if ((ends.get(decision) ?? outcome.payloadSha256) !== outcome.payloadSha256)
      throw new TrustWardenError("event_conflict", { event_id: decision.eventId });
    ends.set(decision, outcome.payloadSha256);
  }
}

function record({ outcomes }: Services, { decision, outcome }: ProvenOutcome): Promise<RecordedOutcome> {
  return outcomes.record(decision, outcome);
}

function fulfilledOf<T>(result: PromiseSettledResult<T>): T {
  if (result.status === "rejected") throw result.reason;
  return result.value;
}

interface VerifiedOutcome {
  readonly record: OutcomeRecord;
  readonly outcome: SignedOutcome;
}

/** Outcomes that SVIDs of the calling instance signed; not always the socket's, since SVIDs are renewed. */
async function verifyOutcomes(
  { reads, intake }: Services,
  envelopes: readonly string[],
  principal: Principal,
): Promise<readonly VerifiedOutcome[]> {
  const { instanceId } = instanceOf({ principal });
  const submitted = envelopes.map((text) => {
    const envelope = parseEnvelope(text);
    const keyid = envelope.unverifiedKeyid;
    const svid = reads.findSvid(keyid) ?? reads.findStoppedSvid(keyid);
    if (svid?.instanceId !== instanceId) throw refused("not the caller's signature");
    return { envelope, key: { certificate: keyid, spki: svid.spki } };
  });
  const payloads = await verifyEnvelopes(intake.checks, { flow: instanceId, name: "outcome", submitted });
  return envelopes.map((envelope, index) => {
    const { payload, bytes } = payloads[index] ?? missing();
    return {
      record: parseOutcomeRecord(payload),
      outcome: { envelope, payloadSha256: encodeBase64url(sha256(bytes)) },
    };
  });
}

function missing(): never {
  throw new Error("each envelope has a payload");
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
