/**
 * The registration entries that this node may use: which of them a process matches, and what it lacks for the others.
 *
 * The server decides again with the owner's signature in hand; the node only saves it from being asked in vain. An entry
 * that strangers could match is not used here either, whatever the server says.
 */
import { digestOfEnrolment } from "@trustwarden/core/agentid/enrolment.ts";
import {
  formatSelector,
  formatSelectors,
  matches,
  parseSelectors,
  requireStrongSelectors,
  type Selector,
} from "@trustwarden/core/agentid/selector.ts";
import type { NodeEntriesAnswer } from "@trustwarden/core/api/registration.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** One entry as the node uses it. */
export interface NodeEntry {
  readonly entryId: string;
  /** What proofs of possession are bound to. */
  readonly enrolmentSha256: string;
  readonly selectors: readonly Selector[];
  /** Segments joined by `/`. */
  readonly path: string;
  readonly name: string;
  readonly hint: string;
}

/** One entry as a process sees it. */
export interface EntryExplanation {
  readonly entryId: string;
  readonly path: string;
  readonly name: string;
  /** Selectors that the entry asks for and the process has not; empty for a match. */
  readonly missing: readonly string[];
  /** Why the entry is used for nobody, or undefined. */
  readonly refused: string | undefined;
}

/** The entries of an answer, oldest first: of equal hints the oldest wins. @throws TrustWardenError `selector_malformed`. */
export function parseNodeEntries(entries: NodeEntriesAnswer["entries"]): readonly NodeEntry[] {
  return entries
    .map(({ entry_id, envelope, selectors, path, name, hint }) => ({
      entryId: entry_id,
      enrolmentSha256: digestOfEnrolment(envelope),
      selectors: parseSelectors(selectors),
      path,
      name,
      hint,
    }))
    .toSorted((left, right) => (left.entryId < right.entryId ? -1 : 1));
}

/** The entries that a process matches, in their order. @param nodeName - adds `node:<name>` to what the process has. */
export function matchEntries(
  entries: readonly NodeEntry[],
  selectors: readonly Selector[],
  nodeName: string,
): readonly NodeEntry[] {
  const known = withNode(selectors, nodeName);
  return entries.filter((entry) => whyRefused(entry) === undefined && matches(entry.selectors, known));
}

/** Every entry with what the process lacks for it, matches first, then the nearest. */
export function explainEntries(
  entries: readonly NodeEntry[],
  selectors: readonly Selector[],
  nodeName: string,
): readonly EntryExplanation[] {
  const known = new Set(formatSelectors(withNode(selectors, nodeName)));
  return entries
    .map((entry) => ({
      entryId: entry.entryId,
      path: entry.path,
      name: entry.name,
      missing: entry.selectors.map(formatSelector).filter((selector) => !known.has(selector)),
      refused: whyRefused(entry),
    }))
    .toSorted((left, right) => left.missing.length - right.missing.length);
}

function withNode(selectors: readonly Selector[], nodeName: string): readonly Selector[] {
  return [...selectors, { type: "node", value: nodeName }];
}

function whyRefused({ selectors }: NodeEntry): string | undefined {
  try {
    requireStrongSelectors(selectors);
    return undefined;
  } catch (error) {
    if (!(error instanceof TrustWardenError)) throw error;
    return error.code;
  }
}
