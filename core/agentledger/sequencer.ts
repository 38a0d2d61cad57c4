/**
 * The one writer of a log: gives entries their place, promises it, and has the tree built behind the promise.
 *
 * Order of operations, the same in normal running and after a crash; the numbers stand in the code here and in
 * `integrator.ts`:
 *
 *  1. write-ahead log, durable          5. sign the checkpoint
 *  2. acknowledge                       6. swap it into the state, durable; raise the mark kept elsewhere
 *  3. tiles and bundles, idempotent     7. publish
 *  4. swap the state, durable           8. drop what is not needed any more
 *
 * An acknowledged entry is durable at its index, always. After a failed write nothing is known, so nothing more is
 * promised: the sequencer is done and the process must stop.
 */
import { TrustWardenError } from "../error.ts";
import { requireOrigin } from "./checkpoint.ts";
import { Integrator, type IntegratorOptions, type PublishedCheckpoint } from "./integrator.ts";
import { leafHash } from "./merkle.ts";
import { proveConsistency, proveInclusion, readEntriesFrom, readEntry } from "./prover.ts";
import { recoverLog } from "./recovery.ts";
import { SequencedEntry } from "./sequenced-entry.ts";
import { createNoteSigner, formatVkey, type NoteSigner, rawEd25519Key } from "./signed-note.ts";
import { MAX_ENTRY_BYTES } from "./tile.ts";
import type { TreeLeaf } from "./tree-edge.ts";
import { encodeWalRecord } from "./wal.ts";

/** Records are about 1 KB; whatever is much larger belongs beside the log, with a commitment in it. */
const DEFAULT_MAX_ENTRY_BYTES = 16_384;
/** One group commit; keeps a write short, so that the next group does not wait long. */
const MAX_GROUP_BYTES = 4_194_304;
/** Accepted but not yet in tiles; beyond it the log refuses early instead of promising what may not fit. */
const MAX_BACKLOG_BYTES = 67_108_864;
/** A segment of the write-ahead log; starting reads about two of them. */
const WAL_SEGMENT_BYTES = 16_777_216;

/** What a sequencer is made of: `origin` names the log and its key, `signer` is its Ed25519 key. */
export interface SequencerOptions extends IntegratorOptions {
  /** Unix seconds. Only acknowledgements show it; nothing depends on its order. */
  readonly now: () => number;
  /** Called once, when the state of the storage is not known any more: the process must stop. */
  readonly onFatal: (error: unknown) => void;
  /**
   * Resolves when the next tree may be built; spares small checkpoints, whose many syncs hold up the write-ahead log. At
   * once when absent. Cut short when somebody waits for a checkpoint.
   */
  readonly pace?: () => Promise<void>;
  /** Default 16 KiB, at most 65,535. */
  readonly maxEntryBytes?: number;
  /**
   * The ledger that this log is a shard of, and the position of its entry 0: promises name the ledger and count through it.
   * A log alone unless given.
   */
  readonly shard?: { readonly ledger: string; readonly first: number };
}

/** One durable, sequenced entry. */
export interface Appended {
  /** Position in the ledger; in a log alone the index in its tree. */
  readonly index: number;
  readonly leafHash: Uint8Array;
  /** Signed promise; see `acknowledgement.ts`. */
  readonly acknowledgement: string;
}

