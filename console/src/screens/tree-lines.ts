/** The open part of the tree as lines: what the virtual list shows. */
import type { TreeAnswer, TreeRow } from "@trustwarden/core/api/tree.ts";

/** The known lines below one place; the key of the top is the empty text. */
export interface Branch {
  readonly rows: readonly TreeRow[];
  readonly next: string | null;
  readonly isOpen: boolean;
}

export type Line =
  | { readonly kind: "row"; readonly level: number; readonly row: TreeRow; readonly isOpen: boolean }
  /** Stands for the pages that were not fetched yet. */
  | { readonly kind: "more"; readonly level: number; readonly under: string };

/** All lines of the open branches, from the top down. */
export function flatten(branches: ReadonlyMap<string, Branch>): readonly Line[] {
  const lines: Line[] = [];
  const add = (under: string, level: number) => {
    const branch = branches.get(under);
    if (branch === undefined) return;
    for (const row of branch.rows) {
      const isOpen = branches.get(row.id)?.isOpen ?? false;
      lines.push({ kind: "row", level, row, isOpen });
      if (isOpen) add(row.id, level + 1);
    }
    if (branch.next !== null) lines.push({ kind: "more", level, under });
  };
  add("", 0);
  return lines;
}

/** The branches with one more page of one of them. */
export function withPage(
  branches: ReadonlyMap<string, Branch>,
  under: string,
  page: TreeAnswer,
): ReadonlyMap<string, Branch> {
  const rows = [...(branches.get(under)?.rows ?? []), ...page.rows];
  return new Map(branches).set(under, { rows, next: page.next_cursor, isOpen: true });
}
