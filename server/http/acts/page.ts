/** One page of a list that is read in the order of its cursor. */

/** What is asked for. */
export interface PageQuery {
  readonly cursor?: string | undefined;
  readonly limit: number;
}

/** What is found, and the last of it where more follow. */
interface Page<Item> {
  readonly items: readonly Item[];
  readonly last: Item | undefined;
}

/** Looks for one more than was asked for, to know whether there is another page. */
export function pageOf<Item>(
  { cursor: after = "", limit }: PageQuery,
  find: (scan: { readonly after: string; readonly limit: number }) => readonly Item[],
): Page<Item> {
  const found = find({ after, limit: limit + 1 });
  const items = found.slice(0, limit);
  return { items, last: found.length > limit ? items.at(-1) : undefined };
}
