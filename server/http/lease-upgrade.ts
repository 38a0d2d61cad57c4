/**
 * The one upgrade that is served: the lease of a verifier, a node or an agent's launcher, on the stop listener. It walks the same path as every request;
 * when the guard lets it through, the revocation feed takes the socket over.
 */
import type { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { LEASE_PROTOCOL } from "@trustwarden/core/revocation/frames.ts";
import { placeOf } from "../intake/request-places.ts";
import { type Arrival, formatPeer, type HeadRules, requireCleanHead } from "./arrival.ts";
import type { Caller } from "./caller.ts";
import { formatErrorAnswer, logFailure, toTrustWardenError } from "./errors.ts";
import { requireLiveChain, verifyPeerSvid } from "./peer.ts";
import type { GuardedRoute, Route } from "./route.ts";
import { serveGuarded } from "./serve.ts";
import type { Services } from "./services.ts";

const SWITCHING = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${LEASE_PROTOCOL}\r\n\r\n`;

/** Listens to a server's `upgrade` events for the table's upgrade row. */
export function createUpgradeListener(options: {
  readonly services: Services;
  readonly routes: readonly Route[];
  readonly rules: HeadRules;
}): (request: IncomingMessage, socket: Duplex, head: Buffer) => void {
  const { services, routes, rules } = options;
  return (request, socket, head) => {
    // Until the feed listens, a reset by the peer must not become an uncaught error.
    socket.on("error", () => socket.destroy());
    upgrade(services, { request, socket, head, routes, rules }).catch((error: unknown) => {
      const failure = toTrustWardenError(error);
      logFailure(services.log, "upgrade", failure);
      refuse(socket, failure);
    });
  };
}

async function upgrade(
  services: Services,
  arriving: {
    readonly request: IncomingMessage;
    readonly socket: Duplex;
    readonly head: Buffer;
    readonly routes: readonly Route[];
    readonly rules: HeadRules;
  },
): Promise<void> {
  const { request, socket, head, routes, rules } = arriving;
  requireCleanHead(request, { ...rules, allowsUpgrade: true });
  const route = findUpgrade(routes, request);
  if (!(socket instanceof Socket)) throw new TrustWardenError("request_malformed", { reason: "socket" });
  const arrival = arrivalOf(request, { route, socket });
  await serveGuarded(services, {
    route,
    arrival,
    act: async ({ caller }) => {
      if (socket.destroyed) return;
      if (head.length > 0) socket.unshift(head);
      socket.setTimeout(0);
      socket.write(SWITCHING);
      services.feed.accept(socket, {
        ...holderOf(caller),
        isLive: () => isLive(services, arrival, caller),
      });
    },
  });
}

function findUpgrade(routes: readonly Route[], request: IncomingMessage): GuardedRoute {
  const found = routes.find(
    (route) => route.answer === "upgrade" && route.path === request.url && route.method === request.method,
  );
  if (found === undefined || found.access === "public") throw new TrustWardenError("not_found");
  if (request.headers.upgrade !== LEASE_PROTOCOL) {
    throw new TrustWardenError("request_malformed", { reason: "protocol" });
  }
  return found;
}

function arrivalOf(
  request: IncomingMessage,
  { route, socket }: { readonly route: Route; readonly socket: Socket },
): Arrival {
  return {
    route,
    listener: "stop",
    socket,
    place: placeOf(request),
    peer: formatPeer(socket),
    method: request.method ?? "",
    target: request.url ?? "",
    headers: request.headers,
    rawBody: new Uint8Array(0),
    body: undefined,
    query: {},
    params: {},
  };
}

function holderOf({ principal }: Caller): {
  readonly spiffeId: string;
  readonly instanceId: string;
  readonly isFollower: boolean;
  readonly isRelay: boolean;
} {
  if (principal.kind !== "verifier" && principal.kind !== "node" && principal.kind !== "agent")
    throw new Error("only instances hold leases");
  const { spiffeId, instanceId, kind } = principal;
  const isRelay = principal.kind === "verifier" && principal.isRelay === true;
  return { spiffeId, instanceId, isFollower: kind === "agent", isRelay };
}

/** Asked at each beat: an open stream must outlive neither the instance nor the certificate it was opened with. */
function isLive(services: Services, { socket }: Arrival, caller: Caller): boolean {
  try {
    const now = services.clock.trustedSeconds();
    verifyPeerSvid(services, socket, now);
    requireLiveChain(services.reads, holderOf(caller).instanceId, now);
    return true;
  } catch {
    // Safe: any doubt cuts the stream, and the verifier has to come back through the guard.
    return false;
  }
}

function refuse(socket: Duplex, failure: TrustWardenError): void {
  const { status, body, headers } = formatErrorAnswer(failure);
  const wait = headers["retry-after"] === undefined ? "" : `Retry-After: ${headers["retry-after"]}\r\n`;
  const text = JSON.stringify(body);
  const length = Buffer.byteLength(text);
  socket.end(
    `HTTP/1.1 ${status} Refused\r\nContent-Type: application/json; charset=utf-8\r\n${wait}Content-Length: ${length}\r\nConnection: close\r\n\r\n${text}`,
    () => socket.destroy(),
  );
}
