/**
 * One server stream: a state now, and again at each change, until either side ends it.
 *
 * While a message waits for a slow reader only the latest state is kept, which is enough because each is complete;
 * so a reader that never reads costs one message. Identical consecutive messages are sent once.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { WorkloadPeer, WorkloadSubscription } from "../ports.ts";
import { grpcFailureOf } from "./grpc-status.ts";
import type { StreamCall } from "./protocol.ts";

/** What a stream needs. */
export interface StateStreamOptions<State, Response> {
  readonly call: Pick<StreamCall<Response>, "once" | "emit" | "write">;
  readonly peer: WorkloadPeer;
  /** Begins to follow the state. */
  readonly subscribe: (
    onState: (state: State) => void,
    onEnd: (error: unknown) => void,
  ) => Promise<WorkloadSubscription>;
  readonly format: (state: State) => Response;
  /** Bytes of a message, to compare two. */
  readonly serialize: (message: Response) => Buffer;
  /** Called once, when the stream is over. */
  readonly onClose: () => void;
}

/** Owns one call. Nothing is written after `end`, and the subscription never outlives the call. */
export class StateStream<State, Response> {
  readonly #options: StateStreamOptions<State, Response>;
  #subscription: WorkloadSubscription | undefined;
  #waiting: State | undefined;
  #last: Buffer | undefined;
  #isWriting = false;
  #isEnded = false;

  constructor(options: StateStreamOptions<State, Response>) {
    this.#options = options;
    for (const event of ["cancelled", "close"]) options.call.once(event, () => this.#close());
  }

  /** Subscribes; every failure ends the call with its status. */
  async start(): Promise<void> {
    try {
      const subscription = await this.#options.subscribe(
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

  #onState(state: State): void {
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

  #write(state: State): void {
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
