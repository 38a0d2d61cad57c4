/**
 * How entries reach the one sequencer of a ledger from servers that have none: asked for, durably, and answered once.
 *
 * Whoever asked may be gone before it is answered, and whoever sequenced before it has answered. So what was asked stays
 * until it is answered, and the next sequencer answers it from the ledger where it is in there already.
 *
 * @see docs/decisions/0053
 */
import type { ErrorCode } from "../error.ts";

/** Entries that go in as neighbours. */
export interface AskedAppend {
  /** Of these entries alone: whoever asks under an id that somebody asked under before gets the same answer. */
  readonly id: string;
  readonly entries: readonly Uint8Array[];
}

/** One that nobody has answered. */
export interface WaitingAppend extends AskedAppend {
  /** Unix milliseconds of the place where it waits. */
  readonly askedMs: number;
}

/** Where the first entry is, or why none is. */
export type AppendAnswer =
  | { readonly kind: "placed"; readonly index: number }
  | { readonly kind: "refused"; readonly code: ErrorCode };

/** Where appends wait. */
export interface AppendPost {
  /** Durable on return. @throws TrustWardenError `store_unavailable`: nobody knows whether it waits. */
  ask(asked: readonly AskedAppend[]): Promise<void>;
  /** Those of these that are answered. @throws TrustWardenError `store_unavailable`. */
  answersTo(ids: readonly string[]): Promise<ReadonlyMap<string, AppendAnswer>>;
  /** The oldest that are not answered. @throws TrustWardenError `store_unavailable`. */
  waiting(): Promise<readonly WaitingAppend[]>;
  /** Durable on return; an answer that is there stays. @throws TrustWardenError `store_unavailable`. */
  answer(answers: ReadonlyMap<string, AppendAnswer>): Promise<void>;
  /** Calls when something may have been asked or answered, and now and then without. */
  watch(onNews: () => void): void;
}
