/**
 * The ledger's keys as a process follows them: the first one pinned by whoever made first contact, and from there each that the end
 * of a shard names for the next. A key that no shard names signs nothing here.
 *
 * @see docs/decisions/0093
 */

import { TrustWardenError } from "../error.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { originOfNote } from "./cosignature.ts";
import {
  firstLedgerKey,
  followLedgerKeys,
  type LedgerKey,
  type ListedShard,
  ledgerKeyAt,
  ledgerKeyOf,
} from "./ledger-keys.ts";
import { verifyShardCheckpoint } from "./shard.ts";

/** Owns the keys that were followed to; they only become more. */
export class FollowedKeys {
  readonly #readShards: () => Promise<readonly ListedShard[]>;
  readonly #first: LedgerKey;
  #keys: readonly LedgerKey[];
  #following: Promise<boolean> | null = null;

  /** @param vkey - of the ledger's first log. @throws TrustWardenError `checkpoint_malformed`. */
  constructor(vkey: string, readShards: () => Promise<readonly ListedShard[]>) {
    this.#first = firstLedgerKey(vkey);
    this.#keys = [this.#first];
    this.#readShards = readShards;
  }

  /** Key of the ledger's first log, by which the ledger is known. */
  get vkey(): string {
    return this.#first.vkey;
  }

  /**
   * Verifies what is promised for a position, by the key of the shard that holds it.
   *
   * @throws whatever `verify` throws.
   */
  withKeyAt<T>(position: number, verify: (key: LedgerKey) => T): Promise<T> {
    return this.#withKey(() => ledgerKeyAt(this.#keys, position), verify);
  }

  /** Verifies a checkpoint, or more of it, by the key of the shard that it is of. @throws whatever `verify` throws. */
  withKeyOf<T>(note: string, verify: (key: LedgerKey) => T): Promise<T> {
    return this.#withKey(() => ledgerKeyOf(this.#keys, originOfNote(note)), verify);
  }

  /** A checkpoint of any shard. @throws TrustWardenError `checkpoint_malformed`, `checkpoint_untrusted`. */
  verifyCheckpoint(note: string): Promise<Checkpoint> {
    return this.withKeyOf(note, ({ vkey }) => verifyShardCheckpoint(note, vkey));
  }

  /** Another key is looked for only when the known one does not do: a change is rare, and nothing is asked before it. */
  async #withKey<T>(keyOf: () => LedgerKey, verify: (key: LedgerKey) => T): Promise<T> {
    const known = keyOf();
    try {
      return verify(known);
    } catch (error) {
      if (!(error instanceof TrustWardenError) || !(await this.#follow()) || keyOf() === known) throw error;
      return verify(keyOf());
    }
  }

  /** @returns whether the keys are as the server shows them; false where it shows no chain of keys from those that are known. */
  #follow(): Promise<boolean> {
    this.#following ??= this.#readKeys().finally(() => {
      this.#following = null;
    });
    return this.#following;
  }

  async #readKeys(): Promise<boolean> {
    try {
      this.#keys = followLedgerKeys(this.#keys, await this.#readShards());
      return true;
    } catch (error) {
      // Safe: the known keys stay, and what they did not verify is refused.
      if (error instanceof TrustWardenError) return false;
      throw error;
    }
  }
}
