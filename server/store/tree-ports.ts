/** The tree of owners and agents, read a page at a time. */

/** One owner or agent. */
export interface TreeNode {
  readonly kind: "owner" | "agent";
  readonly id: string;
  /** Of an agent; empty for an owner. */
  readonly path: string;
  readonly name: string;
  readonly ownerId: string;
  readonly isRevoked: boolean;
  /** Whether one of its newest instances lives; of an owner, whether it is not revoked. */
  readonly isLive: boolean;
  /** Directly below it; counting stops early. */
  readonly below: number;
  readonly isMore: boolean;
}

/** Which part of the tree. */
export type TreePlace =
  | { readonly kind: "owners"; readonly prefix: string }
  | { readonly kind: "below-owner"; readonly ownerId: string }
  | { readonly kind: "below-agent"; readonly ownerId: string; readonly agentId: string }
  /** Agents whose name begins so, everywhere or of one owner. */
  | { readonly kind: "named"; readonly prefix: string; readonly ownerId: string | null }
  /** Agents of one path whose name begins so. */
  | { readonly kind: "at"; readonly path: string; readonly prefix: string; readonly ownerId: string | null };

/** Where a page begins: behind this name and id. */
export interface TreeCursor {
  readonly name: string;
  readonly id: string;
}

/** A page, and where the next one begins. */
export interface TreePage {
  readonly nodes: readonly TreeNode[];
  readonly next: TreeCursor | null;
}

/** Part of `StoreReads`. */
export interface TreeReads {
  /** A page by name, in bounded time whatever the size of the tree; it may be short before the last. */
  readTree(place: TreePlace, page: { readonly after: TreeCursor | null; readonly limit: number }): TreePage;
}
