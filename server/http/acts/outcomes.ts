/**
 * What came of an action, signed by the enforcement point that the intent names, or by the agent for its own process.
 */
import type { OutcomeAnswer, OutcomeRequest, OutcomesAnswer } from "@trustwarden/core/api/action.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { type PublicKey, parseP256PublicKey, sha256 } from "@trustwarden/core/crypto.ts";
import { parseEnvelope, verifyEnvelope } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type OutcomeRecord, parseOutcomeRecord } from "@trustwarden/core/event.ts";
import type { Principal } from "@trustwarden/core/principal.ts";
import type { RecordedOutcome, SignedOutcome } from "../../ledger/outcomes.ts";
import type { RecordedDecision } from "../../ledger/recorded-decisions.ts";
import { instanceOf } from "../caller.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

/** Keys by the bytes that the store's reads hand out, which stay the same object until something is committed. */
const keys = new WeakMap<Uint8Array, PublicKey>();

/** An outcome that belongs to a decision, and its caller to both. */
interface ProvenOutcome {
  readonly decision: RecordedDecision;
  readonly outcome: SignedOutcome;
}

/**
 * Records outcomes; sending the same one again gives the same answer. Several are recorded together: unless each of them
 * would be, none is.
 *
 * @throws TrustWardenError `outcome_refused`, `signature_invalid`, `event_conflict`, `ledger_unavailable`.
 */
export async function recordOutcomes(
  services: Services,
  { body, caller }: Visit<OutcomeRequest>,
): Promise<OutcomeAnswer | OutcomesAnswer> {
  const { principal } = caller;
  if ("outcome" in body) {
    const { index, acknowledge } = await record(services, await prove(services, body.outcome, principal));
    return { index, acknowledgement: acknowledge() };
  }
  const proven: ProvenOutcome[] = [];
  for (const envelope of body.outcomes) proven.push(await prove(services, envelope, principal));
  await requireNoOther(services, proven);
  const recorded = await Promise.allSettled(proven.map((outcome) => record(services, outcome)));
  return { indexes: recorded.map((result) => fulfilledOf(result).index) };
}

async function prove(services: Services, envelope: string, principal: Principal): Promise<ProvenOutcome> {
  const { record, outcome } = verifyOutcome(services, envelope, principal);
  const decision = await services.decisions.find(record.decision_index);
  requireBelonging(record, decision);
  requireEnforcementPoint(principal, decision);
  return { decision, outcome };
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

/** An outcome that an SVID of the calling instance signed; not always the socket's, since SVIDs are renewed. */
function verifyOutcome(
  { reads }: Services,
  envelope: string,
  principal: Principal,
): { readonly record: OutcomeRecord; readonly outcome: SignedOutcome } {
  const parsed = parseEnvelope(envelope);
  const svid = reads.findSvid(parsed.unverifiedKeyid);
  if (svid?.instanceId !== instanceOf({ principal }).instanceId) throw refused("not the caller's signature");
  const record = parseOutcomeRecord(verifyEnvelope(parsed, "outcome", importOnce(svid.spki)));
  return { record, outcome: { envelope, payloadSha256: encodeBase64url(sha256(parsed.payload)) } };
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
