/**
 * Where verifiers come for their leases instead of to the server: TLS 1.3, one upgrade, and nothing else.
 *
 * Whoever comes proves an SVID of this trust domain that is a verifier's or another relay's. Agents do not: theirs is
 * proven with an intent, which only the server may take. What was stopped is refused and cut, by what the feed said since the
 * relay follows it and by the server's revocation list for what was before.
 */

import type { IncomingMessage } from "node:http";
import { createServer, type Server } from "node:https";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import type { BundleSource } from "@trustwarden/core/agentid/ports.ts";
import { ProvenChains } from "@trustwarden/core/agentid/proven-chains.ts";
import {
  instanceIdOf,
  pathOf,
  type TrustDomain,
  trustDomainOf,
} from "@trustwarden/core/agentid/spiffe-id.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { LEASE_PROTOCOL } from "@trustwarden/core/revocation/frames.ts";
import type { FeedVerifier } from "@trustwarden/server/feed/connection.ts";
import { takeHandshakesByTurns } from "@trustwarden/server/http/handshake-turns.ts";
import {
  type FreshServers,
  isRelayId,
  LEASE_PATH,
  peerChainOf,
  SERVER_TLS_OPTIONS,
} from "trustwarden/peer.ts";

const VERIFIERS = "/trustwarden/verifier/";
/** Slow or huge heads end before anybody looks at them. */
const LIMITS = {
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  handshakeTimeout: 5_000,
  maxHeaderSize: 8_192,
  insecureHTTPParser: false,
} as const;
/** 10,000 verifiers, and as many again while they move here from another relay. */
const MAX_CONNECTIONS = 20_000;
const SWITCHING = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${LEASE_PROTOCOL}\r\n\r\n`;

interface ListenerOptions {
  readonly trustDomain: TrustDomain;
  readonly bundles: BundleSource;
  readonly fresh: FreshServers;
  /** Unix seconds. */
  readonly now: () => number;
  readonly monotonicMs: () => number;
  /** Whether an instance was stopped, by the feed, or its certificate is on the server's revocation list. */
  readonly isStopped: (comer: { readonly instanceId: string; readonly serialHex: string }) => boolean;
  /** Whether there is a lease to give on, and it is known who was stopped. */
  readonly isServing: () => boolean;
  readonly accept: (socket: Duplex, verifier: FeedVerifier) => void;
  readonly onRefused: (code: string) => void;
}

/** The listener; not yet listening. */
export function createRelayListener(options: ListenerOptions): Server {
  const chains = new ProvenChains(options.bundles);
  const server = createServer(
    { ...SERVER_TLS_OPTIONS, ...LIMITS, ...options.fresh.current },
    (_request, response) => {
      response.writeHead(404, { connection: "close" }).end();
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  takeHandshakesByTurns(server, options);
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on("error", () => socket.destroy());
    try {
      const verifier = verifyComer(options, chains, { request, socket });
      if (head.length > 0) socket.unshift(head);
      socket.write(SWITCHING);
      options.accept(socket, verifier);
    } catch (error) {
      refuse(socket, error, options.onRefused);
    }
  });
  options.fresh.learn(server);
  return server;
}

/** @throws TrustWardenError `not_found`, `no_svid`, the codes of the chain, `principal_refused`, `identity_revoked`,
 *   `server_unreachable` without a lease to give on. */
function verifyComer(
  options: ListenerOptions,
  chains: ProvenChains,
  { request, socket }: { readonly request: IncomingMessage; readonly socket: Duplex },
): FeedVerifier {
  const { trustDomain, now, isStopped, isServing } = options;
  const isLease =
    request.method === "GET" && request.url === LEASE_PATH && request.headers.upgrade === LEASE_PROTOCOL;
  if (!isLease || !(socket instanceof TLSSocket)) throw new TrustWardenError("not_found");
  const chain = peerChainOf(socket);
  const { id, leaf } = chains.verify(chain, now());
  const instanceId = instanceIdOf(id);
  const isRelay = isRelayId(id, trustDomain);
  const isKnownKind = isRelay || pathOf(id).startsWith(VERIFIERS);
  if (instanceId === undefined || trustDomainOf(id) !== trustDomain || !isKnownKind)
    throw new TrustWardenError("principal_refused", { id });
  const comer = { instanceId, serialHex: leaf.serialHex };
  if (isStopped(comer)) throw new TrustWardenError("identity_revoked", { id });
  if (!isServing()) throw new TrustWardenError("server_unreachable", { reason: "the relay has no lease" });
  const isLive = () => now() < leaf.notAfter && !isStopped(comer);
  return { spiffeId: id, instanceId, isRelay, isLive };
}

/** The code stays here; who is refused learns no more than a status. */
function refuse(socket: Duplex, error: unknown, onRefused: ListenerOptions["onRefused"]): void {
  const code = error instanceof TrustWardenError ? error.code : "internal";
  onRefused(code);
  const status =
    code === "server_unreachable" ? "503 Service Unavailable\r\nRetry-After: 1" : "401 Unauthorized";
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
}
