/**
 * The gate before every method of the socket: the header, the limits, and which process is asking.
 *
 * A caller is known by its connection alone; nothing that it says names it. A process that ended takes its calls with it,
 * also when a child inherited the socket: the child is somebody else.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { WorkloadPeer } from "../ports.ts";
import { CallCounter, requireSecurityHeader } from "./call-checks.ts";
import type { AnyCall } from "./protocol.ts";

/** A connection as the gate sees it. */
export interface GatedConnection {
  readonly peer: WorkloadPeer;
  /** Ended, with the reason, when the process is gone or the endpoint closes. */
  readonly calls: Set<(error: unknown) => void>;
}

/** A call that passed. */
export interface Entered {
  readonly peer: WorkloadPeer;
  /** Gives the call's place back. */
  readonly leave: () => void;
}

/** Owns the count of calls; reads the connections. */
export class Gate {
  readonly #connections: ReadonlyMap<string, GatedConnection>;
  readonly #counter = new CallCounter();

  /** @param connections - by the name in `call.getPeer()`. */
  constructor(connections: ReadonlyMap<string, GatedConnection>) {
    this.#connections = connections;
  }

  /**
   * @param end - called when the connection's process is gone.
   * @throws GrpcFailure for the header; TrustWardenError `workload_gone`, `rate_limited`.
   */
  enter(call: AnyCall, end: (error: unknown) => void): Entered {
    requireSecurityHeader(call.metadata);
    const { peer, calls } = this.#connectionOf(call);
    const giveBack = this.#counter.enter(peer.pid);
    calls.add(end);
    return {
      peer,
      leave: () => {
        calls.delete(end);
        giveBack();
      },
    };
  }

  /** The process that asks, which still runs. @throws TrustWardenError `workload_gone`. */
  peerOf(call: AnyCall): WorkloadPeer {
    return this.#connectionOf(call).peer;
  }

  #connectionOf(call: AnyCall): GatedConnection {
    const connection = this.#connections.get(call.getPeer());
    if (connection === undefined) throw new TrustWardenError("workload_gone", { reason: "no connection" });
    const { pid, isAlive } = connection.peer;
    if (!isAlive()) throw new TrustWardenError("workload_gone", { pid });
    return connection;
  }
}
