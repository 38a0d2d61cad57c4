/**
 * One SVID with everything that is bound to it: its key, and the connections that present it.
 *
 * A renewal makes a new credential with a new key. A connection keeps the certificate of its handshake, so signing
 * with one SVID over a connection of another would be refused: whoever acts takes one credential and uses both from it.
 */
import type { Agent } from "node:https";
import type { SecureContext } from "node:tls";
import { classIdOf, type SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { X509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import type { IdentityAnswer } from "@trustwarden/core/api/identity.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { InstanceKey } from "./instance-key.ts";
import { verifyIssuedSvid } from "./issued-svid.ts";
import { nowSeconds, type Runtime } from "./runtime.ts";
import { type CurrentSvid, createPeerCheckedAgent } from "./tls.ts";
import type { TrustServer } from "./trust-server.ts";

/** Peers that one credential keeps connections to. */
const MAX_PEERS = 64;

/** An SVID in the name of an agent's class, for services elsewhere that know agents by their class. */
export interface ClassSvid {
  readonly id: SpiffeId;
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  readonly key: InstanceKey;
}

/** A live SVID of this process. Never holds a readable private key. */
export interface Credential {
  readonly svid: X509Svid;
  /** DER, leaf first, without the root. */
  readonly svidChain: readonly Uint8Array[];
  readonly key: InstanceKey;
  /** The class SVID that came with it, when one was asked for; nothing here acts with it. */
  readonly ofClass: ClassSvid | undefined;
  /** Unix seconds. */
  readonly expiresAt: number;
  /** What TLS presents. */
  readonly tls: CurrentSvid;
  /** Connections to the TrustWarden server. */
  readonly serverAgent: Agent;
  /** Connections to one peer and nobody else. */
  readonly agentFor: (peer: SpiffeId) => Agent;
  /** Ends what is under way with services, which could only refuse it from now on. */
  readonly cutVisits: () => void;
  /** Lets what is under way finish and keeps nothing open after it. */
  readonly retire: () => void;
}

/**
 * The credential of an answer of enrolment or renewal, checked before anybody relies on it.
 *
 * @throws TrustWardenError `server_untrusted` when a certificate is not for its key, or not the id that the answer says, or
 *   a class SVID is missing or outlives the instance's; and the codes of `verifyX509Svid`.
 */
export function createCredential(options: {
  readonly answer: IdentityAnswer;
  readonly key: InstanceKey;
  /** When a class SVID was asked for. */
  readonly classKey?: InstanceKey | undefined;
  readonly server: TrustServer;
  readonly runtime: Runtime;
}): Credential {
  const { answer, key, classKey, server, runtime } = options;
  const svidChain = answer.svid_chain.map(parseBase64url);
  const now = nowSeconds(runtime);
  const svid = verifyIssuedSvid(svidChain, { id: answer.spiffe_id, key, server, now });
  const tls = presentOnDemand(svid.leaf.sha256, () => key.createTlsContext(svidChain));
  const serverAgent = server.createAgent(() => tls);
  const peers = new Map<SpiffeId, Agent>();
  return {
    svid,
    svidChain,
    key,
    ofClass:
      classKey === undefined ? undefined : readClassSvid(answer, { instance: svid, classKey, server, now }),
    expiresAt: svid.leaf.notAfter,
    tls,
    serverAgent,
    agentFor: (peer) => agentFor(peers, peer, { tls, server, runtime }),
    cutVisits: () => {
      for (const agent of peers.values()) agent.destroy();
      peers.clear();
    },
    retire: () => [serverAgent, ...peers.values()].forEach(retireAgent),
  };
}

/** What TLS presents, made when the first connection needs it: many a child ends its work without one of its own. */
function presentOnDemand(sha256: string, create: () => SecureContext): CurrentSvid {
  let context: SecureContext | undefined;
  return {
    sha256,
    get secureContext() {
      context ??= create();
      return context;
    },
  };
}

function readClassSvid(
  { class_svid_chain: texts }: IdentityAnswer,
  options: {
    readonly instance: X509Svid;
    readonly classKey: InstanceKey;
    readonly server: TrustServer;
    readonly now: number;
  },
): ClassSvid {
  const { instance, classKey: key, server, now } = options;
  if (texts === null) throw new TrustWardenError("server_untrusted", { reason: "no class SVID" });
  const chain = texts.map(parseBase64url);
  const { id, leaf } = verifyIssuedSvid(chain, { id: classIdOf(instance.id), key, server, now });
  if (leaf.notAfter > instance.leaf.notAfter)
    throw new TrustWardenError("server_untrusted", { reason: "the class SVID outlives the instance's" });
  return { id, chain, key };
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
    issuers: server.issuers,
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
