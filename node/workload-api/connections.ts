/**
 * The connections of the socket: each gets a name of its own and the process behind it, and is watched until it closes.
 *
 * The process is read from the descriptor before anything is read from the connection. One timer watches them all: when
 * a process ends, its calls end with it, whoever else holds the descriptor.
 */
import type { Socket } from "node:net";
import type { ConnectionInjector } from "@grpc/grpc-js";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { PeerProcess } from "../attest/peer-process.ts";
import type { GatedConnection } from "./gate.ts";

/** How long a call may outlive its process. */
const WATCH_MS = 200;
/** What one account may hold, so that it cannot take every descriptor of the node. */
const MAX_CONNECTIONS_PER_UID = 512;
const MAX_CONNECTIONS = 4096;
/** For the last status to leave. */
const GONE_GRACE_MS = 100;

interface OpenConnection extends GatedConnection {
  readonly socket: Socket;
  readonly process: PeerProcess;
}

/** Owns the open connections, one descriptor of a process each, and the timer that watches them. */
export class Connections {
  readonly byId = new Map<string, OpenConnection>();
  readonly #readPeer: (fd: number) => PeerProcess;
  readonly #timer: NodeJS.Timeout;
  #next = 1;

  constructor(readPeer: (fd: number) => PeerProcess) {
    this.#readPeer = readPeer;
    this.#timer = setInterval(() => this.#watch(), WATCH_MS);
    this.#timer.unref();
  }

  /** Takes over a new connection, or drops it without a word: what cannot be told apart is not served. */
  accept(socket: Socket, injector: ConnectionInjector): void {
    socket.on("error", () => socket.destroy());
    try {
      this.#open(socket);
    } catch {
      // Safe: the peer is not known, so there is nobody to tell and nothing was given.
      socket.destroy();
      return;
    }
    injector.injectConnection(socket);
  }

  /** Ends every call and connection. */
  close(error: unknown): void {
    clearInterval(this.#timer);
    for (const connection of this.byId.values()) endCalls(connection, error);
  }

  #open(socket: Socket): void {
    if (this.byId.size >= MAX_CONNECTIONS)
      throw new TrustWardenError("rate_limited", { reason: "connections" });
    const process = this.#readPeer(descriptorOf(socket));
    socket.once("close", process.close);
    const isCrowded = this.#countOf(process.uid) >= MAX_CONNECTIONS_PER_UID;
    if (isCrowded) throw new TrustWardenError("rate_limited", { reason: "connections", uid: process.uid });
    const connectionId = `peer-${this.#next}`;
    this.#next += 1;
    // Unix peers have no address: without one, every call of every process would come from "unknown".
    Object.defineProperty(socket, "remoteAddress", { value: connectionId });
    const { pid, uid, gid, groups, isAlive, hold } = process;
    const peer = { connectionId, pid, uid, gid, groups, isAlive, hold };
    this.byId.set(connectionId, { socket, process, peer, calls: new Set() });
    socket.once("close", () => this.byId.delete(connectionId));
  }

  #countOf(uid: number): number {
    let count = 0;
    for (const { peer } of this.byId.values()) if (peer.uid === uid) count += 1;
    return count;
  }

  #watch(): void {
    for (const connection of this.byId.values()) {
      if (connection.peer.isAlive()) continue;
      endCalls(connection, new TrustWardenError("workload_gone", { pid: connection.peer.pid }));
      setTimeout(() => connection.socket.destroy(), GONE_GRACE_MS).unref();
    }
  }
}

function endCalls({ calls }: GatedConnection, error: unknown): void {
  for (const end of [...calls]) end(error);
}

/**
 * The descriptor of a connection, which Node shows nowhere else.
 *
 * @throws TrustWardenError `workload_unattested` when it is not there.
 */
export function descriptorOf(socket: Socket): number {
  const handle: unknown = "_handle" in socket ? socket._handle : undefined;
  const fd: unknown = typeof handle === "object" && handle !== null && "fd" in handle ? handle.fd : undefined;
  if (typeof fd !== "number" || !Number.isSafeInteger(fd) || fd < 0)
    throw new TrustWardenError("workload_unattested", { reason: "no descriptor" });
  return fd;
}
