/**
 * Follows one stream of the Workload API: every message is the whole state, read and proven before anybody hears of it.
 *
 * A message that is not believed is discarded, and the stream stays, since the next one is the whole state again; when
 * none comes, the endpoint is asked anew. A stream that ends is opened again with a backoff, unless the endpoint said that
 * asking again is of no use.
 *
 * @see SPIFFE_Workload_Endpoint.md §6, Appendix A; SPIFFE_Workload_API.md §4.2 to §4.5
 */
import { setTimeout as sleep } from "node:timers/promises";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { jitter, type Runtime } from "../runtime.ts";
import type { Transport } from "./grpc-transport.ts";

/** Between attempts; doubled each time, with jitter, up to the longest. */
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;
const NOTHING = new Uint8Array();
/** InvalidArgument and Unimplemented: "report an error, do not retry". */
const FINAL: readonly unknown[] = ["3", "12"];

/** Who hears of changes. */
export interface Watcher<State> {
  /** The whole state, at once and at each change. */
  readonly onState: (state: State) => void;
  /**
   * The watch was interrupted, or a message was not believed; it goes on by itself. With `no_identity` the last state is
   * withdrawn: stop using it.
   */
  readonly onError: (error: TrustWardenError) => void;
  /** The endpoint does not take the call at all, and asking again is of no use: the watch is over. Heard after `onError`. */
  readonly onEnd?: (error: TrustWardenError) => void;
}

/** What is watched. */
export interface Watched<State> {
  readonly transport: Transport;
  readonly path: string;
  /** @throws TrustWardenError for a message that nobody may believe. */
  readonly read: (message: Uint8Array) => State;
  readonly runtime: Runtime;
}

/** Returns what ends the watch. */
export function watchState<State>(
  watched: Watched<State>,
  watcher: Watcher<State>,
): { readonly close: () => void } {
  const ending = new AbortController();
  // What the watcher itself throws is a bug of the caller's, and ends the process like any other.
  void keepWatching(watched, watcher, ending.signal);
  return { close: () => ending.abort() };
}

async function keepWatching<State>(
  watched: Watched<State>,
  watcher: Watcher<State>,
  signal: AbortSignal,
): Promise<void> {
  let delayMs = FIRST_DELAY_MS;
  while (!signal.aborted) {
    const waitMs = delayMs * (0.5 + jitter(watched.runtime));
    const { error, hasSpoken, hasWaited } = await followOnce(watched, watcher, { signal, waitMs });
    if (signal.aborted) return;
    if (error !== null) watcher.onError(error);
    if (error !== null && FINAL.includes(error.details.status)) return watcher.onEnd?.(error);
    if (hasSpoken) delayMs = FIRST_DELAY_MS;
    if (!hasWaited) await pause(delayMs * (0.5 + jitter(watched.runtime)), signal);
    delayMs = Math.min(2 * delayMs, LONGEST_DELAY_MS);
  }
}

/** How one call went. */
interface EndedCall {
  /** Null when the watcher has heard already why it is over. */
  readonly error: TrustWardenError | null;
  /** A state was believed. */
  readonly hasSpoken: boolean;
  /** The call was given up because nothing believable came for `waitMs`. */
  readonly hasWaited: boolean;
}

/** One call to its end. */
async function followOnce<State>(
  { transport, path, read }: Watched<State>,
  { onState, onError }: Watcher<State>,
  { signal, waitMs }: { readonly signal: AbortSignal; readonly waitMs: number },
): Promise<EndedCall> {
  let hasSpoken = false;
  let isDoubted = false;
  let hasWaited = false;
  let givingUp: NodeJS.Timeout | undefined;
  const call = transport.open(path, NOTHING, (message) => {
    // One piece of the stream may hold several messages, and the watcher may have ended the watch upon the one before.
    if (signal.aborted) return;
    const state = believe(read, message);
    clearTimeout(givingUp);
    isDoubted = state instanceof TrustWardenError;
    if (state instanceof TrustWardenError) {
      onError(state);
      givingUp = setTimeout(() => {
        hasWaited = true;
        call.cancel();
      }, waitMs).unref();
      return;
    }
    hasSpoken = true;
    onState(state);
  });
  signal.addEventListener("abort", call.cancel, { once: true });
  const ended = await call.ended.then(
    () => new TrustWardenError("server_unreachable", { status: "0" }),
    asOurs,
  );
  signal.removeEventListener("abort", call.cancel);
  clearTimeout(givingUp);
  // An endpoint that ends the call behind a message that was not believed has said nothing new.
  const isTold = hasWaited || (isDoubted && ended.details.status === "0");
  return { error: isTold ? null : ended, hasSpoken, hasWaited };
}

/** The state of a message, or why it is discarded. */
function believe<State>(read: (message: Uint8Array) => State, message: Uint8Array): State | TrustWardenError {
  try {
    return read(message);
  } catch (error) {
    return asOurs(error);
  }
}

/** What a message handler threw is ours or a bug; a bug is thrown on. */
function asOurs(error: unknown): TrustWardenError {
  if (error instanceof TrustWardenError) return error;
  throw error;
}

/** Over at once when the watch is, also when it was before. */
async function pause(timeMs: number, signal: AbortSignal): Promise<void> {
  // Safe: nothing but the signal ends it early, and whoever waits looks at that.
  await sleep(timeMs, undefined, { signal }).catch(() => undefined);
}
