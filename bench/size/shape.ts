/**
 * What a network of agents looks like: most owners have a few, some have thousands, and agents have agents of their own.
 *
 * The sizes follow a power of an owner's rank, as the sizes of what people own do; one seed always gives the same
 * network.
 */

/** How large the network is. */
export interface Shape {
  readonly owners: number;
  readonly agents: number;
}

/** Agents below agents, at most; the root of a tree is at depth 0. */
export const MAX_DEPTH = 6;
/** The owner of rank r has about 1/r^EXPONENT of what the first has. */
const EXPONENT = 0.9;
/** What the largest owner has, at most. */
const LARGEST_OWNER = 16_000;
/** One root for so many agents of an owner. */
const TREE_SIZE = 40;

/** One agent of a plan: its place in its owner's list, and its parent's. */
export interface PlannedAgent {
  readonly parent: number | null;
  readonly depth: number;
}

/** How many agents each owner has, largest first; their sum is `agents`. */
export function ownerSizes({ owners, agents }: Shape): readonly number[] {
  const weights = Array.from({ length: owners }, (_, rank) => (rank + 1) ** -EXPONENT);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const largest = Math.max(1, Math.min(LARGEST_OWNER, agents));
  const sizes = weights.map((weight) =>
    Math.min(largest, Math.max(1, Math.floor((weight / total) * agents))),
  );
  let left = agents - sizes.reduce((sum, size) => sum + size, 0);
  // What rounding and the bound left over goes to those in the middle, a few each.
  for (let rank = 0; left > 0; rank = (rank + 1) % owners) {
    const size = sizes[rank] ?? 0;
    const more = Math.min(left, Math.max(1, Math.ceil(size / 10)), largest - size);
    sizes[rank] = size + more;
    left -= more;
  }
  return sizes;
}

/**
 * The trees of one owner, parents before children. The first tree of a large owner holds two thirds of its agents; the
 * others are small.
 *
 * @param roll - a random number below its argument.
 */
export function planTrees(size: number, roll: (sides: number) => number): readonly PlannedAgent[] {
  const planned: PlannedAgent[] = [];
  const largeTree = size > 10 * TREE_SIZE ? Math.floor((size * 2) / 3) : 0;
  let treeStart = 0;
  let treeSize = largeTree;
  for (let index = 0; index < size; index += 1) {
    if (index === 0 || index - treeStart >= treeSize) {
      treeStart = index;
      treeSize = index === 0 && largeTree > 0 ? largeTree : 1 + roll(TREE_SIZE * 2);
      planned.push({ parent: null, depth: 0 });
      continue;
    }
    const parent = pickParent(planned, treeStart, roll);
    planned.push({ parent, depth: (planned[parent]?.depth ?? 0) + 1 });
  }
  return planned;
}

/** Somebody of the tree that may still have children; an older one is likelier, so that trees are wide at the top. */
function pickParent(
  planned: readonly PlannedAgent[],
  treeStart: number,
  roll: (sides: number) => number,
): number {
  const grown = planned.length - treeStart;
  const picked = treeStart + Math.min(roll(grown), roll(grown));
  return (planned[picked]?.depth ?? MAX_DEPTH) < MAX_DEPTH ? picked : treeStart;
}