/** One call of `append`. */
interface Request {
  readonly entries: readonly Uint8Array[];
  readonly bytes: number;
  readonly resolve: (appended: readonly Appended[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Entries of a group on their way to the disk. */
interface PlacedLeaves {
  /** Index of the first one in the log. */
  readonly first: number;
  readonly leaves: readonly TreeLeaf[];
}

/** Promises that become true with the write, of each request of the group; the time in Unix seconds. */
interface Promised {
  readonly acknowledgedAt: number;
  readonly entries: readonly (readonly SequencedEntry[])[];
}

/** One call of `waitForCheckpoint`. */
interface Coverage {
  readonly size: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Owns the log: what waits, the write-ahead log, and through its integrator the tree. */
export class Sequencer {
  /** The key that checks this log's checkpoints and acknowledgements. */
  readonly vkey: string;
  readonly #options: SequencerOptions;
  readonly #tree: Integrator;
  readonly #noteSigner: NoteSigner;
  readonly #shard: NonNullable<SequencerOptions["shard"]>;
  readonly #maxEntryBytes: number;
  #phase: "new" | "running" | "stopping" | "stopped" = "new";
  #fatal: TrustWardenError | null = null;
  /** Given to `append`, not yet durable. */
  readonly #waiting: Request[] = [];
  /** Bytes of entries waiting or pending. */
  #backlogBytes = 0;
  #walBytes = 0;
  /** Entries below this are in the older segment of the write-ahead log; null when there is one segment. */
  #rotatedAt: number | null = null;
  #committing: Promise<void> | null = null;
  #integrating: Promise<void> | null = null;
  #coverages: readonly Coverage[] = [];
  /** Ends the pause before the next tree. */
  #endPause: (() => void) | null = null;

  constructor(options: SequencerOptions) {
    requireOrigin(options.origin);
    const maxEntryBytes = options.maxEntryBytes ?? DEFAULT_MAX_ENTRY_BYTES;
    if (!(maxEntryBytes >= 1 && maxEntryBytes <= MAX_ENTRY_BYTES))
      throw new TrustWardenError("config_invalid", { maxEntryBytes });
    this.#options = options;
    this.#tree = new Integrator(options);
    this.vkey = formatVkey(options.origin, rawEd25519Key(options.signer.publicKey));
    this.#shard = options.shard ?? { ledger: options.origin, first: 0 };
    this.#noteSigner = createNoteSigner({ name: this.#shard.ledger, signer: options.signer });
    this.#maxEntryBytes = maxEntryBytes;
  }

  /** Entries sequenced so far; the next one gets this index. */
  get size(): number {
    return this.#tree.sequencedSize;
  }

  /**
   * Takes the storage, proves it whole, finishes what a crash interrupted, and begins to accept entries.
   *
   * @throws TrustWardenError `data_locked`, `data_rolled_back` or `ledger_corrupt`; the storage is released again.
   */
  async start(): Promise<void> {
    if (this.#phase !== "new") throw new Error("a sequencer starts once");
    const { storage, highWater } = this.#options;
    await storage.open();
    try {
      await this.#tree.resume(await recoverLog(storage, { vkey: this.vkey, mark: await highWater.read() }));
      // The same steps as ever: what the crash left undone is done, what was done gives the same bytes again.
      await this.#tree.integrate();
      await storage.rotateWal();
      await storage.trimWal();
      this.#phase = "running";
    } catch (error) {
      this.#phase = "stopped";
      await storage.close();
      throw error;
    }
  }

  /** Refuses new entries, finishes all accepted ones up to a published checkpoint, and releases the storage. */
  async stop(): Promise<void> {
    if (this.#phase !== "running") return;
    this.#phase = "stopping";
    this.#endPause?.();
    while (this.#committing !== null || this.#integrating !== null) {
      await this.#committing;
      await this.#integrating;
    }
    this.#phase = "stopped";
    await this.#options.storage.close();
  }

  /**
   * Appends entries as neighbours, all or none. Resolves when they are durable and have their place; the tree and
   * its checkpoint follow (`waitForCheckpoint`).
   *
   * @throws TrustWardenError `entry_too_large`, `record_malformed` for none or an empty one, `ledger_unavailable`
   *   when they may not have been kept: whoever gets it must not act.
   */
  append(entries: readonly Uint8Array[]): Promise<readonly Appended[]> {
    return new Promise((resolve, reject) => {
      const bytes = this.#bytesOfAcceptable(entries);
      this.#backlogBytes += bytes;
      this.#waiting.push({ entries, bytes, resolve, reject });
      this.#committing ??= this.#commitLoop();
    });
  }

  /**
   * Refuses what `append` would refuse at once: for who acts while it is written.
   *
   * @throws TrustWardenError `entry_too_large`, `record_malformed`, `ledger_unavailable`.
   */
  requireAcceptable(entries: readonly Uint8Array[]): void {
    this.#bytesOfAcceptable(entries);
  }

  /** The latest published checkpoint. @throws TrustWardenError `ledger_unavailable` before `start`. */
  checkpoint(): string {
    return this.#published().note;
  }

  /** Resolves when a published checkpoint covers the first `size` entries. @throws TrustWardenError `ledger_unavailable`. */
  async waitForCheckpoint(size: number): Promise<void> {
    if (this.#fatal !== null) throw this.#fatal;
    if (size > this.size) throw new TrustWardenError("not_found", { size });
    if (size <= this.#published().head.size) return;
    await new Promise<void>((resolve, reject) => {
      this.#coverages = [...this.#coverages, { size, resolve, reject }];
      this.#endPause?.();
    });
  }

  /** Checked inclusion proof. @throws TrustWardenError `not_found`, `ledger_corrupt`. */
  async proveInclusion(index: number, size: number): Promise<readonly Uint8Array[]> {
    return proveInclusion(this.#options.storage, { index, size, head: this.#published().head });
  }

  /** Checked consistency proof. @throws TrustWardenError `not_found`, `ledger_corrupt`. */
  async proveConsistency(oldSize: number, newSize: number): Promise<readonly Uint8Array[]> {
    return proveConsistency(this.#options.storage, { oldSize, newSize, head: this.#published().head });
  }

  /** A sequenced entry, whether in a tile yet or not. @throws TrustWardenError `not_found`, `ledger_corrupt`. */
  async readEntry(index: number): Promise<Uint8Array> {
    return (
      this.#tree.pendingEntry(index) ?? readEntry(this.#options.storage, { index, size: this.#tree.size })
    );
  }

  /** A sequenced entry and some that follow it, at least one. @throws as `readEntry` does. */
  async readEntriesFrom(index: number): Promise<readonly Uint8Array[]> {
    const pending = this.#tree.pendingEntry(index);
    return pending === undefined
      ? readEntriesFrom(this.#options.storage, { index, size: this.#tree.size })
      : [pending];
  }

  #bytesOfAcceptable(entries: readonly Uint8Array[]): number {
    if (this.#fatal !== null) throw this.#fatal;
    if (this.#phase !== "running") throw new TrustWardenError("ledger_unavailable", { reason: this.#phase });
    // An empty entry would be a record that nobody can read.
    if (entries.length === 0 || entries.some(({ length }) => length === 0)) {
      throw new TrustWardenError("record_malformed", { reason: "empty" });
    }
    const bytes = entries.reduce((sum, { length }) => sum + length, 0);
    if (entries.some(({ length }) => length > this.#maxEntryBytes) || bytes > MAX_GROUP_BYTES) {
      throw new TrustWardenError("entry_too_large", { maxBytes: this.#maxEntryBytes });
    }
    if (this.#backlogBytes + bytes > MAX_BACKLOG_BYTES)
      throw new TrustWardenError("ledger_unavailable", { reason: "backlog" });
    return bytes;
  }

  /** Steps 1 and 2 for whatever waits, until nothing waits: all that came during one write goes with the next. */
  async #commitLoop(): Promise<void> {
    // Lets the other calls of this turn of the event loop join the first group.
    await Promise.resolve();
    try {
      while (this.#waiting.length > 0) await this.#commitGroup(takeGroup(this.#waiting));
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#committing = null;
    }
  }

  async #commitGroup(group: readonly Request[]): Promise<void> {
    try {
      const first = this.size;
      const entries = group.flatMap((request) => request.entries);
      const durable = this.#appendWal(encodeWalRecord({ first, entries })); // 1
      const leaves = entries.map((entry) => ({ entry, leafHash: leafHash(entry) }));
      const prepared = this.#promise(group, { first, leaves });
      signAhead(prepared);
      await durable;
      if (this.#fatal !== null) throw this.#fatal;
      this.#tree.add(leaves);
      this.#acknowledge(group, { first, leaves, prepared }); // 2
      this.#integrating ??= this.#integrateLoop();
    } catch (error) {
      const unavailable = unavailableBecause(error);
      for (const request of group) request.reject(unavailable);
      throw error;
    }
  }

  async #appendWal(record: Uint8Array): Promise<void> {
    const { storage } = this.#options;
    if (this.#walBytes > WAL_SEGMENT_BYTES && this.#rotatedAt === null) {
      await storage.rotateWal();
      this.#rotatedAt = this.size;
      this.#walBytes = 0;
    }
    await storage.appendWal(record);
    this.#walBytes += record.length;
  }

  /** Hands out the promises that were prepared, made anew where the write took into another second: they tell when it was over. */
  #acknowledge(
    group: readonly Request[],
    { prepared, ...placed }: PlacedLeaves & { readonly prepared: Promised },
  ): void {
    const isOfNow = prepared.acknowledgedAt === this.#options.now();
    const { entries } = isOfNow ? prepared : this.#promise(group, placed);
    for (const [position, { resolve }] of group.entries()) resolve(entries[position] ?? []);
  }

  /** The promise of each entry, request by request; nobody gets one before it is true. */
  #promise(group: readonly Request[], { first, leaves }: PlacedLeaves): Promised {
    const { ledger: origin } = this.#shard;
    const acknowledgedAt = this.#options.now();
    let offset = 0;
    const entries = group.map((request) => {
      const start = offset;
      offset += request.entries.length;
      return leaves.slice(start, offset).map(({ leafHash: hash }, position) => {
        const index = this.#shard.first + first + start + position;
        return new SequencedEntry({ origin, index, leafHash: hash, acknowledgedAt }, this.#noteSigner);
      });
    });
    return { acknowledgedAt, entries };
  }

  /** Steps 3 to 8 until every durable entry is under a published checkpoint. */
  async #integrateLoop(): Promise<void> {
    try {
      while (this.#tree.sequencedSize > this.#tree.size && this.#fatal === null) {
        if (this.#phase === "running" && this.#coverages.length === 0) await this.#pause();
        this.#backlogBytes -= await this.#tree.integrate();
        this.#announce();
        await this.#trimWal(); // 8
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#integrating = null;
    }
  }

  async #pause(): Promise<void> {
    const { pace } = this.#options;
    if (pace === undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#endPause = resolve;
    await Promise.race([pace(), promise]);
    this.#endPause = null;
  }

  #announce(): void {
    const { size } = this.#published().head;
    const covered = this.#coverages.filter((coverage) => coverage.size <= size);
    this.#coverages = this.#coverages.filter((coverage) => coverage.size > size);
    for (const { resolve } of covered) resolve();
  }

  async #trimWal(): Promise<void> {
    if (this.#rotatedAt === null || this.#tree.size < this.#rotatedAt) return;
    await this.#options.storage.trimWal();
    this.#rotatedAt = null;
  }

  #fail(error: unknown): void {
    if (this.#fatal !== null) return;
    const fatal = unavailableBecause(error);
    this.#fatal = fatal;
    for (const { reject } of this.#waiting.splice(0)) reject(fatal);
    for (const { reject } of this.#coverages) reject(fatal);
    this.#coverages = [];
    this.#options.onFatal(error);
  }

  #published(): PublishedCheckpoint {
    const { published } = this.#tree;
    if (published === null) throw new TrustWardenError("ledger_unavailable", { reason: "not started" });
    return published;
  }
}

/** Signs, while the disk writes, what is most likely waited for: behind neighbours' last one somebody waits for an answer. */
function signAhead({ entries: [only, ...others] }: Promised): void {
  if (only !== undefined && only.length > 1 && others.length === 0) void only.at(-1)?.acknowledgement;
}

/** Removes from the front of the queue what goes into one group commit; at least one request. */
function takeGroup(waiting: Request[]): readonly Request[] {
  let bytes = 0;
  let count = 0;
  for (const request of waiting) {
    if (count > 0 && bytes + request.bytes > MAX_GROUP_BYTES) break;
    bytes += request.bytes;
    count += 1;
  }
  return waiting.splice(0, count);
}

function unavailableBecause(cause: unknown): TrustWardenError {
  return new TrustWardenError("ledger_unavailable", { reason: "storage failed" }, { cause });
}
