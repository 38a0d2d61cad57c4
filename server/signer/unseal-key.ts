/**
 * The unseal key: 32 random bytes that open every sealed file, kept apart from what they open.
 *
 * A stolen disk image or backup of the data directory then holds no usable key (attack L1). The key lives in a 0600
 * file of a 0700 directory outside the data directory; start-up refuses anything looser.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { realpathSync } from "node:fs";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { inspect } from "node:util";
import { encodeBase64url, encodeUtf8, parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import { createPrivateDirectory, createPrivateFile, readPrivateFile } from "./private-file.ts";

const CIPHER = "aes-256-gcm";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Bytes under the key, and what they are bound to. */
export interface Sealing {
  readonly plaintext: Uint8Array;
  /** Authenticated but not stored: the same context must be given to open. */
  readonly context: Uint8Array;
}

/** Seals and opens; the key itself cannot be read back, printed or serialised. */
export class UnsealKey {
  readonly #key: Uint8Array;
  readonly #random: Random;

  /**
   * @param key - 32 bytes.
   * @param random - makes the nonces: a repeated one would give the key stream away, so it is the system's generator.
   * @throws TrustWardenError `seal_broken` for another length.
   */
  constructor(key: Uint8Array, random: Random) {
    if (key.length !== KEY_BYTES) throw new TrustWardenError("seal_broken", { reason: "unseal key length" });
    this.#key = Uint8Array.from(key);
    this.#random = random;
  }

  /** Nonce, ciphertext and tag (AES-256-GCM, random 96-bit nonce: a few files, so a repetition is out of reach). */
  seal({ plaintext, context }: Sealing): Uint8Array {
    const nonce = this.#random(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#key, nonce, { authTagLength: TAG_BYTES }).setAAD(context);
    return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  }

  /**
   * The plaintext of what `seal` returned for the same context.
   *
   * @throws TrustWardenError `seal_broken` for another key, another context or altered bytes.
   */
  open({ sealed, context }: { readonly sealed: Uint8Array; readonly context: Uint8Array }): Uint8Array {
    if (sealed.length < NONCE_BYTES + TAG_BYTES)
      throw new TrustWardenError("seal_broken", { reason: "too short" });
    const nonce = sealed.subarray(0, NONCE_BYTES);
    const tag = sealed.subarray(-TAG_BYTES);
    try {
      const decipher = createDecipheriv(CIPHER, this.#key, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(context).setAuthTag(tag);
      const opened = decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES));
      return new Uint8Array(Buffer.concat([opened, decipher.final()]));
    } catch (cause) {
      throw new TrustWardenError("seal_broken", { reason: "wrong key, context or bytes" }, { cause });
    }
  }

  /** Hides the key from `JSON.stringify` and so from logs. */
  toJSON(): string {
    return "[unseal key]";
  }

  /** Hides the key from `console.log`. */
  [inspect.custom](): string {
    return this.toJSON();
  }
}

/**
 * The unseal key of a trust domain, from `<configDir>/<trustDomain>.unseal`.
 *
 * @param options.create - make the directory and a new key where there is none; an existing key is never replaced.
 * @throws TrustWardenError `unseal_key_inside_data` when the file would be inside the data directory (symbolic links
 *   followed), `file_mode_too_open`, or `seal_broken` when it is missing or is no key.
 */
export function openUnsealKey(options: {
  readonly configDir: string;
  readonly dataDir: string;
  readonly trustDomain: string;
  readonly create: boolean;
  readonly random: Random;
}): UnsealKey {
  const { configDir, dataDir, trustDomain, create, random } = options;
  const path = join(configDir, `${trustDomain}.unseal`);
  requireOutside(path, dataDir);
  if (create) createIfMissing(path, random);
  return new UnsealKey(parseKeyFile(readKeyFile(path)), random);
}

function createIfMissing(path: string, random: Random): void {
  createPrivateDirectory(dirname(path));
  try {
    createPrivateFile(path, encodeUtf8(`${encodeBase64url(random(KEY_BYTES))}\n`));
  } catch (cause) {
    // Somebody's key is there already, and that one is the key.
    if (!isFileError(cause, "EEXIST")) throw cause;
  }
}

function readKeyFile(path: string): Uint8Array {
  try {
    return readPrivateFile(path);
  } catch (cause) {
    if (!isFileError(cause, "ENOENT")) throw cause;
    throw new TrustWardenError("seal_broken", { reason: "unseal key missing", path }, { cause });
  }
}

function parseKeyFile(bytes: Uint8Array): Uint8Array {
  try {
    return parseBase64url(parseUtf8(bytes).replace(/\n$/, ""));
  } catch {
    // The cause could carry the text of the key.
    throw new TrustWardenError("seal_broken", { reason: "unseal key file" });
  }
}

function requireOutside(path: string, dataDir: string): void {
  const fromData = relative(realPathOf(dataDir), realPathOf(path));
  const isOutside = fromData === ".." || fromData.startsWith(`..${sep}`) || resolve(fromData) === fromData;
  if (!isOutside) throw new TrustWardenError("unseal_key_inside_data", { path, dataDir });
}

/** The real path of what exists of a path, with the rest, which does not exist yet, behind it. */
function realPathOf(path: string): string {
  const absolute = resolve(path);
  try {
    return realpathSync(absolute);
  } catch (cause) {
    if (!isFileError(cause, "ENOENT") || dirname(absolute) === absolute) throw cause;
    return join(realPathOf(dirname(absolute)), basename(absolute));
  }
}

function isFileError(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
