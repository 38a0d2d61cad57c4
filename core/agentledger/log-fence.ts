/**
 * The state of a log that has moved elsewhere: the last one, under a line that no checkpoint begins with. Every storage
 * keeps it as it keeps any state, by compare-and-swap, and no writer of any version goes on from it.
 */
import { TrustWardenError } from "../error.ts";
import type { LogState } from "./ports.ts";

const FENCE = "trustwarden.dev/moved@v1\n";

/** Whether the log has moved. */
export function isFenced({ checkpoint }: LogState): boolean {
  return checkpoint.startsWith(FENCE);
}

/** The state that fences its storage. */
export function fencedState(state: LogState): LogState {
  return { ...state, checkpoint: `${FENCE}${state.checkpoint}` };
}

/** The state that was fenced. */
export function unfencedState(state: LogState): LogState {
  return { ...state, checkpoint: state.checkpoint.slice(FENCE.length) };
}

/** @throws TrustWardenError `ledger_moved`: extending what is left here would sign a second history. */
export function requireUnfenced(state: LogState): void {
  if (!isFenced(state)) return;
  throw new TrustWardenError("ledger_moved", {
    size: state.size,
    next: "Name the storage that it was moved to in the setting `ledger`. What is here can be read and verified, and is never extended again.",
  });
}
