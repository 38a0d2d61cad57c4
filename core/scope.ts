/**
 * The scope algebra: which actions a set of permissions `verb:type[:path]` means, and when one set is within another.
 *
 * `*` stands for one whole word or segment, `**` for zero or more segments and only at the end; no path means `**`.
 * Because the words are unbounded and `*` never stands before `**`, a union of atoms covers an atom only when one of
 * them does alone, so comparing atom by atom is sound and complete. Deliberately no negative scopes, no partial
 * wildcards, no decoding: each of them has let a child out of its parent somewhere.
 *
 * @see ARCHITECTURE.md, "Scope grammar".
 */
import { type ActionName, parseActionName, SEGMENT_PATTERN, WORD_PATTERN } from "./action.ts";
import { TrustWardenError } from "./error.ts";

/** Longest atom. */
const MAX_ATOM_CHARS = 256;
/** Most atoms of one identity, counted as written, so that a set of 10,000 duplicates costs nothing. */
const MAX_ATOMS = 64;

const WORD = `(?:\\*|${WORD_PATTERN})`;
const SEGMENT = `(?:\\*|${SEGMENT_PATTERN})`;
/** A path: `**`, or segments that may end in `/**` unless the segment before is `*`. */
const PATH = `(?:\\*\\*|${SEGMENT}(?:/${SEGMENT})*(?:(?<!\\*)/\\*\\*)?)`;
const ATOM = new RegExp(`^${WORD}:${WORD}(?::${PATH})?$`);
const WILDCARD_VERB_OR_TYPE = /^(?:\*:|[^:]*:\*(?::|$))/;

/** Code units of the only three characters with a meaning. */
const COLON = 0x3a;
const SLASH = 0x2f;
const STAR = 0x2a;
/** Where there is no word to match. */
const NO_WORD = -1;

declare const scopeBrand: unique symbol;

/** A set of permissions in canonical form: sorted, deduplicated, covered atoms removed. Empty means nothing. */
export type Scope = readonly string[] & { readonly [scopeBrand]: true };

/** A parent's scope and a child's. */
export interface ScopePair {
  readonly parent: Scope;
  readonly child: Scope;
}

/**
 * A scope from untrusted atoms, in canonical form. One bad spelling rejects the whole set: a reader that skipped the
 * atoms it does not know would disagree with one that knows them.
 *
 * @throws TrustWardenError `scope_malformed`.
 */
export function parseScope(atoms: readonly string[]): Scope {
  if (!Array.isArray(atoms)) throw new TrustWardenError("scope_malformed", { reason: "not a list" });
  if (atoms.length > MAX_ATOMS)
    throw new TrustWardenError("scope_malformed", { atoms: atoms.length, maxAtoms: MAX_ATOMS });
  const distinct = [...new Set(Array.from(atoms, parseAtom))].sort();
  const kept = distinct.filter(
    (atom) => !distinct.some((other) => other !== atom && coversAtom(other, atom)),
  );
  // The one cast of this parser: every atom was just proven, and the set is canonical.
  return Object.freeze(kept) as readonly string[] as Scope;
}

/** Whether the scope permits the action: one walk over at most 64 atoms of 256 characters, without allocating. */
export function isCovered(scope: Scope, action: ActionName): boolean {
  return scope.some((atom) => coversAtom(atom, action));
}

/** Whether every action that the child may do is one that the parent may do. */
export function isSubset({ parent, child }: ScopePair): boolean {
  return child.every((atom) => isAtomCovered(parent, atom));
}

/** Whether the child is within the parent and lacks at least one action of it. */
export function isStrictSubset({ parent, child }: ScopePair): boolean {
  return isSubset({ parent, child }) && !isSubset({ parent: child, child: parent });
}

/**
 * A concrete action that the child could do and the parent could not, or undefined exactly when the child is a subset.
 *
 * Wildcards are filled with one word that the parent never uses: only a parent's wildcard can match it, and that
 * would have covered the child's. For an open end, paths of growing length are tried: a parent's atom of fixed length
 * matches one of them, and one that is longer and open ends in a word, which the fresh one is not.
 */
