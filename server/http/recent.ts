/** What was seen lately: bounded, so that whoever sends new names only pushes older ones out. */

/** Owns the names, in the order in which they came. */
export class Recent {
  readonly #names = new Set<string>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  add(name: string): void {
    this.#names.delete(name);
    this.#names.add(name);
    if (this.#names.size <= this.#max) return;
    const [oldest] = this.#names;
    if (oldest !== undefined) this.#names.delete(oldest);
  }
}

/** Owns what was said last under each name, the names that spoke last; who was forgotten says something new. */
export class Latest {
  readonly #said = new Map<string, string>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get(name: string): string | undefined {
    return this.#said.get(name);
  }

  set(name: string, said: string): void {
    this.#said.delete(name);
    this.#said.set(name, said);
    const [oldest] = this.#said.keys();
    if (this.#said.size > this.#max && oldest !== undefined) this.#said.delete(oldest);
  }
}
