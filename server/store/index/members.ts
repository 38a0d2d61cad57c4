/**
 * Which events of one block have a property: sorted numbers while they are few, a bitmap when they are many.
 *
 * The two forms of a roaring bitmap's containers. A block is 65,536 events, so that a number fits 16 bits and no set is
 * larger than 8 KiB; an intersection of any sets of a block costs microseconds, however large they are. Bytes are in this
 * machine's order: the index never leaves it.
 */

/** Events of a block. */
export const BLOCK_EVENTS = 65_536;
const WORDS = BLOCK_EVENTS / 32;
const BITMAP_BYTES = BLOCK_EVENTS / 8;
/** From here on the numbers would take as much room as the bitmap. */
const MAX_LISTED = BITMAP_BYTES / 2 - 1;

/** A set that is read. */
export type Members =
  | { readonly kind: "list"; readonly numbers: Uint16Array }
  | { readonly kind: "bits"; readonly words: Uint32Array };

/** What `MemberSet.encode` wrote. */
export function parseMembers(bytes: Uint8Array): Members {
  // The views need whole words, wherever the bytes came from.
  const { buffer } = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const offset = bytes.byteOffset % 4 === 0 ? bytes.byteOffset : 0;
  return bytes.length === BITMAP_BYTES
    ? { kind: "bits", words: new Uint32Array(buffer, offset, WORDS) }
    : { kind: "list", numbers: new Uint16Array(buffer, offset, bytes.length >>> 1) };
}

/** What is in every set, in ascending order. @param sets - at least one. */
export function intersect(sets: readonly Members[]): Uint16Array {
  const lists = sets.filter((set) => set.kind === "list");
  const [shortest] = lists.toSorted((left, right) => left.numbers.length - right.numbers.length);
  if (shortest === undefined) return listOf(commonWords(sets));
  const others = sets.filter((set) => set !== shortest);
  return shortest.numbers.filter((number) => others.every((set) => has(set, number)));
}

/** What is in any of the sets. @param sets - at least one. */
export function unite(sets: readonly Members[]): Members {
  const [first] = sets;
  if (first !== undefined && sets.length === 1) return first;
  const words = new Uint32Array(WORDS);
  for (const set of sets) {
    if (set.kind === "bits")
      for (let at = 0; at < WORDS; at += 1) words[at] = (words[at] ?? 0) | (set.words[at] ?? 0);
    else
      for (const number of set.numbers)
        words[number >>> 5] = (words[number >>> 5] ?? 0) | (1 << (number & 31));
  }
  return { kind: "bits", words };
}

function has(set: Members, number: number): boolean {
  if (set.kind === "bits") return (((set.words[number >>> 5] ?? 0) >>> (number & 31)) & 1) === 1;
  return set.numbers[positionOf(set.numbers, number)] === number;
}

function commonWords(sets: readonly Members[]): Uint32Array {
  const [first, ...others] = sets.filter((set) => set.kind === "bits").map(({ words }) => words);
  const common = first?.slice() ?? new Uint32Array(WORDS);
  for (const words of others)
    for (let at = 0; at < WORDS; at += 1) common[at] = (common[at] ?? 0) & (words[at] ?? 0);
  return common;
}

/** Where a bitmap's numbers are gathered: never seen outside. */
const gathered = new Uint16Array(BLOCK_EVENTS);

function listOf(words: Uint32Array): Uint16Array {
  let count = 0;
  for (let at = 0; at < WORDS; at += 1) {
    for (let word = words[at] ?? 0; word !== 0; word &= word - 1) {
      gathered[count] = (at << 5) + 31 - Math.clz32(word & -word);
      count += 1;
    }
  }
  return gathered.slice(0, count);
}

/** Where a number is, or would be put. */
function positionOf(sorted: ArrayLike<number>, number: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < number) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A set that is written. Owns its numbers, in one of the two forms. */
export class MemberSet {
  #numbers: number[] = [];
  #bits: Uint8Array | null = null;

  /** @param bytes - what `encode` wrote; undefined for the empty set. */
  constructor(bytes: Uint8Array | undefined) {
    if (bytes === undefined) return;
    const members = parseMembers(bytes);
    if (members.kind === "list") this.#numbers = [...members.numbers];
    else this.#bits = bytes.slice();
  }

  /** Once is enough: what is in stays in. */
  add(number: number): void {
    if (this.#bits !== null) this.#bits[number >>> 3] = (this.#bits[number >>> 3] ?? 0) | (1 << (number & 7));
    else this.#insert(this.#numbers, number);
  }

  /** What is not in stays out. */
  remove(number: number): void {
    if (this.#bits !== null) {
      this.#bits[number >>> 3] = (this.#bits[number >>> 3] ?? 0) & ~(1 << (number & 7));
      return;
    }
    const position = positionOf(this.#numbers, number);
    if (this.#numbers[position] === number) this.#numbers.splice(position, 1);
  }

  encode(): Uint8Array {
    if (this.#bits !== null) return this.#bits;
    return new Uint8Array(Uint16Array.from(this.#numbers).buffer);
  }

  #insert(numbers: number[], number: number): void {
    const last = numbers.at(-1);
    if (last === undefined || last < number) numbers.push(number);
    else {
      const position = positionOf(numbers, number);
      if (numbers[position] !== number) numbers.splice(position, 0, number);
    }
    if (numbers.length > MAX_LISTED) this.#spread(numbers);
  }

  #spread(numbers: readonly number[]): void {
    const bits = new Uint8Array(BITMAP_BYTES);
    for (const number of numbers) bits[number >>> 3] = (bits[number >>> 3] ?? 0) | (1 << (number & 7));
    this.#bits = bits;
    this.#numbers = [];
  }
}
