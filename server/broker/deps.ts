/** What the broker works with, as ports. `build.ts` puts the adapters in. */
import type { Random } from "@trustwarden/core/id.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import type { SecretCommands, SecretReads } from "../store/broker-ports.ts";
import type { CommandContext, Committed, ControlDraft, StoreReads } from "../store/ports.ts";
import type { OpenFetch } from "./oauth/tokens.ts";
import type { KeyEncryption } from "./ports.ts";

export interface BrokerDeps {
  readonly reads: SecretReads & Pick<StoreReads, "chainOf">;
  readonly commands: SecretCommands;
  readonly keys: KeyEncryption;
  readonly random: Random;
  readonly trustDomain: string;
  /** SPIFFE ID of the server. */
  readonly deployment: () => string;
  /** Brings the event of a command into the ledger. @throws TrustWardenError `ledger_unavailable`. */
  readonly settle: (committed: Committed<unknown>) => Promise<unknown>;
  /** Records an event that changes no state. @throws TrustWardenError `ledger_unavailable`. */
  readonly record: (
    draft: ControlDraft,
    by: { readonly principal: string; readonly peer: string },
  ) => Promise<unknown>;
  /** Where a change comes from that nobody asked for: the server itself. */
  readonly context: () => CommandContext;
  readonly nowMs: () => number;
  readonly monoMs: () => number;
  /** A JWT-SVID of a live agent, recorded. @throws TrustWardenError the codes of a dead instance. */
  readonly issueJwt: (instanceId: string, audience: string) => Promise<string>;
  readonly openFetch: OpenFetch;
  /** A fresh P-256 key in memory. */
  readonly createKey: () => Signer;
  /** Of one of several servers that share the store; absent for a server alone. */
  readonly shared?: {
    /** Takes in the keys that others made, and gives them its own. @throws TrustWardenError `store_unavailable`. */
    readonly followKeys: () => Promise<void>;
    /** Whether this server does what one of them does for all. */
    readonly isTending: () => boolean;
  };
  /** Has one key under the same key-encryption keys. */
  readonly payloads: { keyId(): string | null; rewrap(): Promise<void> };
  /** Ids and codes only. */
  readonly warn: (facts: Readonly<Record<string, string | number>>, message: string) => void;
}
