/**
 * The registration entries that this node may use: which of them a process matches, and what it lacks for the others.
 *
 * The server decides again with the owner's signature in hand; the node only saves it from being asked in vain. An entry
 * that strangers could match is not used here either, whatever the server says.
 *
 * An entry may ask for what its agent is made of. That is not read off a process: the operator of the node declares it
 * for the agent, and what is declared is compared at each look, so that drift ends the match as another program does.
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
  /** What the node's operator declares of its agent, taken now. @throws TrustWardenError `config_invalid`. */
  readonly declared: () => readonly Selector[];
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

/**
 * The entries of an answer, oldest first: of equal hints the oldest wins.
 *
 * @param declaredOf - the selectors of an agent's composition, by its path and name.
 * @throws TrustWardenError `selector_malformed`.
 */
export function parseNodeEntries(
  entries: NodeEntriesAnswer["entries"],
  declaredOf: (agent: string) => readonly Selector[],
): readonly NodeEntry[] {
  return entries
    .map(({ entry_id, envelope, selectors, path, name, hint }) => ({
      entryId: entry_id,
      enrolmentSha256: digestOfEnrolment(envelope),
      selectors: parseSelectors(selectors),
      path,
      name,
      hint,
      declared: () => declaredOf(formatAgent({ path, name })),
    }))
    .toSorted((left, right) => (left.entryId < right.entryId ? -1 : 1));
}

/** `path/name`, as compositions name agents. */
export function formatAgent({ path, name }: Pick<NodeEntry, "path" | "name">): string {
  return path === "" ? name : `${path}/${name}`;
}

/** The entries that a process matches, in their order. @param nodeName - adds `node:<name>` to what the process has. */
export function matchEntries(
  entries: readonly NodeEntry[],
  selectors: readonly Selector[],
  nodeName: string,
): readonly NodeEntry[] {
  const own = withNode(selectors, nodeName);
  return entries.filter((entry) => {
    const { known, refused } = standingOf(entry, own);
    return refused === undefined && matches(entry.selectors, known);
  });
}

/** Every entry with what the process lacks for it, matches first, then the nearest. */
export function explainEntries(
  entries: readonly NodeEntry[],
  selectors: readonly Selector[],
  nodeName: string,
): readonly EntryExplanation[] {
  const own = withNode(selectors, nodeName);
  return entries
    .map((entry) => {
      const { known, refused } = standingOf(entry, own);
      const texts = new Set(formatSelectors(known));
      const missing = entry.selectors.map(formatSelector).filter((selector) => !texts.has(selector));
      return { entryId: entry.entryId, path: entry.path, name: entry.name, missing, refused };
    })
    .toSorted((left, right) => left.missing.length - right.missing.length);
}

function withNode(selectors: readonly Selector[], nodeName: string): readonly Selector[] {
  return [...selectors, { type: "node", value: nodeName }];
}

/** What may be compared with an entry, or why it is used for nobody: what cannot be measured now matches nothing. */
function standingOf(
  { selectors, declared }: NodeEntry,
  own: readonly Selector[],
): { readonly known: readonly Selector[]; readonly refused: string | undefined } {
  try {
    requireStrongSelectors(selectors);
    const isMeasured = selectors.some(({ type }) => type === "composition");
    return { known: isMeasured ? [...own, ...declared()] : own, refused: undefined };
  } catch (error) {
    if (!(error instanceof TrustWardenError)) throw error;
    return { known: own, refused: error.code };
  }
}
