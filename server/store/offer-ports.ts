/** The part of the state store that lists what was offered and waits, in the manner of `ports.ts`. Times are Unix seconds. */
import type { Role } from "@trustwarden/core/role.ts";

export interface WaitingTransfer {
  readonly agentId: string;
  readonly from: string;
  readonly to: string;
  readonly expiresAt: number;
}

export interface WaitingClaim {
  readonly claimId: string;
  readonly path: string;
  readonly name: string;
  /** For whom it waits; null for whoever is shown the code. */
  readonly ownerId: string | null;
  readonly expiresAt: number;
}

export interface WaitingInvitation {
  readonly roles: readonly Role[];
  /** Who is to come back by it. */
  readonly personId: string | null;
  readonly createdBy: string | null;
  readonly expiresAt: number;
}

interface WaitingQuery {
  readonly now: number;
  readonly limit: number;
}

interface OwnersQuery extends WaitingQuery {
  /** Who gave it or may take it; null for everybody's. Asked of the store, or others' could stand before an owner's own. */
  readonly ownerId: string | null;
}

/** The reads of offers; soonest to end first. */
export interface OfferReads {
  listWaitingTransfers(query: OwnersQuery): readonly WaitingTransfer[];
  listWaitingClaims(query: OwnersQuery): readonly WaitingClaim[];
  listInvitations(query: WaitingQuery): readonly WaitingInvitation[];
}
