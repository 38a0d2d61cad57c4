/**
 * JWT-SVIDs from the Workload API, and the latest bundles to check those of others with, without a call for each.
 *
 * @see SPIFFE_Workload_API.md §6; JWT-SVID §4, §5
 */
import type { JwtSvid } from "@trustwarden/core/agentid/jwt-svid.ts";
import { nowSeconds, systemRuntime } from "../runtime.ts";
import { Followed, type SourceEvents } from "./followed.ts";
import { verifyWorkloadToken } from "./verify-token.ts";
import {
  createWorkloadApiClient,
  type WorkloadApiClient,
  type WorkloadApiOptions,
  type WorkloadBundles,
} from "./workload-api-client.ts";

export interface JwtSourceOptions extends WorkloadApiOptions, SourceEvents {}

export interface JwtSource {
  /** Asks the endpoint, each time. @throws TrustWardenError as `WorkloadApiClient.fetchJwtSvids`. */
  readonly fetch: WorkloadApiClient["fetchJwtSvids"];
  /**
   * Proves a token by the bundle of its subject's trust domain, here and now.
   *
   * @param request.audience - who we are; must be among the token's audiences.
   * @throws TrustWardenError `svid_malformed`, `trust_domain_unknown`, `svid_untrusted`, `svid_audience`, `svid_expired`,
   *   `svid_not_yet_valid`, `svid_too_long_lived` beyond an hour; `no_identity` once the bundles are withdrawn, `identity_closed`.
   */
  verify(request: { readonly svid: string; readonly audience: string }): JwtSvid;
  close(): void;
}

/**
 * Resolves when there are bundles.
 *
 * @throws TrustWardenError as `createX509Source`.
 */
export async function createJwtSource(options: JwtSourceOptions = {}): Promise<JwtSource> {
  const { runtime = systemRuntime } = options;
  const client = createWorkloadApiClient(options);
  const followed = await Followed.open<WorkloadBundles>(
    client,
    (watcher) => client.watchJwtBundles(watcher),
    options,
  );
  return {
    fetch: (request) => client.fetchJwtSvids(request),
    verify: ({ svid, audience }) =>
      verifyWorkloadToken(svid, { bundles: followed.current(), audience, now: nowSeconds(runtime) }),
    close: () => followed.close(),
  };
}
