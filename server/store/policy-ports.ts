/** The custom policy in the state store: the latest bundle, and a version that only rises. */
import type { CommandContext, Committed } from "./ports.ts";

/** The custom policy in force. */
export interface StoredPolicy {
  readonly name: string;
  readonly version: number;
  /** Key that signed it. */
  readonly keyId: string;
  /** The bundle as it was loaded, compressed. */
  readonly bundle: Uint8Array;
  /** base64url. */
  readonly sha256: string;
  /** Unix seconds. */
  readonly loadedAt: number;
}

export interface LoadPolicyCommand extends Omit<StoredPolicy, "loadedAt"> {
  readonly context: CommandContext;
  /** base64url, of code and data: what decisions name it by. */
  readonly policySha256: string;
}

export interface PolicyCommands {
  /** Takes an epoch, since decisions of before are void. @throws TrustWardenError `policy_rollback`. */
  loadPolicy(command: LoadPolicyCommand): Promise<Committed<{ readonly version: number }>>;
}

export interface PolicyReads {
  /** The custom policy that was loaded last; undefined when there never was one. */
  findPolicy(): StoredPolicy | undefined;
}
