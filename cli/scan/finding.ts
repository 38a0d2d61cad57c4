/** What a scan finds: a secret, where it stands, and what can become of it. The value stays inside; nothing here is printed as it is. */
import type { FormFinder, SecretRange } from "./known-forms.ts";
import { findNamed, type TextForm } from "./named-values.ts";
import { findProvider, type Provider } from "./providers.ts";

/** Where a text came from. */
export type Place =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "git"; readonly path: string; readonly commit: string }
  | { readonly kind: "process"; readonly pid: number };

/** A text to look through. */
export interface ScannedText {
  readonly place: Place;
  readonly form: TextForm;
  readonly text: string;
}

/** One secret at one place. */
export interface Finding {
  readonly place: Place;
  /** From 1. */
  readonly line: number;
  readonly column: number;
  /** In the text. */
  readonly start: number;
  readonly end: number;
  readonly rule: string;
  /** Variable, member, parameter or argument that it stands under. */
  readonly name: string | undefined;
  readonly provider: Provider | undefined;
  /** Secret. */
  readonly value: string;
}

/** Of one text; more is a key store, and enough to act on. */
export const MAX_FINDINGS = 5000;

/** Everything in a text that is a secret by its form or by its name; of two that overlap, the one that begins first and is longer. */
export async function findSecrets(source: ScannedText, findForms: FormFinder): Promise<readonly Finding[]> {
  const { text, form } = source;
  const named = findNamed(text, form).toSorted((a, b) => a.start - b.start);
  // A rule of others may begin at the name and end within the value: what stands under the name is the whole of it.
  const forms = (await findForms(text)).filter(({ start, end }) => !isCutOff({ start, end }, named));
  const stretches = merge([...forms, ...named]).slice(0, MAX_FINDINGS);
  const lines = new Lines(text);
  let next = 0;
  return stretches.map(({ start, end, rule }) => {
    while ((named[next]?.end ?? end) <= start) next += 1;
    const beside = named[next];
    // A form is found without the name that it stands under, which a named one at the same place has.
    const name = beside !== undefined && beside.start < end ? beside.name : undefined;
    const value = text.slice(start, end);
    const provider = findProvider(value, name);
    return { place: source.place, ...lines.placeOf(start), start, end, rule, name, provider, value };
  });
}

/** @param named - in their order. */
function isCutOff(form: Pick<SecretRange, "start" | "end">, named: readonly SecretRange[]): boolean {
  let [low, high] = [0, named.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((named[middle]?.end ?? 0) <= form.start) low = middle + 1;
    else high = middle;
  }
  const beside = named[low];
  return (
    beside !== undefined && form.start < beside.start && beside.start < form.end && form.end < beside.end
  );
}

function merge(stretches: readonly SecretRange[]): readonly SecretRange[] {
  const kept: SecretRange[] = [];
  for (const stretch of stretches.toSorted((a, b) => a.start - b.start || b.end - a.end)) {
    if (stretch.start >= (kept.at(-1)?.end ?? 0)) kept.push(stretch);
  }
  return kept;
}

/** Owns how many lines were counted; places are asked for in their order, so that a text is counted through once. */
class Lines {
  readonly #text: string;
  #line = 1;
  #lineStart = 0;

  constructor(text: string) {
    this.#text = text;
  }

  placeOf(start: number): { readonly line: number; readonly column: number } {
    for (let at = this.#text.indexOf("\n", this.#lineStart); at !== -1 && at < start; ) {
      this.#line += 1;
      this.#lineStart = at + 1;
      at = this.#text.indexOf("\n", this.#lineStart);
    }
    return { line: this.#line, column: start - this.#lineStart + 1 };
  }
}
