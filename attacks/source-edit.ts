/** Edits of source text that must fit exactly once: a weakening that silently misses would take the suite's teeth. */

/** One edit of one file. */
export interface SourceEdit {
  /** From the root of the repository. */
  readonly file: string;
  /** Must be in the file exactly once. */
  readonly find: string;
  readonly replace: string;
}

/** The text with every edit made. @throws Error for an edit that does not fit exactly once. */
export function applyEdits(source: string, edits: readonly SourceEdit[]): string {
  return edits.reduce((text, edit) => {
    const places = text.split(edit.find).length - 1;
    if (places !== 1) throw new Error(`${edit.file} holds ${places} times, not once: ${edit.find}`);
    return text.replace(edit.find, () => edit.replace);
  }, source);
}

/** How a process tells that a file of it was edited. */
export function formatWeakened(file: string): string {
  return `weakened: ${file}`;
}
