/**
 * Columns whose texts are read again and again and always mean the same: parsed once for each text, and kept by the text itself,
 * so that nothing has to be forgotten when a row changes.
 */

/** Texts of one column; a registration entry takes about 2 kB, a scope much less. */
const MAX_TEXTS = 1024;

/**
 * The same parser, which parses a text that it has seen lately no second time.
 *
 * @param parse - gives a value that nobody changes; what it throws is not kept.
 */
export function rememberParsed<T>(parse: (text: string) => T, maxTexts = MAX_TEXTS): (text: string) => T {
  const parsed = new Map<string, { readonly value: T }>();
  return (text) => {
    const known = parsed.get(text);
    if (known !== undefined) return known.value;
    const value = parse(text);
    // All at once, so that what is kept is bounded and reading costs no book-keeping.
    if (parsed.size >= maxTexts) parsed.clear();
    parsed.set(text, { value });
    return value;
  };
}
