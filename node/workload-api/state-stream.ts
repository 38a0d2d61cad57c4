/**
 * One server stream: the workload's state now, and again at each change, until either side ends it.
 *
 * While a message waits for a slow reader only the latest state is kept, which is enough because each is complete;
 * so a reader that never reads costs one message. Identical consecutive messages are sent once.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { WorkloadPeer, WorkloadSource, WorkloadState, WorkloadSubscription } from "../ports.ts";
import { grpcFailureOf } from "./grpc-status.ts";
import type { StreamCall } from "./protocol.ts";

/** What a stream needs. */
export interface StateStreamOptions<Response> {
  readonly call: StreamCall<Response>;
  readonly peer: WorkloadPeer;
  readonly source: WorkloadSource;
  readonly format: (state: WorkloadState) => Response;
  /** Bytes of a message, to compare two. */
  readonly serialize: (message: Response) => Buffer;
  /** Called once, when the stream is over. */
  readonly onClose: () => void;
}

/** Owns one call. Nothing is written after `end`, and the subscription never outlives the call. */
export class StateStream<Response> {
  readonly #options: StateStreamOptions<Response>;
  #subscription: WorkloadSubscription | undefined;
  #waiting: WorkloadState | undefined;
  #last: Buffer | undefined;
  #isWriting = false;
  #isEnded = false;

  constructor(options: StateStreamOptions<Response>) {
    this.#options = options;
    for (const event of ["cancelled", "close"]) options.call.once(event, () => this.#close());
  }

  /** Subscribes; every failure ends the call with its status. */
  async start(): Promise<void> {
    const { source, peer } = this.#options;
    try {
      const subscription = await source.subscribe(
        peer,
        (state) => this.#onState(state),
        (error) => this.end(error),
      );
      if (this.#isEnded) subscription.close();
      else this.#subscription = subscription;
    } catch (error) {
      this.end(error);
    }
  }

  /** Ends the call with the status of an error, behind what is already written. */
  end(error: unknown): void {
    if (this.#isEnded) return;
    this.#close();
    this.#options.call.emit("error", grpcFailureOf(error));
  }

  #onState(state: WorkloadState): void {
    if (this.#isEnded) return;
    this.#waiting = state;
    if (!this.#isWriting) this.#writeWaiting();
  }

  #writeWaiting(): void {
    const state = this.#waiting;
    this.#waiting = undefined;
    if (state === undefined || this.#isEnded) return;
    try {
      this.#write(state);
    } catch (error) {
      this.end(error);
    }
  }

  #write(state: WorkloadState): void {
    const { call, peer, format, serialize } = this.#options;
    if (!peer.isAlive()) throw new TrustWardenError("workload_gone", { pid: peer.pid });
    const message = format(state);
    const bytes = serialize(message);
    if (this.#last?.equals(bytes) === true) return;
    this.#last = bytes;
    this.#isWriting = true;
    call.write(message, () => {
      this.#isWriting = false;
      this.#writeWaiting();
    });
  }

  #close(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#waiting = undefined;
    this.#subscription?.close();
    this.#options.onClose();
  }
}
