/**
 * A process's X.509 identity from the Workload API, always the latest: what to present to peers, and whom to believe.
 *
 * @see SPIFFE_Workload_API.md §5, §8
 */
import type { SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { nowSeconds, systemRuntime } from "../runtime.ts";
import type { WorkloadX509State, WorkloadX509Svid } from "./answers.ts";
import { Followed, type SourceEvents } from "./followed.ts";
import { createWorkloadApiClient, type WorkloadApiOptions } from "./workload-api-client.ts";

export interface X509SourceOptions extends WorkloadApiOptions, SourceEvents {
  /** Which identity to present, where there are several; the first unless given. */
  readonly hint?: string;
}

/** Changes under the caller's hands: ask it for each connection, and keep nothing of what it says. */
export interface X509Source {
  /**
   * All identities and bundles.
   *
   * @throws TrustWardenError `no_identity` once withdrawn, `identity_closed`; `request_malformed` or `server_unreachable`
   *   once the endpoint takes the call no more.
   */
  current(): WorkloadX509State;
  /**
   * The identity to present.
   *
   * @throws TrustWardenError as `current`; `svid_expired` when the endpoint was away for too long; `no_identity` when none
   *   has the hint.
   */
  svid(): WorkloadX509Svid;
  /**
   * Proves a peer by the bundle of its own trust domain.
   *
   * @param chain - DER, leaf first.
   * @throws TrustWardenError as `current` and `verifyX509Svid`.
   */
  verifyPeer(chain: readonly Uint8Array[]): SpiffeId;
  close(): void;
}

/**
 * Resolves when there is an identity.
 *
 * @throws TrustWardenError `endpoint_malformed`; within `timeoutMs` also `no_identity`, `server_unreachable`,
 *   `workload_answer_refused`, and at once `request_malformed` for an endpoint that does not take the call.
 */
export async function createX509Source(options: X509SourceOptions = {}): Promise<X509Source> {
  const { hint, runtime = systemRuntime } = options;
  const client = createWorkloadApiClient(options);
  const followed = await Followed.open<WorkloadX509State>(
    client,
    (watcher) => client.watchX509(watcher),
    options,
  );
  return {
    current: () => followed.current(),
    svid: () => {
      const { svids } = followed.current();
      const svid = hint === undefined ? svids[0] : svids.find((one) => one.hint === hint);
      if (svid === undefined) throw new TrustWardenError("no_identity", { reason: "hint" });
      const { expiresAt } = svid;
      if (nowSeconds(runtime) >= expiresAt) throw new TrustWardenError("svid_expired", { expiresAt });
      return svid;
    },
    verifyPeer: (chain) => verifyX509Svid(chain, followed.current().bundles, nowSeconds(runtime)).id,
    close: () => followed.close(),
  };
}
