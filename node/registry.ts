/**
 * What the node asks of its server, as a port: the daemon's logic is tried without a network, and one adapter speaks
 * the protocol (`server-registry.ts`).
 */
import type { SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import type { DeliveredKey } from "trustwarden/peer.ts";
import type { Attestation } from "./attest/unix-attestor.ts";
import type { NodeEntry } from "./entries.ts";
import type { IssuedToken, TokenRequest } from "./tokens-at-hand.ts";

/** One SVID with the key that goes with it; both are for the workload. */
export interface IssuedSvid {
  readonly spiffeId: SpiffeId;
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  /** Unencrypted PKCS#8. */
  readonly keyPkcs8: Uint8Array;
  /** base64url SHA-256 of the leaf. */
  readonly svidSha256: string;
}

/** An instance's SVIDs as the server issued them now; proven to be for these keys and this trust domain. */
export interface IssuedInstance {
  /** Whose process it is, by the kernel: accounts have their turns with the server. */
  readonly uid: number;
  readonly instanceId: string;
  readonly agentId: string;
  readonly ownerId: string;
  /** `owner:<id>`, then agent ids from the root down. */
  readonly chain: readonly string[];
  readonly scope: readonly string[];
  readonly svid: IssuedSvid;
  readonly classSvid: IssuedSvid | undefined;
  readonly issuedAt: number;
  /** Unix seconds. */
  readonly svidExpiresAt: number;
  /** Unix seconds. */
  readonly instanceExpiresAt: number;
}

/** The server, as far as the node needs it. Every call may throw `server_unreachable` or the server's refusal. */
export interface Registry {
  readonly entries: () => Promise<readonly NodeEntry[]>;
  readonly createInstance: (entry: NodeEntry, attestation: Attestation) => Promise<IssuedInstance>;
  readonly renewInstance: (instance: IssuedInstance) => Promise<IssuedInstance>;
  readonly issueJwt: (instance: IssuedInstance, request: TokenRequest) => Promise<IssuedToken>;
  /** Whether the server issues WIT-SVIDs, as of the last `refresh`. */
  readonly isWitServed: () => boolean;
  /** A WIT-SVID for this key; proven to be for it. */
  readonly issueWit: (
    instance: IssuedInstance,
    request: { readonly identity: "instance" | "class"; readonly key: DeliveredKey },
  ) => Promise<{ readonly svid: string; readonly expiresAt: number }>;
  /** A grant for the text of a child's request, signed with the instance's key. @throws TrustWardenError `request_malformed`. */
  readonly issueGrant: (
    instance: IssuedInstance,
    asked: { readonly path: string; readonly request: string },
  ) => string;
  readonly endInstance: (instanceId: string, reason: string) => Promise<void>;
  /** Reads bundles and what the server says of its authorities again. */
  readonly refresh: () => Promise<void>;
  /** As of the last `refresh`; the own trust domain's first. */
  readonly bundles: () => readonly TrustBundle[];
  /** Whether an SVID must be renewed now, because the authority that signed it is being replaced. */
  readonly mustRenew: (instance: IssuedInstance) => boolean;
}
