/**
 * The second door of this package: what TrustWarden's own daemons (`node/`) share with the SDK. Names here may change
 * with any release; applications use `index.ts`.
 */

export type { EvidenceSource, Exchange } from "./attest.ts";
export { createCertificateVerifier } from "./certificate-verifier.ts";
export { type Credential, createCredential } from "./credential.ts";
export { type DeliveredEvents, DeliveredIdentity } from "./delivered-identity.ts";
export { parseOrigin, readPinnedBundle, readPinnedTrustDomain, type ServerAddress } from "./first-contact.ts";
export type { GatewayCall } from "./gateway-call.ts";
export type { GatewayTunnel } from "./gateway-tunnel.ts";
export type { ChildOptions } from "./grant.ts";
export { createDeliveredKey, type DeliveredKey, openDeliveredKey } from "./instance-key.ts";
export { verifyIssuedSvid } from "./issued-svid.ts";
export { createLease, type Lease, type LeaseFollower } from "./lease.ts";
export { jitter, nowSeconds, type Runtime, systemRuntime } from "./runtime.ts";
export { SvidHolder } from "./svid-holder.ts";
export { type CurrentSvid, createPeerCheckedAgent, type PeerCheck } from "./tls.ts";
export { connectServer, encodeBody, type ServerCall, TrustServer } from "./trust-server.ts";
export { proveForSvid, verifyIssuedWit } from "./wit.ts";
