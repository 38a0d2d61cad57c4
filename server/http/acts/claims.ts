/** Agents that register themselves: they ask, an owner answers for them, and they come for what it signed. */
import { digestOfClaimCode } from "@trustwarden/core/agentid/claim-code.ts";
import { verifyTicket } from "@trustwarden/core/agentid/enrolment.ts";
import type {
  AcceptedClaim,
  ClaimAcceptance,
  ClaimAnswer,
  ClaimCollection,
  ClaimRequest,
  ClaimSearch,
  ClaimView,
  CollectedClaim,
} from "@trustwarden/core/api/claims.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { findOwnerSignature, usedAssertionOf } from "../../console/owner-signature.ts";
import type { ClaimState } from "../../store/claim-ports.ts";
import { type Caller, enrolmentOf } from "../caller.ts";
import { contextOf, trustedSecondsOf } from "../command-context.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

/** Lets an agent wait, and gives it its code. @throws TrustWardenError `registration_costly`, `name_malformed`, `scope_malformed`. */
export async function askClaim(services: Services, visit: Visit<ClaimRequest>): Promise<ClaimAnswer> {
  const context = contextOf(services, visit);
  const committed = await services.commands.askClaim({
    change: "ask",
    context,
    ...enrolmentOf(visit.caller, "asking"),
  });
  await services.ledger.settle(committed);
  const { claimId: claim_id, code, expiresAt: expires_at } = committed.value;
  return { claim_id, code, expires_at };
}

/** What an owner gave; the proof was that of the key that asked. */
export async function collectClaim(
  _services: Services,
  { caller }: Visit<ClaimCollection>,
): Promise<CollectedClaim> {
  const { ownerId: owner_id, ticket } = enrolmentOf(caller, "collecting");
  return { owner_id, ticket };
}

/** Which agent waits under a code. @throws TrustWardenError `claim_unknown` also where it waits for another owner. */
export async function searchClaim(
  services: Services,
  { caller, body }: Visit<ClaimSearch>,
): Promise<ClaimView> {
  // The agent shows its code the moment that it has it, to whichever server let it wait.
  if (services.sharing.isShared) await services.sharing.catchUp();
  const claim = services.reads.findWaitingClaim({
    codeSha256: digestOfClaimCode(body.code),
    ownerId: ownerOf(caller),
    now: services.clock.trustedSeconds(),
  });
  if (claim === undefined) throw new TrustWardenError("claim_unknown");
  return viewOf(claim);
}

/**
 * Answers for an agent with a ticket for its key.
 *
 * @throws TrustWardenError `claim_unknown`, `claim_mismatch`, `signature_invalid`, `ticket_invalid`, `ticket_expired`, `passkey_invalid`,
 *   `challenge_used`.
 */
export async function acceptClaim(services: Services, visit: Visit<ClaimAcceptance>): Promise<AcceptedClaim> {
  const { code, ticket: envelope } = visit.body;
  const ownerId = ownerOf(visit.caller);
  const codeSha256 = digestOfClaimCode(code);
  const context = contextOf(services, visit);
  const signature = findOwnerSignature(services, ownerId, envelope);
  const ticket = verifyTicket(envelope, {
    publicKey: signature.key,
    audience: services.trustDomain,
    now: trustedSecondsOf(services, context),
  });
  if (ticket.owner !== ownerId) throw new TrustWardenError("ticket_invalid", { field: "owner" });
  const assertion = usedAssertionOf(signature, ticket.exp);
  const command = { change: "accept", context, codeSha256, ticket, envelope, assertion } as const;
  const committed = await services.commands.acceptClaim(command);
  await services.ledger.settle(committed);
  const { path, name, scope } = ticket;
  return { claim_id: committed.value.claimId, owner_id: ownerId, path, name, scope: [...scope] };
}

function viewOf({ claimId, thumbprint, expiresAt, wish }: ClaimState): ClaimView {
  const { path, name, scope, ttl_seconds } = wish;
  return { claim_id: claimId, path, name, scope, ttl_seconds, thumbprint, expires_at: expiresAt };
}

function ownerOf({ principal }: Caller): string {
  const ownerId = principal.kind === "owner" || principal.kind === "person" ? principal.ownerId : null;
  if (ownerId === null) throw new TrustWardenError("claim_unknown", { reason: "no owner" });
  return ownerId;
}
