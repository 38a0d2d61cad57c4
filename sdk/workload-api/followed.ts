/**
 * The latest state of one watch, for who needs it now rather than when it changes.
 *
 * Owns the client of the watch, and the state: undefined until the first one came, and again from the moment the endpoint
 * withdrew it or ended the watch.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { systemRuntime } from "../runtime.ts";
import type { Watcher } from "./watch.ts";
import {
  DEFAULT_TIMEOUT_MS,
  type WorkloadApiClient,
  type WorkloadApiOptions,
} from "./workload-api-client.ts";

/** How a source tells what happens behind it; notices of the process unless given. */
export interface SourceEvents {
  /** There is a state, another one, or none any more. */
  readonly onChange?: () => void;
  /** The stream was interrupted, or an answer was not believed; the source goes on with what it has. */
  readonly onError?: (error: TrustWardenError) => void;
}

/** Follows one stream of a client. */
type Watch<State> = (watcher: Watcher<State>) => { readonly close: () => void };

export class Followed<State> {
  readonly #client: WorkloadApiClient;
  readonly #watch: ReturnType<Watch<State>>;
  #state: State | undefined;
  /** Why there is no state. */
  #lack = new TrustWardenError("server_unreachable", { reason: "nothing was answered yet" });

  private constructor(client: WorkloadApiClient, watch: Watch<State>, watcher: Watcher<State>) {
    this.#client = client;
    this.#watch = watch({
      ...watcher,
      onState: (state) => {
        this.#state = state;
        watcher.onState(state);
      },
      onError: (error) => {
        // Silence withdraws nothing; the endpoint's own word does.
        if (error.code === "no_identity") this.#state = undefined;
        if (this.#state === undefined) this.#lack = error;
        watcher.onError(error);
      },
      onEnd: (error) => {
        // From here on nobody would tell what is withdrawn, so nothing counts any more.
        this.#state = undefined;
        this.#lack = error;
        watcher.onEnd?.(error);
      },
    });
  }

  /**
   * Resolves with the first state; what could not be opened leaves no connection behind.
   *
   * @throws TrustWardenError the last failure, when no state came in time or the endpoint does not take the call.
   */
  static async open<State>(
    client: WorkloadApiClient,
    watch: Watch<State>,
    options: SourceEvents & Pick<WorkloadApiOptions, "timeoutMs" | "runtime">,
  ): Promise<Followed<State>> {
    const { timeoutMs = DEFAULT_TIMEOUT_MS, runtime = systemRuntime } = options;
    const first = Promise.withResolvers<void>();
    let isOpen = false;
    const tell = (error: TrustWardenError) =>
      runtime.notify({ code: error.code, what: "The Workload API was interrupted.", details: error.details });
    const followed = new Followed(client, watch, {
      onState: () => {
        first.resolve();
        options.onChange?.();
      },
      onError: (error) => {
        if (isOpen) (options.onError ?? tell)(error);
        if (isOpen && error.code === "no_identity") options.onChange?.();
      },
      onEnd: (error) => {
        first.reject(error);
        if (isOpen) options.onChange?.();
      },
    });
    const timer = setTimeout(() => first.reject(followed.#lack), timeoutMs);
    try {
      await first.promise;
      isOpen = true;
      return followed;
    } catch (error) {
      followed.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** @throws TrustWardenError `no_identity`, `identity_closed`; what ended the watch, when the endpoint takes the call no more. */
  current(): State {
    if (this.#state === undefined) throw this.#lack;
    return this.#state;
  }

  close(): void {
    this.#watch.close();
    this.#client.close();
    this.#state = undefined;
    this.#lack = new TrustWardenError("identity_closed");
  }
}
