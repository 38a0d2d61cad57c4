/**
 * What servers that share a store keep for one another beside the state: small texts under names, each replaced over exactly
 * the one that was read.
 *
 * Nothing here allows anything by itself: a place from which to go on, a note of witnesses that is verified again by whoever
 * reads it, a receiver's stream, a key that is sealed under one that the store never sees.
 *
 * @see docs/decisions/0064
 */
import { TrustWardenError } from "./error.ts";

/** What notes are about. */
export type NoteKind = "sink" | "witnessed" | "ssf" | "secret-key";

/** A text as it was read. */
export interface Note {
  readonly name: string;
  /** Of this text; it never comes twice under one name. */
  readonly revision: number;
  readonly body: string;
}

/** Where notes are kept. */
export interface Notes {
  /** @throws TrustWardenError `store_unavailable`. */
  readAll(kind: NoteKind): Promise<readonly Note[]>;
  /** @throws TrustWardenError `store_unavailable`. */
  read(kind: NoteKind, name: string): Promise<Note | undefined>;
  /**
   * Durable on return.
   *
   * @param note.revision - of what is replaced; 0 where there is nothing.
   * @param note.body - null takes it away.
   * @returns the new revision; null where another server was faster, and nothing was kept.
   * @throws TrustWardenError `store_unavailable`: nobody knows whether it was kept.
   */
  keep(note: {
    readonly kind: NoteKind;
    readonly name: string;
    readonly revision: number;
    readonly body: string | null;
  }): Promise<number | null>;
}

/** Somebody is faster only while both have the same work, which is for a moment. */
const MAX_TRIES = 16;

/**
 * Keeps a text unless one that is at least as far is there: of two servers that did the same work, the one that came further
 * is right.
 *
 * @param options.isAhead - whether a kept text is at least as far as this one.
 * @throws TrustWardenError `store_unavailable`.
 */
export async function keepFurthest(
  notes: Notes,
  options: {
    readonly kind: NoteKind;
    readonly name: string;
    readonly body: string;
    readonly isAhead: (kept: string) => boolean;
  },
): Promise<void> {
  const { kind, name, body, isAhead } = options;
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    const kept = await notes.read(kind, name);
    if (kept !== undefined && isAhead(kept.body)) return;
    if ((await notes.keep({ kind, name, revision: kept?.revision ?? 0, body })) !== null) return;
  }
  throw new TrustWardenError("store_unavailable", { reason: "others were faster", kind, name });
}
