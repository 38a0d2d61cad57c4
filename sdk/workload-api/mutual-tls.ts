/**
 * Mutual TLS between workloads: each side presents its X.509-SVID of the moment and proves the other's against the bundle
 * of that one's own trust domain, before a byte of either is handed on.
 *
 * TLS 1.3 alone, and no session is resumed. Who is spoken with is always said: a proven stranger is still a stranger.
 *
 * @see X509-SVID §5; SPIFFE_Workload_API.md §4.6, §5.2.1, §8
 */
import type { Agent } from "node:https";
import { createServer, type Server } from "node:net";
import { connect, createSecureContext, createServer as createTlsServer, type TLSSocket } from "node:tls";
import {
  parseSpiffeId,
  parseTrustDomain,
  type SpiffeId,
  trustDomainOf,
} from "@trustwarden/core/agentid/spiffe-id.ts";
import { encodeHex } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatPemChain } from "../instance-key.ts";
import {
  type CurrentSvid,
  createCheckingAgent,
  HANDSHAKE_TIMEOUT_MS,
  peerChainOf,
  SERVER_TLS_OPTIONS,
  settleHandshake,
  unprovenOptions,
} from "../tls.ts";
import type { WorkloadX509Svid } from "./answers.ts";
import type { X509Source } from "./x509-source.ts";

const peers = new WeakMap<TLSSocket, SpiffeId>();
const presented = new WeakMap<WorkloadX509Svid, CurrentSvid>();

/** Who we are, and with whom we speak. */
export interface MutualTls {
  readonly source: X509Source;
  /** Asked about every peer that proved its identity: `acceptIds`, `acceptTrustDomain`, or a rule of one's own. */
  readonly accept: (peer: SpiffeId) => boolean;
  /** Hears why a peer was refused, or why nobody could be served; the peer is told nothing. */
  readonly onRefusal?: (error: TrustWardenError) => void;
}

/** A connection whose other end is proven and accepted. */
export interface PeerConnection {
  readonly socket: TLSSocket;
  readonly peer: SpiffeId;
}

/** Accepts the named workloads. @throws TrustWardenError `spiffe_id_malformed`. */
export function acceptIds(...ids: readonly string[]): MutualTls["accept"] {
  const accepted = new Set<string>(ids.map(parseSpiffeId));
  return (peer) => accepted.has(peer);
}

/** Accepts every workload of a trust domain. @throws TrustWardenError `spiffe_id_malformed`. */
export function acceptTrustDomain(name: string): MutualTls["accept"] {
  const accepted = parseTrustDomain(name);
  return (peer) => trustDomainOf(peer) === accepted;
}

/** An agent of `node:https`: a request to who is not proven and accepted fails with `peer_untrusted` before a byte of it left. */
export function createMutualTlsAgent(options: MutualTls): Agent {
  return createCheckingAgent({
    svid: () => presentedOf(options.source.svid()),
    findRefusal: (socket) => findRefusal(socket, options),
  });
}

/**
 * Connects to a workload.
 *
 * @throws TrustWardenError `peer_untrusted`, whose cause says why; as `X509Source.svid`; or what the network says.
 */
export async function connectMutualTls(
  options: MutualTls,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<PeerConnection> {
  const { secureContext } = presentedOf(options.source.svid());
  const socket = connect(unprovenOptions({ host, port, secureContext }));
  return new Promise((resolve, reject) => {
    settleHandshake(
      socket,
      (proven) => findRefusal(proven, options),
      (error) => {
        if (error !== null) reject(error);
        else resolve({ socket, peer: peerOf(socket) });
      },
    );
  });
}

/**
 * A server of TCP whose every connection is a proven and accepted peer's. For HTTP hand the sockets on:
 * `http.emit("connection", socket)`. Without an identity, and for who is refused, connections are closed without a word.
 */
export function createMutualTlsServer(
  options: MutualTls,
  onConnection: (connection: PeerConnection) => void,
): Server {
  const { source, onRefusal = () => undefined } = options;
  const listeners = new WeakMap<WorkloadX509Svid, Server>();
  const listenerOf = (svid: WorkloadX509Svid): Server => {
    const known = listeners.get(svid) ?? createListener(svid, options, onConnection);
    listeners.set(svid, known);
    return known;
  };
  return createServer((raw) => {
    const svid = identityOf(source);
    if (!(svid instanceof TrustWardenError)) {
      listenerOf(svid).emit("connection", raw);
      return;
    }
    raw.destroy();
    onRefusal(svid);
  });
}

/** A TLS server of one SVID, which never listens itself. */
function createListener(
  svid: WorkloadX509Svid,
  options: MutualTls,
  onConnection: (connection: PeerConnection) => void,
): Server {
  const { onRefusal = () => undefined } = options;
  const { ALPNProtocols: _, ...manners } = SERVER_TLS_OPTIONS;
  const listener = createTlsServer({ ...manners, ...keysOf(svid), handshakeTimeout: HANDSHAKE_TIMEOUT_MS });
  listener.on("secureConnection", (socket) => {
    const refusal = findRefusal(socket, options);
    if (refusal === undefined) return onConnection({ socket, peer: peerOf(socket) });
    socket.destroy();
    onRefusal(refusal);
  });
  listener.on("tlsClientError", (cause, socket) => {
    socket.destroy();
    onRefusal(new TrustWardenError("peer_untrusted", { reason: "handshake" }, { cause }));
  });
  return listener;
}

/** The identity to serve with, or why there is none. */
function identityOf(source: X509Source): WorkloadX509Svid | TrustWardenError {
  try {
    return source.svid();
  } catch (error) {
    if (error instanceof TrustWardenError) return error;
    throw error;
  }
}

/** Why the peer is not served; remembers who it is otherwise. */
function findRefusal(socket: TLSSocket, { source, accept }: MutualTls): TrustWardenError | undefined {
  try {
    const peer = source.verifyPeer(peerChainOf(socket));
    if (accept(peer) !== true)
      return new TrustWardenError("peer_untrusted", { reason: "not accepted", peer });
    peers.set(socket, peer);
    return undefined;
  } catch (cause) {
    const reason = cause instanceof TrustWardenError ? cause.code : "internal";
    return new TrustWardenError("peer_untrusted", { reason }, { cause });
  }
}

function peerOf(socket: TLSSocket): SpiffeId {
  const peer = peers.get(socket);
  if (peer === undefined) throw new Error("a connection that nobody checked");
  return peer;
}

/** What connections of an SVID present; made once, since it costs as much as a handshake's signature. */
function presentedOf(svid: WorkloadX509Svid): CurrentSvid {
  const known = presented.get(svid);
  if (known !== undefined) return known;
  const [leaf = new Uint8Array()] = svid.chain;
  const secureContext = createSecureContext({ ...keysOf(svid), minVersion: "TLSv1.3" });
  const made = { sha256: encodeHex(sha256(leaf)), secureContext };
  presented.set(svid, made);
  return made;
}

/** Node takes keys as text or bytes and nothing else. */
function keysOf({ privateKey, chain }: WorkloadX509Svid): { readonly key: string; readonly cert: string } {
  const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return { key, cert: formatPemChain(chain) };
}
