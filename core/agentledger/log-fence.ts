/**
 * The state of a log that has moved elsewhere: the last one, under a line that no checkpoint begins with. Every storage
 * keeps it as it keeps any state, by compare-and-swap, and no writer of any version goes on from it.
 */
import { TrustWardenError } from "../error.ts";
import type { LogState } from "./ports.ts";

/** A move was begun, and the new storage may have no state yet. */
const LEAVING = "trustwarden.dev/moving@v1\n";
/** The new storage has the state. */
const LEFT = "trustwarden.dev/moved@v1\n";

/** Whether the log has moved, or is about to. */
export function isFenced({ checkpoint }: LogState): boolean {
  return checkpoint.startsWith(LEAVING) || checkpoint.startsWith(LEFT);
}

/** Whether the move has ended: nothing that is here may begin a log elsewhere again. */
export function hasLeft({ checkpoint }: LogState): boolean {
  return checkpoint.startsWith(LEFT);
}

/** The state that fences its storage. */
export function fencedState(state: LogState): LogState {
  return { ...state, checkpoint: `${LEAVING}${state.checkpoint}` };
}

/** The fenced state of a storage whose log is elsewhere. */
export function leftState(state: LogState): LogState {
  return { ...state, checkpoint: `${LEFT}${state.checkpoint}` };
}

/** The state that was fenced. */
export function unfencedState(state: LogState): LogState {
  const { length } = hasLeft(state) ? LEFT : LEAVING;
  return { ...state, checkpoint: state.checkpoint.slice(length) };
}

/** @throws TrustWardenError `ledger_moved`: extending what is left here would sign a second history. */
export function requireUnfenced(state: LogState): void {
  if (!isFenced(state)) return;
  throw new TrustWardenError("ledger_moved", {
    size: state.size,
    next: "Name the storage that it was moved to in the setting `ledger`. What is here can be read and verified, and is never extended again.",
  });
}
