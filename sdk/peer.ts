/**
 * The second door of this package: what TrustWarden's own daemons (`node/`) share with the SDK. Names here may change
 * with any release; applications use `index.ts`.
 */

export type { EvidenceSource, Exchange } from "./attest.ts";
export { askNow } from "./authority-watch.ts";
export { createCertificateVerifier } from "./certificate-verifier.ts";
export { type Credential, createCredential } from "./credential.ts";
export { type DeliveredEvents, DeliveredIdentity } from "./delivered-identity.ts";
export { enrol, readTicket, renewCredential } from "./enrol.ts";
export { parseOrigin, readPinnedBundle, readPinnedTrustDomain, type ServerAddress } from "./first-contact.ts";
export { FreshServers } from "./fresh-servers.ts";
export type { GatewayCall } from "./gateway-call.ts";
export type { GatewayTunnel } from "./gateway-tunnel.ts";
export { type ChildOptions, issueGrantFor, parseRequest } from "./grant.ts";
export {
  createDeliveredKey,
  createInstanceKey,
  type DeliveredKey,
  openDeliveredKey,
} from "./instance-key.ts";
export { verifyIssuedSvid } from "./issued-svid.ts";
export { createLease, LEASE_PATH, type Lease, type LeaseFollower } from "./lease.ts";
export { isRelayId, requireRelays } from "./lease-places.ts";
export { renewalAgeMs, renewalDelayMs } from "./renewal-time.ts";
export { inTurn } from "./renewal-turns.ts";
export { jitter, nowSeconds, type Runtime, systemRuntime } from "./runtime.ts";
export { type RawAnswer, refusalOf } from "./server-answer.ts";
export type { ServerCall } from "./server-call.ts";
export { REVOCATION_LISTS_PATH } from "./stop-watch.ts";
export { SvidHolder } from "./svid-holder.ts";
export {
  type CurrentSvid,
  createPeerCheckedAgent,
  type PeerCheck,
  peerChainOf,
  SERVER_TLS_OPTIONS,
} from "./tls.ts";
export { connectServer, encodeBody, TrustServer } from "./trust-server.ts";
export { proveForSvid, verifyIssuedWit } from "./wit.ts";
