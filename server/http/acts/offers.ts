/** Offers that wait: an owner sees its own, given or to be taken; whoever sees everything sees all, and who was invited. */
import type { OfferList, OfferView } from "@trustwarden/core/api/offers.ts";
import { ownerLimitOf } from "../relation.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";

/** Of each kind; more are read in the ledger. */
const MAX_LISTED = 500;

export async function listOffers({ reads, clock }: Services, { caller }: Visit): Promise<OfferList> {
  const ownerId = ownerLimitOf(caller.principal);
  const query = { now: clock.trustedSeconds(), limit: MAX_LISTED };
  const owned = { ...query, ownerId: ownerId ?? null };
  const transfers = reads.listWaitingTransfers(owned);
  const claims = reads.listWaitingClaims(owned);
  const invitations = ownerId === undefined ? reads.listInvitations(query) : [];
  return {
    offers: [
      ...transfers.map(
        ({ agentId: agent_id, from, to, expiresAt }): OfferView => ({
          ...{ kind: "transfer", agent_id, from, to },
          expires_at: expiresAt,
        }),
      ),
      ...claims.map(
        ({ claimId, path, name, ownerId: owner_id, expiresAt }): OfferView => ({
          ...{ kind: "claim", claim_id: claimId, path, name, owner_id },
          expires_at: expiresAt,
        }),
      ),
      ...invitations.map(
        ({ roles, personId, createdBy, expiresAt }): OfferView => ({
          ...{ kind: "invitation", roles: [...roles], person_id: personId, created_by: createdBy },
          expires_at: expiresAt,
        }),
      ),
    ],
  };
}
