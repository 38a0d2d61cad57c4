/**
 * What an agent brings that registers itself: a wish, a key and the proof that it holds it; and the same key again when it
 * collects what an owner gave. No code is looked at here: an agent that has another's code has nothing.
 */
import { digestOfEnrolment, digestOfEvidence } from "@trustwarden/core/agentid/enrolment.ts";
import { verifyPossession } from "@trustwarden/core/agentid/possession.ts";
import { workBitsOf } from "@trustwarden/core/agentid/registration-work.ts";
import type { ClaimCollection, ClaimRequest } from "@trustwarden/core/api/claims.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { EnrolleeCaller } from "./caller.ts";
import type { Services } from "./services.ts";
import { spendNonce } from "./used-once.ts";

type ClaimServices = Pick<Services, "nonces" | "sharing"> & {
  readonly reads: Pick<Services["reads"], "findClaim">;
};

/**
 * An agent that asks to be claimed; its nonce is spent.
 *
 * @param now - Unix seconds.
 * @throws TrustWardenError the `possession_` codes, `nonce_invalid`, `public_key_refused`.
 */
export async function verifyAsking(
  services: ClaimServices,
  { wish, spki, possession, work }: ClaimRequest,
  now: number,
): Promise<EnrolleeCaller> {
  const enrolmentSha256 = digestOfEvidence({ ...wish });
  const proof = verifyPossession({ envelope: possession, spki: parseBase64url(spki), enrolmentSha256 });
  await spendNonce(services, proof.nonce, now);
  const { thumbprint } = proof;
  const workBits = work === "" ? 0 : workBitsOf(possession, work);
  return {
    principal: { kind: "enrollee", via: "claim", enrolmentId: enrolmentSha256, thumbprint },
    intent: null,
    enrolment: { asking: { thumbprint, wish, workBits } },
  };
}

/**
 * An agent that comes for its ticket; its nonce is spent.
 *
 * @param now - Unix seconds.
 * @throws TrustWardenError as `verifyAsking`; `claim_unknown` also for the key of another agent, `claim_waiting`.
 */
export async function verifyCollecting(
  services: ClaimServices,
  { claim_id: claimId, spki, possession }: ClaimCollection,
  now: number,
): Promise<EnrolleeCaller> {
  const enrolmentSha256 = digestOfEnrolment(claimId);
  const proof = verifyPossession({ envelope: possession, spki: parseBase64url(spki), enrolmentSha256 });
  await spendNonce(services, proof.nonce, now);
  // Another server may have let it wait, or have its owner's answer; here, since whoever asks anew needs another nonce.
  if (services.sharing.isShared) await services.sharing.catchUp();
  const claim = services.reads.findClaim({ claimId, now });
  if (claim?.thumbprint !== proof.thumbprint) throw new TrustWardenError("claim_unknown", { claimId });
  if (claim.answer === null) throw new TrustWardenError("claim_waiting", { claimId });
  return {
    principal: { kind: "enrollee", via: "claim", enrolmentId: claimId, thumbprint: proof.thumbprint },
    intent: null,
    enrolment: { collecting: claim.answer },
  };
}
