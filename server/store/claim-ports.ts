/** The part of the state store that agents need who register themselves, in the manner of `ports.ts`. */
import type { Ticket } from "@trustwarden/core/agentid/enrolment.ts";
import type { ClaimWish } from "@trustwarden/core/api/claims.ts";
import type { UsedAssertion } from "./people-ports.ts";
import type { CommandContext, Committed } from "./ports.ts";

/** An agent that waits for a human, or whom one has claimed. */
export interface ClaimState {
  readonly claimId: string;
  /** RFC 7638, of the key that asked. */
  readonly thumbprint: string;
  readonly wish: ClaimWish;
  /** Unix seconds; nobody finds it any more then. */
  readonly expiresAt: number;
  /** Who answered, and with what; null as long as nobody has. */
  readonly answer: { readonly ownerId: string; readonly ticket: string } | null;
}

export interface AskClaimCommand {
  readonly change: "ask";
  readonly context: CommandContext;
  readonly thumbprint: string;
  readonly wish: ClaimWish;
  /** Zero bits of the work that came along. */
  readonly workBits: number;
}

/** What the agent gets to show. */
export interface AskedClaim {
  readonly claimId: string;
  /** Kept nowhere. */
  readonly code: string;
  readonly expiresAt: number;
}

export interface AcceptClaimCommand {
  readonly change: "accept";
  readonly context: CommandContext;
  readonly codeSha256: string;
  /** As the owner signed it. */
  readonly ticket: Ticket;
  readonly envelope: string;
  /** Of the owner's passkey; null for a file's key. */
  readonly assertion: UsedAssertion | null;
}

/** One step of a claim. */
export type ClaimCommand = AskClaimCommand | AcceptClaimCommand;

/** The commands of claims. */
export interface ClaimCommands {
  /** @throws TrustWardenError `registration_costly`, and the codes of a name or scope that cannot be. */
  askClaim(command: AskClaimCommand): Promise<Committed<AskedClaim>>;
  /**
   * @throws TrustWardenError `claim_unknown`, `claim_mismatch`, `owner_unknown`, `identity_revoked`, `challenge_used`,
   *   `passkey_invalid`.
   */
  acceptClaim(command: AcceptClaimCommand): Promise<Committed<ClaimState>>;
}

/** Who looks for an agent by its code. */
export interface WaitingClaimQuery {
  readonly codeSha256: string;
  readonly ownerId: string;
  /** Unix seconds. */
  readonly now: number;
}

/** The reads of claims. */
export interface ClaimReads {
  findClaim(query: { readonly claimId: string; readonly now: number }): ClaimState | undefined;
  /** Only one that nobody has answered, and that waits for no other owner. */
  findWaitingClaim(query: WaitingClaimQuery): ClaimState | undefined;
}
