/**
 * Sealed files: private keys at rest in the data directory, readable only with the unseal key.
 *
 * What a file is for and its name are bound into the seal, so that whoever can write the directory cannot put one
 * key in another's place (attack D1 and L1). No password is stretched here: the unseal key is 32 random bytes.
 */
import { basename } from "node:path";
import { concatBytes, encodeUtf8, isEqualBytes } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { readPrivateFile, writePrivateFile } from "./private-file.ts";
import type { UnsealKey } from "./unseal-key.ts";

/** Begins every sealed file, and says which format follows. */
const MAGIC = encodeUtf8("trustwarden-sealed-v1\n");

/** Which file, under which key, for what. */
export interface SealedFile {
  readonly path: string;
  /** What the secret is for, for example `intermediate-key`; the same word must be given to read it. */
  readonly purpose: string;
  readonly unsealKey: UnsealKey;
}

/** Seals a secret into a file (0600), replacing it atomically and durably. */
export function writeSealedFile(file: SealedFile, secret: Uint8Array): void {
  writePrivateFile(file.path, sealBytes(file, secret));
}

/** The bytes of such a file, wherever they are to lie. */
export function sealBytes(file: SealedFile, secret: Uint8Array): Uint8Array {
  return concatBytes(MAGIC, file.unsealKey.seal({ plaintext: secret, context: encodeContext(file) }));
}

/**
 * The secret in a sealed file.
 *
 * @throws TrustWardenError `seal_broken` for the wrong key, another name or purpose, or altered bytes;
 *   `file_mode_too_open`; file system errors as they are.
 */
export function readSealedFile(file: SealedFile): Uint8Array {
  return openSealedBytes(readPrivateFile(file.path), file);
}

/** The secret in bytes that are, or are to be, such a file. @throws TrustWardenError `seal_broken`. */
export function openSealedBytes(bytes: Uint8Array, file: SealedFile): Uint8Array {
  if (!isEqualBytes(bytes.subarray(0, MAGIC.length), MAGIC)) {
    throw new TrustWardenError("seal_broken", { reason: "not a sealed file" });
  }
  return file.unsealKey.open({ sealed: bytes.subarray(MAGIC.length), context: encodeContext(file) });
}

/** Format, name and purpose, each behind a NUL that neither may hold. */
function encodeContext({ path, purpose }: SealedFile): Uint8Array {
  const name = basename(path);
  if (name.includes("\0") || purpose.includes("\0")) throw new Error("a name or purpose holds no NUL");
  return concatBytes(MAGIC, encodeUtf8(`${name}\0${purpose}`));
}
