/**
 * Entries of the ledger on their way to another thread: one run of bytes that changes hands, where as many arrays of their own
 * would be copied one by one by the thread that leases and decisions wait for.
 */

/** Entries one behind the other, in memory of their own. */
export interface PackedEntries {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where each ends in `bytes`. */
  readonly ends: Uint32Array<ArrayBuffer>;
}

/** The entries in memory of their own, which may be handed on. */
export function packEntries(entries: readonly Uint8Array[]): PackedEntries {
  const bytes = new Uint8Array(entries.reduce((sum, { length }) => sum + length, 0));
  const ends = new Uint32Array(entries.length);
  let end = 0;
  for (const [index, entry] of entries.entries()) {
    bytes.set(entry, end);
    end += entry.length;
    ends[index] = end;
  }
  return { bytes, ends };
}

/** The entries again, as views of what was packed. */
export function unpackEntries({ bytes, ends }: PackedEntries): readonly Uint8Array[] {
  return Array.from(ends, (end, index) => bytes.subarray(index === 0 ? 0 : ends[index - 1], end));
}
