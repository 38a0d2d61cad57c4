/**
 * The second door of this package: what TrustWarden's own daemons (`node/`) share with the SDK. Names here may change
 * with any release; applications use `index.ts`.
 */

export { readPinnedBundle, type ServerAddress } from "./first-contact.ts";
export { createLease, type Lease } from "./lease.ts";
export { type CurrentSvid, createPeerCheckedAgent, type PeerCheck } from "./tls.ts";
export { encodeBody, type ServerCall, TrustServer } from "./trust-server.ts";
