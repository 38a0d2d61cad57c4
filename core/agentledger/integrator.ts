/**
 * The tree behind the promises: turns durable entries into tiles and signed checkpoints. Steps 3 to 8 of
 * `sequencer.ts`, which owns the order and calls `integrate` one at a time.
 *
 * Invariants between calls: tiles of `size` entries are durable; a tree head is in the state before its signature is
 * shown; sizes signed only rise, and one size has one root.
 */
import { isEqualBytes } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import type { Signer } from "../signer.ts";
import { type Checkpoint, issueCheckpoint } from "./checkpoint.ts";
import { EMPTY_ROOT } from "./merkle.ts";
import type { HighWater, LogState, LogStorage } from "./ports.ts";
import type { RecoveredLog } from "./recovery.ts";
import { EMPTY_EDGE, growTree, type TreeEdge, type TreeLeaf } from "./tree-edge.ts";

/** What an integrator works with. */
export interface IntegratorOptions {
  readonly origin: string;
  readonly signer: Signer;
  readonly storage: LogStorage;
  readonly highWater: HighWater;
}

/** A checkpoint that anybody may see. */
export interface PublishedCheckpoint {
  readonly note: string;
  readonly head: Checkpoint;
}

/** Owns the edge of the tree, the state in the storage and the last signature. */
export class Integrator {
  readonly #options: IntegratorOptions;
  #edge: TreeEdge = EMPTY_EDGE;
  /** Durable in the write-ahead log, not yet in tiles; the first has index `#edge.size`. */
  #pending: TreeLeaf[] = [];
  /** What the storage holds; null in a new log. */
  #state: LogState | null = null;
  /** The latest tree head ever signed. */
  #signed: Checkpoint | null = null;
  #published: PublishedCheckpoint | null = null;

  constructor(options: IntegratorOptions) {
    this.#options = options;
  }

  /** Entries in durable tiles. */
  get size(): number {
    return this.#edge.size;
  }

  /** Entries in durable tiles and durable ones still waiting for them. */
  get sequencedSize(): number {
    return this.#edge.size + this.#pending.length;
  }

  /** The latest published checkpoint. */
  get published(): PublishedCheckpoint | null {
    return this.#published;
  }

  /** A durable entry that is not in a tile yet. */
  pendingEntry(index: number): Uint8Array | undefined {
    return this.#pending[index - this.#edge.size]?.entry;
  }

  /** Takes over what a start found; `null` begins a new log. */
  async resume(log: RecoveredLog | null): Promise<void> {
    const { highWater, origin } = this.#options;
    if (log === null) {
      // The mark first: a log without its mark is refused at the next start.
      await highWater.raise({ origin, tree: { size: 0, root: EMPTY_ROOT } });
      return;
    }
    this.#state = log.state;
    this.#edge = log.edge;
    this.#signed = log.checkpoint;
    this.#pending = [...log.pending];
  }

  /** Takes entries that the write-ahead log holds, in their order. */
  add(leaves: readonly TreeLeaf[]): void {
    for (const leaf of leaves) this.#pending.push(leaf);
  }

  /** Puts all pending entries under a published checkpoint; returns how many bytes of entries that was. */
  async integrate(): Promise<number> {
    const { storage, origin } = this.#options;
    const leaves = this.#pending.slice();
    const { edge, root, objects, fullTilePaths } = growTree(this.#edge, leaves);
    await storage.writeObjects(objects); // 3
    if (this.#state !== null && leaves.length > 0) {
      await this.#swapState({ size: edge.size, root, checkpoint: this.#state.checkpoint }); // 4
    }
    this.#edge = edge;
    this.#pending = this.#pending.slice(leaves.length);
    await this.#publish({ origin, size: edge.size, root });
    await storage.removePartials(fullTilePaths); // 8
    return leaves.reduce((sum, { entry }) => sum + entry.length, 0);
  }

  async #publish(head: Checkpoint): Promise<void> {
    const { storage, highWater, signer, origin } = this.#options;
    this.#requireMonotone(head);
    const note = issueCheckpoint(head, signer); // 5
    if (note !== this.#state?.checkpoint) {
      await this.#swapState({ size: head.size, root: head.root, checkpoint: note }); // 6
    }
    this.#signed = head;
    await highWater.raise({ origin, tree: head });
    await storage.publishCheckpoint(note); // 7
    this.#published = { note, head };
  }

  /** Two roots for one size, or a smaller tree after a larger, would be the log's own forgery. */
  #requireMonotone({ size, root }: Checkpoint): void {
    const last = this.#signed;
    if (last === null) return;
    if (size < last.size || (size === last.size && !isEqualBytes(root, last.root))) {
      throw new TrustWardenError("ledger_corrupt", {
        reason: "would sign a second history",
        size,
        signed: last.size,
      });
    }
  }

  async #swapState(next: LogState): Promise<void> {
    await this.#options.storage.swapState(this.#state, next);
    this.#state = next;
  }
}
