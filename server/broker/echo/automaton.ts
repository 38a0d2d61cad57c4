/**
 * Finds many byte strings in one pass: Aho-Corasick over a trie of first child and next sibling.
 *
 * Amortised linear in the input whatever the patterns are. Sparse on purpose: a dense table of a secret of 4 KiB in a
 * dozen forms would take a hundred megabytes. The root alone is dense, since almost every byte of ordinary text is
 * looked up there.
 *
 * @see Aho, Corasick, "Efficient string matching: an aid to bibliographic search", CACM 18(6), 1975
 */

/** One string to find. */
export interface Pattern {
  readonly bytes: Uint8Array;
  /** Whose it is. */
  readonly owner: number;
}

const ROOT = 0;
const NONE = -1;
const BYTES = 256;

/** Immutable once made; a state is a number, so that any number of streams may share it. */
export class Automaton {
  /** Where every stream begins. */
  static readonly ROOT = ROOT;
  /** Longest pattern. */
  readonly maxLength: number;
  readonly #rootChildren = new Int32Array(BYTES);
  readonly #byte: Uint8Array;
  readonly #firstChild: Int32Array;
  readonly #sibling: Int32Array;
  readonly #fail: Int32Array;
  readonly #depth: Int32Array;
  /** Length of the longest pattern that ends in a state; 0 for none. It contains every shorter one that ends there. */
  readonly #match: Int32Array;
  /** Owners of the patterns that end exactly in a state. */
  readonly #owners = new Map<number, Set<number>>();
  /** Next state on the way of suffixes in which a pattern ends, or the root. */
  readonly #output: Int32Array;
  #size = 1;

  constructor(patterns: readonly Pattern[]) {
    const capacity = 1 + patterns.reduce((sum, { bytes }) => sum + bytes.length, 0);
    this.#byte = new Uint8Array(capacity);
    this.#firstChild = new Int32Array(capacity).fill(NONE);
    this.#sibling = new Int32Array(capacity).fill(NONE);
    this.#fail = new Int32Array(capacity);
    this.#depth = new Int32Array(capacity);
    this.#match = new Int32Array(capacity);
    this.#output = new Int32Array(capacity);
    for (const pattern of patterns) this.#add(pattern);
    this.#link();
    this.maxLength = this.#match.reduce((max, length) => Math.max(max, length), 0);
  }

  /** The state after one more byte. */
  next(state: number, byte: number): number {
    let at = state;
    for (;;) {
      if (at === ROOT) return this.#rootChildren[byte] ?? ROOT;
      const child = this.#childOf(at, byte);
      if (child !== NONE) return child;
      at = this.#fail[at] ?? ROOT;
    }
  }

  /** How many of the last bytes may be the beginning of a pattern. */
  depthOf(state: number): number {
    return this.#depth[state] ?? 0;
  }

  /** How many of the last bytes are a pattern; 0 for none. */
  matchOf(state: number): number {
    return this.#match[state] ?? 0;
  }

  /** Owners of all patterns that end here. */
  ownersOf(state: number): readonly number[] {
    const found: number[] = [];
    for (let at = state; at !== ROOT; at = this.#output[at] ?? ROOT) {
      found.push(...(this.#owners.get(at) ?? []));
    }
    return found;
  }

  #childOf(state: number, byte: number): number {
    let child = this.#firstChild[state] ?? NONE;
    while (child !== NONE && this.#byte[child] !== byte) child = this.#sibling[child] ?? NONE;
    return child;
  }

  #add({ bytes, owner }: Pattern): void {
    if (bytes.length === 0) throw new Error("a pattern has at least one byte");
    let at = ROOT;
    for (const byte of bytes) {
      const child = this.#childOf(at, byte);
      at = child === NONE ? this.#grow(at, byte) : child;
    }
    this.#match[at] = bytes.length;
    this.#owners.set(at, (this.#owners.get(at) ?? new Set()).add(owner));
  }

  #grow(parent: number, byte: number): number {
    const state = this.#size;
    this.#size += 1;
    this.#byte[state] = byte;
    this.#depth[state] = (this.#depth[parent] ?? 0) + 1;
    this.#sibling[state] = this.#firstChild[parent] ?? NONE;
    this.#firstChild[parent] = state;
    if (parent === ROOT) this.#rootChildren[byte] = state;
    return state;
  }

  /** Breadth first: the failure of a state is shallower than the state, and so is known before. */
  #link(): void {
    const queue: number[] = [...this.#childrenOf(ROOT)];
    for (let index = 0; index < queue.length; index += 1) {
      const state = queue[index] ?? ROOT;
      const fail = this.#fail[state] ?? ROOT;
      this.#output[state] = this.#owners.has(fail) ? fail : (this.#output[fail] ?? ROOT);
      // A state's own pattern, when it has one, is longer than any that ends in its failure.
      if (!this.#owners.has(state)) this.#match[state] = this.#match[fail] ?? 0;
      for (const child of this.#childrenOf(state)) {
        this.#fail[child] = this.next(fail, this.#byte[child] ?? 0);
        queue.push(child);
      }
    }
  }

  *#childrenOf(state: number): Generator<number> {
    for (let child = this.#firstChild[state] ?? NONE; child !== NONE; child = this.#sibling[child] ?? NONE) {
      yield child;
    }
  }
}
