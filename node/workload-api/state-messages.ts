/**
 * A workload's state as messages of the Workload API.
 *
 * Every message is the complete state: what is absent in it is withdrawn. Maps are sorted, so that equal states are
 * equal bytes.
 *
 * @see Workload API §4.3, §5.2, §6.2
 */
import { formatSpiffeId, type TrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { formatJwks, formatWitJwks, type TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { DeliveredSvid, DeliveredWit, WorkloadState } from "../ports.ts";
import type {
  BundlesResponse,
  WitBundlesResponse,
  WitSvidResponse,
  X509SvidMessage,
  X509SvidResponse,
} from "./protocol.ts";

/** Workload API §8. */
const MAX_HINT_BYTES = 1024;

/** @throws TrustWardenError `no_identity` for a state without an SVID. */
export function formatX509Svids(state: WorkloadState): X509SvidResponse {
  requireIdentity(state);
  const [own, ...federated] = bundlesOf(state);
  const bundle = formatX509Bundle(own);
  const hints = new Set<string>();
  return {
    svids: state.svids.map((svid) => formatX509Svid(svid, { bundle, hints })),
    federated_bundles: byDomain(federated, formatX509Bundle),
  };
}

/** @throws TrustWardenError `no_identity`: bundles are for those who have one. */
export function formatX509Bundles(state: WorkloadState): BundlesResponse {
  requireIdentity(state);
  return { bundles: byDomain(bundlesOf(state), formatX509Bundle) };
}

/** @throws TrustWardenError `no_identity`: bundles are for those who have one. */
export function formatJwtBundles(state: WorkloadState): BundlesResponse {
  requireIdentity(state);
  return { bundles: byDomain(bundlesOf(state), (bundle) => Buffer.from(formatJwks(bundle))) };
}

/** @throws TrustWardenError `no_identity`: bundles are for those who have one. */
export function formatWitBundles(state: WorkloadState): WitBundlesResponse {
  requireIdentity(state);
  return { bundles: byDomain(bundlesOf(state), formatWitJwks) };
}

/** The tokens, each with its key. */
export function formatWitSvids(wits: readonly DeliveredWit[]): WitSvidResponse {
  const hints = new Set<string>();
  return {
    svids: wits.map(({ spiffeId, svid, keyJwk, hint }) => ({
      spiffe_id: spiffeId,
      wit_svid: svid,
      wit_svid_key: keyJwk,
      hint: uniqueHint(hint, hints),
    })),
  };
}

/** Of equal hints the first keeps it: entries are in the order of their age. */
export function uniqueHint(hint: string, seen: Set<string>): string {
  if (hint === "" || seen.has(hint) || Buffer.byteLength(hint) > MAX_HINT_BYTES) return "";
  seen.add(hint);
  return hint;
}

function formatX509Svid(
  svid: DeliveredSvid,
  { bundle, hints }: { readonly bundle: Buffer; readonly hints: Set<string> },
): X509SvidMessage {
  return {
    spiffe_id: svid.spiffeId,
    x509_svid: Buffer.concat(svid.chain),
    x509_svid_key: Buffer.from(svid.keyPkcs8),
    bundle,
    hint: uniqueHint(svid.hint, hints),
  };
}

function formatX509Bundle({ x509Authorities }: TrustBundle): Buffer {
  return Buffer.concat(x509Authorities.map(({ der }) => der));
}

function byDomain<Value>(
  bundles: readonly TrustBundle[],
  format: (bundle: TrustBundle) => Value,
): Readonly<Record<string, Value>> {
  const entries = bundles.map((bundle): [string, Value] => [domainId(bundle.trustDomain), format(bundle)]);
  return Object.fromEntries(entries.toSorted(([left], [right]) => (left < right ? -1 : 1)));
}

/** "The SPIFFE ID of the trust domain", which is written without a slash. */
function domainId(trustDomain: TrustDomain): string {
  return formatSpiffeId(trustDomain, []);
}

function bundlesOf({ bundles }: WorkloadState): readonly [TrustBundle, ...TrustBundle[]] {
  const [own, ...federated] = bundles;
  if (own === undefined) throw new Error("a state has its own trust domain's bundle");
  return [own, ...federated];
}

function requireIdentity({ svids }: WorkloadState): void {
  if (svids.length === 0) throw new TrustWardenError("no_identity");
}
