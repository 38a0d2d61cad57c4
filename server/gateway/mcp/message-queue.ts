/** Messages of a process that wait for the one call that reads them. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { RpcMessage } from "@trustwarden/core/gateway/mcp/json-rpc.ts";

/** A call that reads slower than its server talks is ended, not buffered for ever. */
const MAX_WAITING = 1024;

/** Owns what one reader has not read yet. */
export class MessageQueue {
  readonly #messages: RpcMessage[] = [];
  #reader: PromiseWithResolvers<RpcMessage> | undefined;
  #failure: TrustWardenError | undefined;
  #isAnswered = false;

  constructor(signal: AbortSignal) {
    const stop = (): void => this.#stop(new TrustWardenError("call_aborted"));
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  }

  /** Whether an answer came in. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  push(message: RpcMessage): void {
    if (message.kind === "result" || message.kind === "failure") this.#isAnswered = true;
    const reader = this.#reader;
    this.#reader = undefined;
    if (reader === undefined) this.#messages.push(message);
    else reader.resolve(message);
    if (this.#messages.length > MAX_WAITING)
      this.#stop(new TrustWardenError("upstream_answer_refused", { reason: "too much at once" }));
  }

  /** The process is gone. */
  fail(): void {
    this.#stop(new TrustWardenError("upstream_unreachable", { reason: "the process ended" }));
  }

  /** @throws TrustWardenError `call_aborted`, `upstream_unreachable`, `upstream_answer_refused`. */
  next(): Promise<RpcMessage> {
    const message = this.#messages.shift();
    if (message !== undefined) return Promise.resolve(message);
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#reader = Promise.withResolvers<RpcMessage>();
    return this.#reader.promise;
  }

  #stop(failure: TrustWardenError): void {
    this.#failure ??= failure;
    this.#reader?.reject(this.#failure);
    this.#reader = undefined;
  }
}
