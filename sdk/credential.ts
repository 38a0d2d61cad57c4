/**
 * One SVID with everything that is bound to it: its key, and the connections that present it.
 *
 * A renewal makes a new credential with a new key. A connection keeps the certificate of its handshake, so signing
 * with one SVID over a connection of another would be refused: whoever acts takes one credential and uses both from it.
 */
import type { Agent } from "node:https";
import type { SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { verifyX509Svid, type X509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import type { IdentityAnswer } from "@trustwarden/core/api/identity.ts";
import { isEqualBytes, parseBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { InstanceKey } from "./instance-key.ts";
import { nowSeconds, type Runtime } from "./runtime.ts";
import { type CurrentSvid, createPeerCheckedAgent } from "./tls.ts";
import type { TrustServer } from "./trust-server.ts";

/** Peers that one credential keeps connections to. */
const MAX_PEERS = 64;

/** A live SVID of this process. Never holds a readable private key. */
export interface Credential {
  readonly svid: X509Svid;
  /** DER, leaf first, without the root. */
  readonly svidChain: readonly Uint8Array[];
  readonly key: InstanceKey;
  /** Unix seconds. */
  readonly expiresAt: number;
  /** What TLS presents. */
  readonly tls: CurrentSvid;
  /** Connections to the TrustWarden server. */
  readonly serverAgent: Agent;
  /** Connections to one peer and nobody else. */
  readonly agentFor: (peer: SpiffeId) => Agent;
  /** Lets what is under way finish and keeps nothing open after it. */
  readonly retire: () => void;
}

/**
 * The credential of an answer of enrolment or renewal, checked before anybody relies on it.
 *
 * @throws TrustWardenError `server_untrusted` when the certificate is not for this key, or not the id that the answer
 *   says; and the codes of `verifyX509Svid`.
 */
export function createCredential(options: {
  readonly answer: IdentityAnswer;
  readonly key: InstanceKey;
  readonly server: TrustServer;
  readonly runtime: Runtime;
}): Credential {
  const { answer, key, server, runtime } = options;
  const svidChain = answer.svid_chain.map(parseBase64url);
  const svid = verifyX509Svid(svidChain, server.bundles, nowSeconds(runtime));
  if (svid.id !== answer.spiffe_id) throw new TrustWardenError("server_untrusted", { reason: "other id" });
  if (!isEqualBytes(svid.leaf.spki, key.spki))
    throw new TrustWardenError("server_untrusted", { reason: "other key" });
  const tls = { sha256: svid.leaf.sha256, secureContext: key.createTlsContext(svidChain) };
  const serverAgent = server.createAgent(() => tls);
  const peers = new Map<SpiffeId, Agent>();
  return {
    svid,
    svidChain,
    key,
    expiresAt: svid.leaf.notAfter,
    tls,
    serverAgent,
    agentFor: (peer) => agentFor(peers, peer, { tls, server, runtime }),
    retire: () => [serverAgent, ...peers.values()].forEach(retireAgent),
  };
}

function agentFor(
  peers: Map<SpiffeId, Agent>,
  peer: SpiffeId,
  {
    tls,
    server,
    runtime,
  }: Pick<Credential, "tls"> & { readonly server: TrustServer; readonly runtime: Runtime },
): Agent {
  const known = peers.get(peer);
  if (known !== undefined) return known;
  const agent = createPeerCheckedAgent({
    svid: () => tls,
    bundle: () => server.bundle,
    acceptPeer: (id) => id === peer,
    runtime,
  });
  const [oldest] = peers;
  if (peers.size >= MAX_PEERS && oldest !== undefined) {
    retireAgent(oldest[1]);
    peers.delete(oldest[0]);
  }
  peers.set(peer, agent);
  return agent;
}

/** `destroy` would cut requests that are under way; so idle connections go now and busy ones after their answer. */
function retireAgent(agent: Agent): void {
  agent.maxFreeSockets = 0;
  for (const sockets of Object.values(agent.freeSockets)) {
    for (const socket of sockets ?? []) socket.destroy();
  }
}
