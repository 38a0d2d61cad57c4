/**
 * The ledger's keys as sealed files: `log.key` of its first log, and one named by its public key for each that a later shard has.
 *
 * Only the key of the shard that goes on is kept. One that was replaced is destroyed once the next shard has begun: nothing is
 * signed with it again, and whoever gets the directory later cannot write another end of an old shard. Of the first one its public
 * half stays (`log.public`), since the ledger is known by it.
 *
 * @see docs/decisions/0093
 */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { LogKeys } from "@trustwarden/core/agentledger/log-keys.ts";
import { parseVkey, rawEd25519Key } from "@trustwarden/core/agentledger/signed-note.ts";
import { encodeHex } from "@trustwarden/core/bytes.ts";
import { type PublicKey, parseEd25519PublicKey, sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { readSealedFile, type SealedFile, writeSealedFile } from "./signer/sealed-file.ts";
import { createPrivateKeyPkcs8, createSoftwareSigner } from "./signer/software.ts";
import type { UnsealKey } from "./signer/unseal-key.ts";

const FIRST = "log.key";
const FIRST_PUBLIC = "log.public";
const LATER = /^log-[0-9a-f]{32}\.key$/;
/** Of the digest that names a file. */
const NAME_BYTES = 16;

interface LogKeyPlace {
  readonly directory: string;
  readonly unsealKey: UnsealKey;
}

/** A new first key, of a ledger that has signed nothing; those of another ledger go. */
export function createFirstLogKey(place: LogKeyPlace): void {
  writeSealedFile(fileOf(place, FIRST), createPrivateKeyPkcs8("Ed25519"));
  rmSync(join(place.directory, FIRST_PUBLIC), { force: true });
  for (const name of readdirSync(place.directory)) if (LATER.test(name)) rmSync(join(place.directory, name));
}

/** Owns the files of the ledger's keys. */
export class LogKeyFiles implements LogKeys {
  readonly first: PublicKey;
  readonly #place: LogKeyPlace;

  /** @throws TrustWardenError `seal_broken`, `file_mode_too_open`. */
  constructor({ directory, unsealKey }: LogKeyPlace) {
    this.#place = { directory, unsealKey };
    this.first = existsSync(join(directory, FIRST))
      ? readSigner(fileOf(this.#place, FIRST)).publicKey
      : parseEd25519PublicKey(readSealedFile(fileOf(this.#place, FIRST_PUBLIC)));
  }

  signerOf(vkey: string): Signer {
    const file = this.#fileOf(vkey);
    if (!existsSync(file.path))
      throw new TrustWardenError("signer_unavailable", { reason: "the ledger's key is not here", vkey });
    const signer = readSigner(file);
    if (!signer.publicKey.equals(parseVkey(vkey).publicKey))
      throw new TrustWardenError("seal_broken", { reason: "another key of the ledger" });
    return signer;
  }

  /** A key for a shard to come, durable when this returns. One that was made and never named is gone at the next start. */
  make(): PublicKey {
    const pkcs8 = createPrivateKeyPkcs8("Ed25519");
    const { publicKey } = createSoftwareSigner(pkcs8);
    writeSealedFile(fileOf(this.#place, nameOf(publicKey)), pkcs8);
    return publicKey;
  }

  /** Destroys every key but that of the shard that goes on. @param vkey - of that shard. */
  keepOnly(vkey: string): void {
    const { directory } = this.#place;
    const kept = this.#fileOf(vkey).path;
    if (!existsSync(kept)) throw new Error("the key of the shard that goes on is here");
    // Written while the first key is still there, and then once for all: a start changes no file that is as it should be.
    const isNamed = existsSync(join(directory, FIRST_PUBLIC)) && !existsSync(join(directory, FIRST));
    if (kept !== join(directory, FIRST) && !isNamed)
      writeSealedFile(fileOf(this.#place, FIRST_PUBLIC), rawEd25519Key(this.first));
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      if ((name === FIRST || LATER.test(name)) && path !== kept) rmSync(path);
    }
  }

  #fileOf(vkey: string): SealedFile {
    const { publicKey } = parseVkey(vkey);
    return fileOf(this.#place, publicKey.equals(this.first) ? FIRST : nameOf(publicKey));
  }
}

function fileOf({ directory, unsealKey }: LogKeyPlace, name: string): SealedFile {
  return {
    path: join(directory, name),
    purpose: name === FIRST_PUBLIC ? "log-public" : "log-key",
    unsealKey,
  };
}

function readSigner(file: SealedFile): Signer {
  return createSoftwareSigner(readSealedFile(file));
}

function nameOf(publicKey: PublicKey): string {
  return `log-${encodeHex(sha256(rawEd25519Key(publicKey)).subarray(0, NAME_BYTES))}.key`;
}
