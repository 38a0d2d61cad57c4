/** The part of the state store that transfers of agents need, in the manner of `ports.ts`. */
import type { Transfer } from "@trustwarden/core/transfer.ts";
import type { UsedAssertion } from "./people-ports.ts";
import type { CommandContext, Committed, FeedTarget } from "./ports.ts";

export interface OfferTransferCommand {
  readonly context: CommandContext;
  /** As the giver signed it. */
  readonly transfer: Transfer;
  readonly envelope: string;
  /** Of the giver's passkey; null for a file's key. */
  readonly assertion: UsedAssertion | null;
}

export interface AcceptTransferCommand {
  readonly context: CommandContext;
  /** As both signed it. */
  readonly transfer: Transfer;
  readonly offer: string;
  readonly acceptance: string;
  /** Of the receiver's passkey; null for a file's key. */
  readonly assertion: UsedAssertion | null;
  /** Of the passkey that offered; null for a file's key. */
  readonly passkeyKeyid: string | null;
}

/** What changed hands. */
export interface Transferred {
  /** Of the subtree that are not stopped. */
  readonly agents: number;
  /** Live ones that died by it. */
  readonly instances: number;
  readonly target: Pick<FeedTarget, "kind" | "id">;
}

/** The commands of transfers. */
export interface TransferCommands {
  /** @throws TrustWardenError `owner_unknown`, `identity_revoked`, `transfer_stale`, `transfer_below`, `transfer_used`,
   *   `challenge_used`, `passkey_invalid`. */
  offerTransfer(command: OfferTransferCommand): Promise<Committed<null>>;
  /** @throws TrustWardenError as `offerTransfer`; `transfer_not_offered`, `quota_exceeded`, `registration_costly`. */
  acceptTransfer(command: AcceptTransferCommand): Promise<Committed<Transferred>>;
}
