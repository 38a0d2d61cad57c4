/**
 * Key-encryption keys of the secrets broker: sealed files beside the unseal key, outside the data directory.
 *
 * A key wraps the data keys of secrets and nothing else. Whoever has the data directory, or a row of it, has nothing
 * that opens (attacks F12 and L1). Rotation makes the next key; the old one goes when no data key is under it.
 */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { encodeHex } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import { createPrivateDirectory } from "./private-file.ts";
import { readSealedFile, writeSealedFile } from "./sealed-file.ts";
import { UnsealKey } from "./unseal-key.ts";

const KEY_BYTES = 32;
const PURPOSE = "key-encryption-key";
const NAME_BYTES = 8;
const FILE = /^(kek_(\d{8})_[0-9a-f]{16})\.key$/;

/** A data key, wrapped or not, and what it is bound to. */
export interface KeyInContext {
  readonly key: Uint8Array;
  /** Authenticated but not stored. */
  readonly context: Uint8Array;
}

/** Where the keys lie, and what seals them. */
export interface KeyEncryptionPlace {
  /** Outside the data directory; made when the first key is. */
  readonly directory: string;
  readonly unsealKey: UnsealKey;
  readonly random: Random;
}

/** Owns the opened keys; they cannot be read back, printed or serialised. */
export class KeyEncryptionFiles {
  readonly #place: KeyEncryptionPlace;
  readonly #keys = new Map<string, UnsealKey>();

  /** @throws TrustWardenError `seal_broken`, `file_mode_too_open`. */
  constructor(place: KeyEncryptionPlace) {
    this.#place = place;
    for (const id of idsIn(place.directory)) this.#keys.set(id, this.#open(id));
  }

  /** From the oldest to the one in use. */
  ids(): readonly string[] {
    return [...this.#keys.keys()].toSorted();
  }

  /**
   * Makes the next key, durably; from now on it is the one in use. Its number and no clock says that it is later.
   *
   * @returns its id.
   */
  create(): string {
    const latest = Number(FILE.exec(`${this.ids().at(-1)}.key`)?.[2] ?? 0);
    const id = `kek_${String(latest + 1).padStart(8, "0")}_${encodeHex(this.#place.random(NAME_BYTES))}`;
    createPrivateDirectory(this.#place.directory);
    writeSealedFile(this.#fileOf(id), this.#place.random(KEY_BYTES));
    this.#keys.set(id, this.#open(id));
    return id;
  }

  /** Destroys a key: what is under it never opens again. */
  remove(id: string): void {
    this.#keys.delete(id);
    rmSync(join(this.#place.directory, `${id}.key`), { force: true });
  }

  /** @throws TrustWardenError `secret_unavailable` for a key that is not here. */
  async wrap(id: string, { key, context }: KeyInContext): Promise<Uint8Array> {
    return this.#get(id).seal({ plaintext: key, context });
  }

  /** @throws TrustWardenError `secret_unavailable` for a key that is not here, `seal_broken` for another context. */
  async unwrap(id: string, { key, context }: KeyInContext): Promise<Uint8Array> {
    return this.#get(id).open({ sealed: key, context });
  }

  #get(id: string): UnsealKey {
    const key = this.#keys.get(id);
    if (key === undefined) {
      throw new TrustWardenError("secret_unavailable", { reason: "the key-encryption key is not here", id });
    }
    return key;
  }

  #open(id: string): UnsealKey {
    return new UnsealKey(readSealedFile(this.#fileOf(id)), this.#place.random);
  }

  #fileOf(id: string) {
    const { directory, unsealKey } = this.#place;
    return { path: join(directory, `${id}.key`), purpose: PURPOSE, unsealKey };
  }
}

/** What an interrupted write left behind has another name and was never used. */
function idsIn(directory: string): readonly string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).flatMap((name) => FILE.exec(name)?.[1] ?? []);
}
