/**
 * How a name looks: names that a hurried human takes for one another have the same look.
 *
 * The grammar of names is lower-case ASCII letters, digits, dot, dash and underscore, so of Unicode's confusables (TR39) only
 * what lies within it can occur: 0 and o; 1 and l, and i, which most fonts draw almost as one; rn and m; dash and underscore.
 * Whatever looks like an ASCII name by other letters is no name at all.
 *
 * @see Unicode TR39 §4, skeletons
 */

/** Applied in this order to the whole of a label; the store's index says the same in SQL (`version-7-registration.ts`). */
export const LOOKS: readonly (readonly [from: string, to: string])[] = [
  ["0", "o"],
  ["1", "l"],
  ["i", "l"],
  ["rn", "m"],
  ["_", "-"],
];

/** The look of a path and name, or of any part of them. */
export function lookOf(text: string): string {
  return LOOKS.reduce((look, [from, to]) => look.replaceAll(from, to), text);
}