export function findCounterexample({ parent, child }: ScopePair): ActionName | undefined {
  const atom = child.find((candidate) => !isAtomCovered(parent, candidate));
  if (atom === undefined) return undefined;
  const fresh = findFreshWord(parent);
  const { stem, isOpen } = splitOpenEnd(atom);
  const filled = stem.split(":").map((part) =>
    part
      .split("/")
      .map((word) => (word === "*" ? fresh : word))
      .join("/"),
  );
  for (let extra = 0; extra <= (isOpen ? parent.length : 0); extra += 1) {
    const action = parseActionName(extendPath(filled.join(":"), fresh, extra));
    if (!isCovered(parent, action)) return action;
  }
  throw new Error("an atom that no atom covers has a counter-example");
}

/** Whether an atom reaches every verb or every type; such a scope is warned of and limited to one hour. */
export function hasWildcardVerbOrType(scope: Scope): boolean {
  return scope.some((atom) => WILDCARD_VERB_OR_TYPE.test(atom));
}

/** One atom, with `verb:type:**` in its shorter spelling. */
function parseAtom(text: unknown): string {
  if (typeof text !== "string" || text.length > MAX_ATOM_CHARS || !ATOM.test(text)) {
    throw new TrustWardenError("scope_malformed", { chars: typeof text === "string" ? text.length : -1 });
  }
  const [verb = "", type = "", path = "**"] = text.split(":");
  return path === "**" ? `${verb}:${type}` : text;
}

function isAtomCovered(scope: Scope, atom: string): boolean {
  return scope.some((other) => coversAtom(other, atom));
}

/**
 * Whether one canonical atom covers another, or an action, by walking both at once.
 *
 * An atom without a path covers everything below it; an action without a path has no segments. Both readings agree
 * here: what has no path is covered only by what has none.
 */
function coversAtom(parent: string, child: string): boolean {
  let childAt = 0;
  for (let parentAt = 0; parentAt < parent.length; parentAt += 1) {
    const unit = parent.charCodeAt(parentAt);
    if (unit === STAR) {
      if (isDoubleStar(parent, parentAt)) return true;
      childAt = endOfWord(child, childAt);
      if (childAt === NO_WORD) return false;
    } else if (unit === child.charCodeAt(childAt)) {
      childAt += 1;
    } else {
      return childAt === child.length && isOpenEnd(parent, parentAt);
    }
  }
  // A second colon here is the child's path below a parent without one; nowhere else can a colon be left over.
  return childAt === child.length || child.charCodeAt(childAt) === COLON;
}

/** Index after the word that starts here; `NO_WORD` at the end of the text, and for an open end, which is no word. */
function endOfWord(text: string, from: number): number {
  if (from >= text.length || isDoubleStar(text, from)) return NO_WORD;
  let index = from;
  while (index < text.length) {
    const unit = text.charCodeAt(index);
    if (unit === COLON || unit === SLASH) return index;
    index += 1;
  }
  return index;
}

function isDoubleStar(text: string, at: number): boolean {
  return text.charCodeAt(at) === STAR && text.charCodeAt(at + 1) === STAR;
}

/** Whether only a slash and two stars are left: zero segments more, or any number of them. */
function isOpenEnd(text: string, at: number): boolean {
  return text.charCodeAt(at) === SLASH && isDoubleStar(text, at + 1);
}

/** A word that no atom of the scope contains; short, since a counter-example must fit into an action. */
function findFreshWord(scope: Scope): string {
  const used = new Set(scope.flatMap((atom) => atom.split(/[:/]/)));
  let number = 0;
  while (used.has(`x${number.toString(36)}`)) number += 1;
  return `x${number.toString(36)}`;
}

/** The atom without its open end, and whether it has one. */
function splitOpenEnd(atom: string): { readonly stem: string; readonly isOpen: boolean } {
  if (atom.endsWith("/**")) return { stem: atom.slice(0, -"/**".length), isOpen: true };
  return { stem: atom, isOpen: atom.split(":").length === 2 };
}

/** The action with `count` more segments. */
function extendPath(action: string, segment: string, count: number): string {
  if (count === 0) return action;
  const tail = Array.from({ length: count }, () => segment).join("/");
  return `${action}${action.split(":").length === 2 ? ":" : "/"}${tail}`;
}
