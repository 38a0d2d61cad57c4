/**
 * TLS between SPIFFE identities: who we are, who they are, and not one byte before both are settled.
 *
 * The peer's chain is verified by our own code after the handshake and before the socket is handed to anybody:
 * TLS libraries pool all roots and accept a leaf with two URI names. No session is ever resumed, since a resumed one
 * skips the chain check. Host names prove nothing here and are not looked at.
 *
 * @see X509-SVID section 5
 */
import { constants, type X509Certificate } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { Agent, type RequestOptions } from "node:https";
import { isIP, type Socket } from "node:net";
import {
  type ConnectionOptions,
  connect,
  createSecureContext,
  type SecureContext,
  TLSSocket,
} from "node:tls";
import type { ProvenIssuers } from "@trustwarden/core/agentid/proven-issuers.ts";
import type { SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { verifyX509Svid, type X509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { nowSeconds, type Runtime, systemRuntime } from "./runtime.ts";

/** TCP and TLS handshake together. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** How long an idle connection is kept; short, so that a renewed SVID or a changed bundle soon counts everywhere. */
const IDLE_TIMEOUT_MS = 15_000;
/** Leaf, intermediates, and one to spare; a longer chain is an attempt to make us work. */
const MAX_CHAIN = 4;

/** Options of every TLS server of the SDK: our own check decides about the client, and no session is resumed. */
export const SERVER_TLS_OPTIONS = {
  requestCert: true,
  // A refusal is our recorded answer, not a reset by the TLS library.
  rejectUnauthorized: false,
  minVersion: "TLSv1.3",
  secureOptions: constants.SSL_OP_NO_TICKET,
  ALPNProtocols: ["http/1.1"],
} as const;

/** What a process presents to its peers. */
export interface CurrentSvid {
  /** base64url SHA-256 of the leaf; connections of one SVID are never used for another. */
  readonly sha256: string;
  /** Key and chain (leaf, intermediates, no root), TLS 1.3. */
  readonly secureContext: SecureContext;
}

/** Who we are and whom we accept. Read anew for each connection, so that renewals need no new agent. */
export interface PeerCheck {
  /** Our SVID; without one the connection is anonymous. */
  readonly svid?: (() => CurrentSvid) | undefined;
  readonly bundle: () => TrustBundle;
  /** Proven before under that bundle; none unless given. */
  readonly issuers?: ProvenIssuers;
  readonly acceptPeer: (id: SpiffeId) => boolean;
  /** What a peer that is not accepted is called; `peer_untrusted` unless given. */
  readonly refusal?: "peer_untrusted" | "server_untrusted";
  readonly runtime?: Runtime;
}

/** What a client without an SVID presents: nothing. Made once, since making it costs as much as a handshake's signature. */
const ANONYMOUS_CONTEXT: SecureContext = createSecureContext({ minVersion: "TLSv1.3" });

const chains = new WeakMap<Socket, readonly Uint8Array[]>();

/**
 * DER certificates that the peer of a TLS socket presented, leaf first; nothing is verified yet.
 *
 * @throws TrustWardenError `no_svid` without TLS or a certificate, or on a resumed session; `svid_malformed` for a
 *   chain that is too long.
 */
export function peerChainOf(socket: Socket): readonly Uint8Array[] {
  const known = chains.get(socket);
  if (known !== undefined) return known;
  const chain = readPeerChain(socket);
  chains.set(socket, chain);
  return chain;
}

/** `peerChainOf` the connection that a request or an answer arrived on. @throws TrustWardenError as it does. */
export function peerChainOfMessage(message: IncomingMessage): readonly Uint8Array[] {
  return peerChainOf(message.socket);
}

/**
 * An agent whose connections carry our SVID and lead only to accepted peers. A request to anybody else fails with the
 * refusal before a byte of it was written.
 */
export function createPeerCheckedAgent(check: PeerCheck): Agent {
  return createCheckingAgent({ svid: check.svid, findRefusal: (socket) => findRefusal(socket, check) });
}

/** A peer that nobody can prove yet, asked anonymously. */
export interface UnprovenPeer {
  /** One connection at most, to anybody, until `prove`; nothing but a public document may be asked for on it. */
  readonly agent: Agent;
  /** Keeps the connection, whose chain the caller has proven, and checks every later one. */
  readonly prove: (check: Omit<PeerCheck, "svid">) => void;
}

/** For first contact, where what proves the peer is read from the peer. Whoever does not prove it destroys the agent. */
export function createUnprovenPeer(): UnprovenPeer {
  let check: PeerCheck | null = null;
  const agent = createCheckingAgent({
    findRefusal: (socket) => (check === null ? undefined : findRefusal(socket, check)),
  });
  agent.maxSockets = 1;
  return {
    agent,
    prove: (proven) => {
      check = proven;
      agent.maxSockets = Number.POSITIVE_INFINITY;
    },
  };
}

/** What connections present, and which peers they do not lead to. */
export interface Connecting {
  /** Our SVID; without one the connection is anonymous. */
  readonly svid?: (() => CurrentSvid) | undefined;
  /** Why the peer is not one that we want; undefined when it is. */
  readonly findRefusal: (socket: TLSSocket) => TrustWardenError | undefined;
}

/** An agent whose connections are handed out once the peer is not refused. What `svid` throws fails the request. */
export function createCheckingAgent({ svid, findRefusal: refuse }: Connecting): Agent {
  const agent = new Agent({ keepAlive: true, timeout: IDLE_TIMEOUT_MS, maxCachedSessions: 0 });
  const { getName } = agent;
  // A pooled connection keeps the certificate of its handshake: it must not serve a renewed SVID.
  agent.getName = (options) => `${getName.call(agent, options)}:${nameOf(svid)}`;
  agent.createConnection = (options, callback) => {
    const socket = connect(connectOptions(options, svid));
    settleHandshake(socket, refuse, (error) => callback?.(error, socket));
    return undefined;
  };
  return agent;
}

/**
 * One connection to an accepted peer, for whoever may have to break it off: destroying the socket ends it at any stage. It
 * may take as long as the caller lets it.
 *
 * @param done - once: without an error when the peer is proven and accepted; else with the reason, and the socket is gone.
 * @throws whatever `svid` does.
 */
export function connectToPeer(
  to: Pick<RequestOptions, "host" | "port">,
  check: PeerCheck,
  done: (error: Error | null) => void,
): TLSSocket {
  const socket = connect(connectOptions(to, check.svid));
  settle(socket, { findRefusal: (peer) => findRefusal(peer, check), done });
  return socket;
}

/** Tells the connections of one SVID from those of another. */
function nameOf(svid: Connecting["svid"]): string {
  try {
    return svid?.().sha256 ?? "anonymous";
  } catch {
    // Safe: nothing is kept under this name, since the connection asks for the SVID too, and fails with what is thrown.
    return "none";
  }
}

function readPeerChain(socket: Socket): readonly Uint8Array[] {
  if (!(socket instanceof TLSSocket)) throw new TrustWardenError("no_svid", { reason: "no TLS" });
  // A resumed session would carry the chain of an earlier handshake, perhaps expired since.
  if (socket.isSessionReused()) throw new TrustWardenError("no_svid", { reason: "resumed session" });
  const chain: Uint8Array[] = [];
  // Not getPeerCertificate(true), which appends our own root to what the peer sent.
  let certificate: X509Certificate | undefined = socket.getPeerX509Certificate();
  while (certificate !== undefined && chain.length < MAX_CHAIN) {
    chain.push(certificate.raw);
    certificate = certificate.issuerCertificate;
  }
  if (chain.length === 0) throw new TrustWardenError("no_svid", { reason: "no certificate" });
  if (certificate !== undefined) throw new TrustWardenError("svid_malformed", { reason: "chain too long" });
  return chain;
}

function connectOptions(
  { host, port }: Pick<RequestOptions, "host" | "port">,
  svid: PeerCheck["svid"],
): ConnectionOptions {
  const secureContext = svid?.().secureContext ?? ANONYMOUS_CONTEXT;
  const place = { host: host ?? "localhost", port: Number(port ?? 443) };
  return { ...unprovenOptions({ ...place, secureContext }), ALPNProtocols: ["http/1.1"] };
}

/** Options of a connection whose peer nobody has proven yet: `settleHandshake` tells whether it may be used. */
export function unprovenOptions({
  host,
  port,
  secureContext,
}: {
  readonly host: string;
  readonly port: number;
  readonly secureContext: SecureContext;
}): ConnectionOptions {
  return {
    host,
    port,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    secureContext,
    // Our own check decides.
    rejectUnauthorized: false,
    minVersion: "TLSv1.3",
  };
}

/**
 * Calls back once: without an error when the peer is not refused; else with the reason, and then the socket is gone.
 */
export function settleHandshake(
  socket: TLSSocket,
  findRefusal: Connecting["findRefusal"],
  done: (error: Error | null) => void,
): void {
  const timer = setTimeout(() => socket.destroy(unreachable("handshake timeout")), HANDSHAKE_TIMEOUT_MS);
  settle(socket, {
    findRefusal,
    done: (error) => {
      clearTimeout(timer);
      done(error);
    },
  });
}

function settle(
  socket: TLSSocket,
  {
    findRefusal: refuse,
    done,
  }: {
    readonly findRefusal: Connecting["findRefusal"];
    readonly done: (error: Error | null) => void;
  },
): void {
  let isSettled = false;
  const end = (error: Error | null): void => {
    if (isSettled) return;
    isSettled = true;
    done(error);
  };
  socket.on("error", end);
  socket.once("close", () => end(unreachable("closed in the handshake")));
  socket.once("secureConnect", () => {
    const refusal = refuse(socket);
    if (refusal === undefined) end(null);
    else socket.destroy(refusal);
  });
}

/** Why the peer is not the one we want, or undefined when it proved to be. */
function findRefusal(socket: TLSSocket, check: PeerCheck): TrustWardenError | undefined {
  const { acceptPeer, refusal = "peer_untrusted" } = check;
  try {
    const { id } = verifyPeer(socket, check);
    return acceptPeer(id) ? undefined : new TrustWardenError(refusal, { reason: "not accepted", peer: id });
  } catch (cause) {
    const reason = cause instanceof TrustWardenError ? cause.code : "internal";
    return new TrustWardenError(refusal, { reason }, { cause });
  }
}

function verifyPeer(socket: TLSSocket, { bundle, issuers, runtime = systemRuntime }: PeerCheck): X509Svid {
  const known = bundle();
  const bundles = new Map([[known.trustDomain, known]]);
  return verifyX509Svid(peerChainOf(socket), bundles, nowSeconds(runtime), issuers);
}

function unreachable(reason: string): TrustWardenError {
  return new TrustWardenError("server_unreachable", { reason });
}
