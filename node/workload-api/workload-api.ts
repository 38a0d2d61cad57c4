/**
 * The SPIFFE Workload API on a unix socket, over any source of identities.
 *
 * Used by the node daemon, whose source attests the caller, and by a launcher, whose socket only one process can reach.
 * No TLS and no client credentials, as the specification asks; who may connect is the socket's mode and directory.
 *
 * @see Workload Endpoint §3 to §7
 */
import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import { connect, createServer, type Server as SocketServer } from "node:net";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { openKernel } from "../attest/kernel.ts";
import { readPeerProcess } from "../attest/peer-process.ts";
import type { WorkloadSource } from "../ports.ts";
import { createAgentHandlers } from "./agent-handlers.ts";
import { Connections } from "./connections.ts";
import { requireSocketPath } from "./endpoint-address.ts";
import { Gate } from "./gate.ts";
import { createWorkloadHandlers } from "./handlers.ts";
import { AGENT_SERVICE, WORKLOAD_SERVICE } from "./protocol.ts";
import { addReflection } from "./reflection.ts";

/** Requests hold at most one token and eight audiences. */
const MAX_MESSAGE_BYTES = 65_536;
const MAX_STREAMS_PER_CONNECTION = 64;
/** A connection without a call is let go; clients connect again by themselves. */
const MAX_IDLE_MS = 60_000;
const KEEPALIVE_MS = 30_000;
const KEEPALIVE_TIMEOUT_MS = 10_000;
/** Memory of one HTTP/2 connection, in MB: headers and frames not yet taken. */
const MAX_SESSION_MEMORY_MB = 10;
const BACKLOG = 512;
/** For the last statuses to leave, when the endpoint closes. */
const DRAIN_MS = 200;
/** Any account may connect: each caller is attested, and the directory decides who reaches the socket at all. */
const DEFAULT_SOCKET_MODE = 0o666;

/** What an endpoint needs. */
export interface WorkloadApiOptions {
  readonly source: WorkloadSource;
  /** Absolute, at most 107 bytes. A socket that nobody listens on any more is replaced. */
  readonly socketPath: string;
  /** Of the socket's file; 0666 unless given. */
  readonly socketMode?: number;
  /** Unix seconds. */
  readonly now: () => number;
}

/** A running endpoint. */
export interface WorkloadApi {
  readonly socketPath: string;
  /** Open connections, for figures. */
  readonly connectionCount: () => number;
  /** Ends every call with Unavailable, and removes the socket. */
  close(): Promise<void>;
}

/**
 * Starts an endpoint.
 *
 * @throws TrustWardenError `endpoint_malformed`, `bind_refused` when another process listens there,
 *   `attestor_unavailable` on another system than Linux.
 */
export async function createWorkloadApi(options: WorkloadApiOptions): Promise<WorkloadApi> {
  const { source, now, socketMode = DEFAULT_SOCKET_MODE } = options;
  const socketPath = requireSocketPath(options.socketPath);
  const kernel = await openKernel();
  const connections = new Connections((fd) => readPeerProcess(kernel, fd));
  const context = { source, now, gate: new Gate(connections.byId) };
  const grpc = new Server({
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_concurrent_streams": MAX_STREAMS_PER_CONNECTION,
    "grpc.max_connection_idle_ms": MAX_IDLE_MS,
    "grpc.keepalive_time_ms": KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
    "grpc-node.max_session_memory": MAX_SESSION_MEMORY_MB,
    "grpc.enable_channelz": 0,
  });
  grpc.addService(WORKLOAD_SERVICE, createWorkloadHandlers(context));
  grpc.addService(AGENT_SERVICE, createAgentHandlers(context));
  addReflection(grpc);
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const listener = createServer((socket) => connections.accept(socket, injector));
  try {
    await listen(listener, { socketPath, socketMode });
  } catch (error) {
    connections.close(error);
    throw error;
  }
  return {
    socketPath,
    connectionCount: () => connections.byId.size,
    close: async () => {
      const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
      connections.close(new TrustWardenError("server_unreachable", { reason: "closing" }));
      injector.drain(DRAIN_MS);
      setTimeout(() => {
        for (const { socket } of connections.byId.values()) socket.destroy();
      }, DRAIN_MS);
      await closed;
      grpc.forceShutdown();
    },
  };
}

async function listen(
  listener: SocketServer,
  { socketPath, socketMode }: { readonly socketPath: string; readonly socketMode: number },
): Promise<void> {
  await removeStale(socketPath);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  listener.once("error", (cause) => reject(new TrustWardenError("bind_refused", { socketPath }, { cause })));
  listener.listen({ path: socketPath, backlog: BACKLOG }, resolve);
  await promise;
  chmodSync(socketPath, socketMode);
}

/** A socket of a process that is gone is in the way; one that answers, or any other file, is somebody else's. */
async function removeStale(socketPath: string): Promise<void> {
  const found = lstatSync(socketPath, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new TrustWardenError("bind_refused", { socketPath, reason: "not a socket" });
  if (await isAnswered(socketPath))
    throw new TrustWardenError("bind_refused", { socketPath, reason: "in use" });
  unlinkSync(socketPath);
}

function isAnswered(socketPath: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(socketPath);
  socket.once("connect", () => resolve(true));
  socket.once("error", () => resolve(false));
  return promise.finally(() => socket.destroy());
}
