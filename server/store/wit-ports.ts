/** WIT-SVIDs as commands of the state store. */
import type { CommandContext, Committed, NamedIdentity } from "./ports.ts";
import type { ProvenKey } from "./registration-ports.ts";

/** A key for a token, proven for one live SVID of the instance. */
export interface WitKeyCommand {
  readonly context: CommandContext;
  /** base64url SHA-256 of the SVID that the proof of possession names. */
  readonly svidSha256: string;
  readonly key: ProvenKey;
  /** Where the token status lists are read, without the number of the list. */
  readonly statusLists: string;
}

export interface WitCommand extends WitKeyCommand {
  readonly instanceId: string;
  readonly identity: NamedIdentity;
}

export interface NodeWitCommand extends WitCommand {
  readonly nodeInstanceId: string;
  readonly nodeSvidSha256: string;
}

export interface IssuedWit {
  readonly svid: string;
  /** Unix seconds. */
  readonly expiresAt: number;
  readonly spiffeId: string;
}

export interface WitCommands {
  /** @throws TrustWardenError the codes of liveness, `wit_disabled`, `key_reused`, `public_key_refused`, `quota_exceeded`. */
  issueWit(command: WitCommand): Promise<Committed<IssuedWit>>;
  /** @throws TrustWardenError also `not_found` for another's instance, `entry_removed`, `entry_expired`. */
  issueWitByNode(command: NodeWitCommand): Promise<Committed<IssuedWit>>;
}
