/**
 * Handshakes by turns, so that a thousand verifiers that come at once do not cost those who are there their leases.
 *
 * A handshake is a hundred times the work of a beat, and all of it is done by the thread that answers beats: a crowd that
 * comes back after a fault would make every lease lapse, and everybody come back once more. So only a few are made at a
 * time, networks and addresses in turns, whoever has not said anything yet waits without a place, and whoever waited so
 * long that it will soon give up is sent away before any work is spent on it. A turn is short: a peer that takes longer
 * costs no work while it is waited for, so strangers who begin and go no further keep nobody out. Knows nothing of leases.
 */
import type { Server } from "node:https";
import type { Socket } from "node:net";
import { AddressQueue } from "./address-queue.ts";

/** About 50 ms of work between two looks at the beats. */
const MAX_AT_ONCE = 16;
/** Of the five seconds after which a verifier gives up, enough must be left for the handshake itself. */
const MAX_WAIT_MS = 2_000;
/** Of a handshake's two messages the work is done when they come; more than this is the network, or a stranger who waits. */
const MAX_TURN_MS = 500;
/** Without a first byte. */
const MAX_SILENCE_MS = 5_000;

interface Waiting {
  readonly socket: Socket;
  readonly sinceMs: number;
}

/** Puts turns before the handshakes of a server; call it before the server listens. */
export function takeHandshakesByTurns(
  server: Server,
  options: {
    readonly monotonicMs: () => number;
    readonly maxAtOnce?: number;
    readonly maxWaitMs?: number;
    readonly maxTurnMs?: number;
    readonly maxSilenceMs?: number;
  },
): void {
  const { monotonicMs, maxAtOnce = MAX_AT_ONCE, maxWaitMs = MAX_WAIT_MS, maxTurnMs = MAX_TURN_MS } = options;
  const { maxSilenceMs = MAX_SILENCE_MS } = options;
  const handshake = server.listeners("connection");
  const underWay = new Map<string, NodeJS.Timeout>();
  const queue = new AddressQueue<Waiting>();

  const next = () => {
    while (underWay.size < maxAtOnce) {
      const first = queue.shift();
      if (first === undefined) return;
      if (first.socket.destroyed) continue;
      if (monotonicMs() - first.sinceMs > maxWaitMs) first.socket.destroy();
      else begin(first.socket);
    }
  };
  const begin = (socket: Socket) => {
    const name = nameOf(socket);
    underWay.set(
      name,
      setTimeout(() => end(name), maxTurnMs),
    );
    socket.once("close", () => end(name));
    for (const listener of handshake) listener.call(server, socket);
  };
  const end = (name: string) => {
    clearTimeout(underWay.get(name));
    if (underWay.delete(name)) next();
  };

  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    socket.on("error", () => socket.destroy());
    socket.setTimeout(maxSilenceMs, () => socket.destroy());
    // What is read to notice the first bytes stays in the socket, and the handshake finds it there.
    socket.once("readable", () => {
      socket.setTimeout(0);
      queue.push(socket.remoteAddress ?? "", { socket, sinceMs: monotonicMs() });
      next();
    });
  });
  server.on("secureConnection", (socket) => end(nameOf(socket)));
  server.on("tlsClientError", (_error, socket) => end(nameOf(socket)));
}

function nameOf({ remoteAddress, remotePort }: Pick<Socket, "remoteAddress" | "remotePort">): string {
  return `${remoteAddress} ${remotePort}`;
}
